# SPDX-License-Identifier: Apache-2.0
"""Names that files can have, and things with a photograph's name that are no files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["NAMES", "plant_no_files"]

NAMES: tuple[bytes, ...] = (
    b"line\nbreak.jpg",
    b"tab\tand return\r.jpg",
    b"\x1b[31mred\x1b[0m.jpg",
    b"\x1b]0;title\x07.jpg",
    b"=cmd|' \\C calc'!A0.jpg",
    b"+1+1.jpg",
    b"-rf.jpg",
    b"@SUM(A1).jpg",
    b"<script>alert(1)<\\script>.jpg",
    b"[bold]x[\\bold].jpg",
    b"{id}{stem}%s%n$(reboot)`id`.jpg",
    b"a|b & c; d.jpg",
    b"up..\\..\\windows.jpg",
    b"dots...jpg.jpg",
    b"trailing dots....jpg",
    b" spaces .jpg",
    b"quote'\".jpg",
    b"latin\xe9\xff.jpg",
    b"%2e%2e%2f.jpg",
    b"file:.jpg",
    b"con.jpg",
    b"nul.png",
    "rechts\u202egpj.exe.jpg".encode(),
    "\U0001f3d4\ufe0f emoji.jpg".encode(),
    "nfc \u00e9.jpg".encode(),
    "nfd e\u0301.jpg".encode(),
    b"x" * 251 + b".jpg",
    b"\xc2\x9b31m.jpg",
    b"back\\slash.jpg",
    b"UPPER.JPG",
    b"upper.jpg",
)
"""File names; bytes, for not all of them are text."""


def plant_no_files(folder: Path, outside: Path) -> list[Path]:
    """A pipe, a socket, folders and links in all directions, each named like a photograph.

    Args:
        folder: where they are made.
        outside: a photograph that is not to be found from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(folder, os.O_RDONLY)
        try:  # by a short name: addresses have about 100 bytes
            door.bind(f"/proc/self/fd/{here}/socket.jpg")
        finally:
            os.close(here)
    (folder / "folder.jpg").mkdir()
    links = {
        "device.jpg": "/dev/zero",
        "process.jpg": "/proc/self/mem",
        "circle.jpg": "circle.jpg",
        "nothing.jpg": "nowhere.jpg",
        "outside.jpg": str(outside),
        "up": "..",
        "self": ".",
        "root": "/",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return sorted(path for path in folder.iterdir() if path.suffix == ".jpg")
