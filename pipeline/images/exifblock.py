# SPDX-License-Identifier: Apache-2.0
"""EXIF blocks to carry over: taken from directories, made true for the result, put into files.

A block is a small TIFF file in memory, without the prefix that JPEG puts before it.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping

import numpy as np

from pipeline.images.directories import (
    Directory,
    Order,
    ReadAt,
    field_width,
    read_directory,
    read_start,
    write_directory,
)

__all__ = [
    "Field",
    "assemble",
    "block_of",
    "description_of",
    "merged",
    "tidied",
    "without_maker_note",
]

Field = tuple[int, int, bytes]
"""Tag, field type, bytes of the values."""

SOFTWARE = b"bracketflow\0"
_ORIENTATION, _SOFTWARE, _EXIF_IFD, _GPS_IFD = 274, 305, 34665, 34853
_MAKER_NOTE, _USER_COMMENT, _INTEROPERABILITY_IFD = 37500, 37510, 40965
_PIXEL_WIDTH, _PIXEL_HEIGHT = 40962, 40963
_THUMBNAIL, _THUMBNAIL_BYTES, _STRIPS, _STRIP_BYTES = 513, 514, 273, 279
_MAX_FIELD_BYTES = 65_535
_MAX_FIELDS_BYTES = 1 << 20  # thousands of fields may all name the same bytes
_SHORT, _LONG = 3, 4
# Description, make, model, resolution, software, date, artist, copyright.
_DESCRIPTIVE = (270, 271, 272, 282, 283, 296, 306, 315, 316, 33432)
_EXPOSURE = (33434, 33437, 34850, 34855, 36867, 37377, 37378, 37380, 37386, 42033)
# How the pixels of a file are laid out, which is no longer true elsewhere; 330 and 34675 are
# sub-images and the ICC profile.
_STRUCTURAL = (*range(254, 260), 262, 273, *range(277, 280), 284, 317, 330, 513, 514, 34675)


def block_of(page: Directory) -> bytes | None:
    """The block for a TIFF-like file, whose EXIF is spread over the file.

    Maker note and interoperability are left out: their own offsets count from the start of the
    file that they were written to.
    """
    main = _fields(page, only=(*_DESCRIPTIVE, _ORIENTATION))
    below = {
        pointer: _fields(directory, leave_out=(_MAKER_NOTE, _INTEROPERABILITY_IFD))
        for pointer in (_EXIF_IFD, _GPS_IFD)
        if (directory := page.below(pointer)) is not None
    }
    # TIFF/EP cameras keep exposure in the first directory.
    detail = below.setdefault(_EXIF_IFD, [])
    known = {tag for tag, _, _ in detail}
    detail += [field for field in _fields(page, only=_EXPOSURE) if field[0] not in known]
    if not main and not any(below.values()):
        return None
    return _magic(page.order) + assemble(page.order, main, below, 8)


def merged(main_block: bytes, exif_block: bytes) -> bytes | None:
    """One block from two whose first directories are the main and the EXIF directory (CR3)."""
    starts = [read_start(_reader(block)) for block in (main_block, exif_block)]
    if starts[0] is None or starts[1] is None or starts[0][0] != starts[1][0]:
        return None
    order = starts[0][0]
    main = read_directory(_reader(main_block), order, starts[0][1])
    detail = read_directory(_reader(exif_block), order, starts[1][1])
    if main is None or detail is None:
        return None
    below = {_EXIF_IFD: _fields(detail, leave_out=(_MAKER_NOTE, _INTEROPERABILITY_IFD))}
    return _magic(order) + assemble(
        order, _fields(main, only=(*_DESCRIPTIVE, _ORIENTATION)), below, 8
    )


def assemble(
    order: Order, main: Collection[Field], below: Mapping[int, Collection[Field]], offset: int
) -> bytes:
    """A directory at ``offset``, and the directories that its pointer fields name after it."""
    kept = {tag: fields for tag, fields in below.items() if fields}
    where = offset + len(write_directory(order, [*main, *((t, _LONG, bytes(4)) for t in kept)], 0))
    pointers: list[Field] = []
    tail = b""
    for tag, fields in kept.items():
        pointers.append((tag, _LONG, struct.pack(order + "I", where + len(tail))))
        tail += write_directory(order, fields, where + len(tail))
    return write_directory(order, [*main, *pointers], offset) + tail


def tidied(
    exif: bytes | None, width: int, height: int, *, with_orientation: bool = True
) -> bytes | None:
    """The reference frame's block, made true for the result.

    Orientation is 1, the thumbnail is gone, the pixel dimensions are the result's, Software is
    bracketflow. Everything else stays where it is, so that the offsets inside a maker note still
    hold: the first directory is written anew behind the block, the others are patched in place.

    Args:
        exif: the block, or None.
        width: of the result, in pixels.
        height: of the result, in pixels.
        with_orientation: state orientation 1, rather than leave it out.

    Returns:
        None where there is no block or it is too damaged to be carried over.
    """
    start = read_start(_reader(exif)) if exif else None
    if exif is None or start is None or start[2]:
        return None
    order = start[0]
    main = read_directory(_reader(exif), order, start[1])
    if main is None:
        return None
    block = bytearray(exif)
    detail = main.below(_EXIF_IFD)
    for tag, value in ((_PIXEL_WIDTH, width), (_PIXEL_HEIGHT, height)):
        entry = detail.entries.get(tag) if detail else None
        if entry and entry.kind in (_SHORT, _LONG) and entry.values == 1:
            letter, peak = ("H", 65_535) if entry.kind == _SHORT else ("I", 0xFFFFFFFF)
            struct.pack_into(order + letter, block, entry.offset, min(value, peak))
    thumbnail = read_directory(_reader(exif), order, main.next_offset)
    if thumbnail is not None:
        for first, size in ((_THUMBNAIL, _THUMBNAIL_BYTES), (_STRIPS, _STRIP_BYTES)):
            _blank(block, thumbnail.integer(first), thumbnail.integer(size))
    fields = _fields(main, leave_out=(*_STRUCTURAL, _ORIENTATION, _SOFTWARE))
    if with_orientation:
        fields.append((_ORIENTATION, _SHORT, struct.pack(order + "H", 1)))
    fields.append((_SOFTWARE, 2, SOFTWARE))
    block += b"\0" * (len(block) % 2)
    block[4:8] = struct.pack(order + "I", len(block))
    return bytes(block) + write_directory(order, fields, len(block))


def without_maker_note(exif: bytes) -> bytes | None:
    """A small block with the same facts, for containers that limit its size."""
    start = read_start(_reader(exif))
    main = read_directory(_reader(exif), start[0], start[1]) if start else None
    if main is None:
        return None
    below = {
        pointer: _fields(
            directory, leave_out=(_MAKER_NOTE, _USER_COMMENT, _INTEROPERABILITY_IFD), cap=4096
        )
        for pointer in (_EXIF_IFD, _GPS_IFD)
        if (directory := main.below(pointer)) is not None
    }
    short = _fields(main, only=(*_DESCRIPTIVE, _ORIENTATION, _SOFTWARE), cap=4096)
    return _magic(main.order) + assemble(main.order, short, below, 8)


def description_of(exif: bytes) -> tuple[list[Field], dict[int, list[Field]]]:
    """The fields of a block in little-endian order, to be built into a TIFF file."""
    start = read_start(_reader(exif))
    main = read_directory(_reader(exif), start[0], start[1]) if start else None
    if main is None:
        return [], {}
    below = {
        pointer: _little(
            main.order, _fields(directory, leave_out=(_MAKER_NOTE, _INTEROPERABILITY_IFD))
        )
        for pointer in (_EXIF_IFD, _GPS_IFD)
        if (directory := main.below(pointer)) is not None
    }
    main_fields = _fields(main, only=(*_DESCRIPTIVE, _ORIENTATION, _SOFTWARE))
    return _little(main.order, main_fields), below


def _reader(block: bytes | bytearray | None) -> ReadAt:
    data = bytes(block or b"")
    return lambda offset, count: data[offset : offset + count] if offset >= 0 else b""


def _magic(order: Order) -> bytes:
    return b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"


def _fields(
    directory: Directory,
    *,
    only: Collection[int] | None = None,
    leave_out: Collection[int] = (),
    cap: int = _MAX_FIELD_BYTES,
) -> list[Field]:
    found: list[Field] = []
    room = _MAX_FIELDS_BYTES
    for tag in sorted(directory.entries):
        if tag in leave_out or (only is not None and tag not in only):
            continue
        size = directory.size(tag)
        data = directory.raw(tag) if size <= min(cap, room) else None
        if data is not None:
            found.append((tag, directory.entries[tag].kind, data))
            room -= size
    return found


def _little(order: Order, fields: list[Field]) -> list[Field]:
    if order == "<":
        return fields
    return [
        (tag, kind, np.frombuffer(data, f">u{field_width(kind)}").byteswap().tobytes())
        for tag, kind, data in fields
    ]


def _blank(block: bytearray, start: int, size: int) -> None:
    """Remove a range at the end of a block, or overwrite it with zeros where more follows."""
    if start < 8 or size <= 0 or start + size > len(block):
        return
    if start + size >= len(block) - 1:
        del block[start:]
    else:
        block[start : start + size] = bytes(size)
