# SPDX-License-Identifier: Apache-2.0
"""Bracketing tags of the notes that most cameras write, read directly.

ExifRead reads whole notes, a value at a time: milliseconds for each photograph. Canon's and Nikon's
are plain directories, and the few fields that matter are soon found. What is strange is left to
:mod:`pipeline.images.makernote`; both say the same.
"""

from __future__ import annotations

from pipeline.images.directories import Directory, Entry, ReadAt, read_directory, read_start
from pipeline.images.makernote import BracketTags, canon_ev

__all__ = ["read_note"]

_CANON_SHOT_INFO, _CANON_FILE_INFO = 0x0004, 0x0093
_NIKON_COMPENSATION, _NIKON_MODE = 0x0019, 0x0089
_NIKON_EXPOSURE_BRACKETING = (0x10, 0x11, 0x12)
_NIKON_LABEL = b"Nikon\0\x02"
_LABEL_BYTES = 10
_SHORTS = (3, 8)
_UNLIKELY = 1000  # ExifRead has views of its own on longer fields


def read_note(block: Directory, make: str, note: Entry) -> BracketTags | None:
    """The bracketing tags of a maker note, None where only ExifRead can tell.

    Args:
        block: a directory of the EXIF block that the note's offsets count from.
        make: the camera's.
        note: the field of the maker note.
    """
    if make == "Canon":
        return _canon(read_directory(block.read_at, block.order, note.offset))
    if make.startswith("NIKON") and block.read_at(note.offset, 7) == _NIKON_LABEL:
        return _nikon(block, note.offset + _LABEL_BYTES)
    return None


def _canon(directory: Directory | None) -> BracketTags | None:
    if directory is None:
        return None
    lists = []
    for tag in (_CANON_SHOT_INFO, _CANON_FILE_INFO):
        entry = directory.entries.get(tag)
        if entry is not None and (entry.kind not in _SHORTS or entry.values >= _UNLIKELY):
            return None
        # Both count in unsigned numbers what is written as signed ones.
        lists.append([int(value) & 0xFFFF for value in directory.numbers(tag)])
    shot, file = lists
    auto = file[3] if len(file) > 3 else shot[16] if len(shot) > 16 else None
    value = file[4] if len(file) > 4 else None
    number = (file[5] if len(file) > 5 else 0) or (shot[9] if len(shot) > 9 else 0)
    return BracketTags(
        auto_bracket=None if auto is None else auto != 0,
        value_ev=None if value is None else canon_ev(value),
        sequence_number=number if 0 < number < 10_000 else None,
    )


def _nikon(block: Directory, start: int) -> BracketTags | None:
    """A note with a header of its own, from which its offsets count."""
    read_at = _from(block.read_at, start)
    head = read_start(read_at)
    if head is None or head[0] != block.order or head[1] != 8 or head[2]:
        return None
    directory = read_directory(read_at, head[0], head[1])
    if directory is None:
        return None
    entries = (directory.entries.get(_NIKON_MODE), directory.entries.get(_NIKON_COMPENSATION))
    if any(entry is not None and entry.values != 1 for entry in entries):
        return None
    mode, offset = directory.number(_NIKON_MODE), directory.number(_NIKON_COMPENSATION)
    return BracketTags(
        auto_bracket=None if mode is None else mode in _NIKON_EXPOSURE_BRACKETING,
        value_ev=offset if offset is not None and abs(offset) <= 20 else None,
    )


def _from(read_at: ReadAt, start: int) -> ReadAt:
    return lambda offset, count: read_at(start + offset, count) if offset >= 0 else b""
