# SPDX-License-Identifier: Apache-2.0
"""RAW+JPEG twins: one release of the shutter, two files.

Twins lie in one folder and have the same name up to the extension. One of the two is the frame,
the other stands in its ``twin_uri`` and is counted, but never fused: by default the JPEG is the
frame, because it needs no extra package and looks as the photographer saw it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Literal

from pipeline.archive.shot import DISPLAY_EXTENSIONS, RAW_EXTENSIONS, extension
from pipeline.listing import FileInfo

__all__ = ["TwinChoice", "pair_twins"]

TwinChoice = Literal["jpeg", "raw"]


def pair_twins(
    files: Iterable[FileInfo], choice: TwinChoice = "jpeg"
) -> tuple[list[FileInfo], dict[str, FileInfo]]:
    """Separate the files to fuse from their twins.

    Args:
        files: image files, of one folder or of several.
        choice: which of a pair is fused.

    Returns:
        the files that remain, in the order given, and the twin of each that has one, by the URI
        of the file that remains. A RAW file without a partner remains, and so do further files
        of the same stem (an edited TIFF, say).
    """
    files = list(files)
    developed: dict[str, FileInfo] = {}
    raw: dict[str, FileInfo] = {}
    for file in files:
        kind = extension(file.path)
        key = posixpath.splitext(file.path)[0].casefold()
        if kind in RAW_EXTENSIONS:
            raw.setdefault(key, file)
        elif kind in DISPLAY_EXTENSIONS:
            known = developed.get(key)
            # The camera writes a JPEG; a TIFF or PNG of that name is somebody's export.
            if known is None or (_is_jpeg(file) and not _is_jpeg(known)):
                developed[key] = file
    twins: dict[str, FileInfo] = {}
    gone: set[str] = set()
    for key, raw_file in raw.items():
        partner = developed.get(key)
        if partner is None or not _is_jpeg(partner):
            continue
        kept, twin = (partner, raw_file) if choice == "jpeg" else (raw_file, partner)
        twins[kept.uri] = twin
        gone.add(twin.uri)
    return [file for file in files if file.uri not in gone], twins


def _is_jpeg(file: FileInfo) -> bool:
    return extension(file.path) in (".jpg", ".jpeg", ".jpe")
