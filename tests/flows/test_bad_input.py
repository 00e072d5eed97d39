# SPDX-License-Identifier: Apache-2.0
"""Bad photographs cost their own row and nothing else."""

from __future__ import annotations

import csv
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from flows.fuse import fuse_archive
from pipeline import storage
from pipeline.errors import InfrastructureError
from pipeline.ledger import read_report
from pipeline.settings import FuseSettings

pytestmark = [pytest.mark.ray, pytest.mark.prefect]
SETTINGS = FuseSettings(model="mertens", align="off")

EXPECTED = {
    "good": None,
    "truncated": "decode-truncated",
    "empty": "file-empty",
    "bomb": "image-too-large",
    "text": "format-unsupported",
    "sizes": "frames-differ-in-size",
    "identical": "frames-identical",
    "tiny": None,
    "one": "bracket-too-short",
    "gone": "file-missing",
    "dangling": "file-link",
    "loop": "file-link",
    "folder": "format-unsupported",
}


def picture(seed: int, light: float, height: int = 60, width: int = 80) -> np.ndarray:
    """A textured picture, the same for the same seed but for its brightness."""
    noise = np.random.default_rng(seed).uniform(0, 1, (height // 4, width // 4, 3))
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth * light, 0, 255).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".jpg", pixels)
    assert encoded
    path.write_bytes(data.tobytes())
    return path


def bomb(path: Path) -> None:
    """A PNG whose header claims 100000 x 100000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.fixture
def listed(tmp_path):
    """A list of brackets, each bad in its own way; the list's path."""
    source = tmp_path / "in"
    frames: dict[str, list[str]] = {}
    for seed, name in enumerate(EXPECTED):
        dark = write(source / name / "dark.jpg", picture(seed, 90))
        bright = write(source / name / "bright.jpg", picture(seed, 250))
        frames[name] = [str(dark), str(bright)]
        if name == "truncated":
            bright.write_bytes(bright.read_bytes()[:-300])
        elif name == "empty":
            bright.write_bytes(b"")
        elif name == "bomb":
            bomb(bright)
        elif name == "text":
            bright.write_text("no picture at all")
        elif name == "sizes":
            write(bright, picture(seed, 250, 64, 80))
        elif name == "identical":
            bright.write_bytes(dark.read_bytes())
        elif name == "tiny":
            write(dark, picture(seed, 90, 40, 40))
            write(bright, picture(seed, 250, 40, 40))
        elif name == "one":
            frames[name].pop()
        elif name == "gone":
            bright.unlink()
        elif name in ("dangling", "loop"):
            bright.unlink()
            bright.symlink_to(bright.name if name == "loop" else "nowhere.jpg")
        elif name == "folder":
            bright.unlink()
            bright.mkdir()
    path = tmp_path / "list.csv"
    with path.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["bracket", "path"])
        rows.writerows([name, frame] for name, paths in frames.items() for frame in paths)
    return path


def test_each_bad_bracket_gets_its_code_and_the_others_their_picture(
    listed, prefect_server, tmp_path
):
    outcome = fuse_archive(str(listed), str(tmp_path / "out"), SETTINGS)
    rows = read_report(str(tmp_path / "out")).to_pylist()
    found = {Path(row["frame_uris"][0]).parent.name: row["error_code"] for row in rows}
    assert found == EXPECTED
    assert outcome.counts.fused == 2
    for row in rows:
        name = Path(row["frame_uris"][0]).parent.name
        if EXPECTED[name]:
            assert row["result_uri"] is None
            assert name in row["error_message"], row["error_message"]
            assert row["error_message"].rstrip().endswith(".")
    (tiny,) = (row for row in rows if "tiny" in row["frame_uris"][0])
    assert tiny["mef_ssim"] is None
    assert "44" in tiny["score_note"]
    left = [path for path in (tmp_path / "out").rglob("*") if path.name.endswith(".tmp")]
    assert left == []


def test_names_of_any_kind_are_carried_through(prefect_server, tmp_path):
    names = [b"quote'\"and space", b"line\nbreak", "\u00fc\u6f22".encode(), b"latin\xe9", b"<b>&"]
    root = os.fsencode(tmp_path / "in")
    for seed, name in enumerate(names):
        folder = os.path.join(root, name)
        os.makedirs(folder)
        for file, light in ((b"a.jpg", 90), (b"b.jpg", 250)):
            _, data = cv2.imencode(".jpg", picture(seed, light))
            with open(os.path.join(folder, file), "wb") as handle:
                handle.write(data.tobytes())
    outcome = fuse_archive(str(tmp_path / "in"), str(tmp_path / "out"), SETTINGS)
    assert (outcome.counts.found, outcome.counts.fused) == (5, 5)
    rows = read_report(str(tmp_path / "out")).to_pylist()
    assert all(storage.exists(row["result_uri"]) for row in rows)
    assert all("\n" not in os.path.basename(row["result_uri"]) for row in rows)


def test_a_disk_that_is_full_in_the_end_leaves_no_manifest_and_nothing_half_written(
    listed, prefect_server, tmp_path, monkeypatch
):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InfrastructureError) as caught:
        fuse_archive(str(listed), str(tmp_path / "out"), SETTINGS)
    assert caught.value.code == "disk-full"
    left = [path.name for path in (tmp_path / "out").rglob("*")]
    assert "_manifest.json" not in left
    assert not [name for name in left if name.endswith(".tmp")]
