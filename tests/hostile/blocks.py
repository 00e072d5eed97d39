# SPDX-License-Identifier: Apache-2.0
"""EXIF blocks that ask for more than there is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pipeline.images.directories import write_directory
from tests.hostile.seeds import camera_block

__all__ = ["HUGE", "Bomb", "blocks", "loop"]

HUGE = 2**32 - 1
Bomb = tuple[str, bytes]
"""What it does, and the content."""


def blocks() -> Iterator[Bomb]:
    """EXIF blocks that ask for more than there is."""
    yield "loop", loop()
    yield "a tree of directories", _tree_of_directories()
    for make in (b"Canon", b"NIKON CORPORATION", b"OLYMPUS", b"FUJIFILM", b"SONY"):
        yield f"endless note of {make.decode().split()[0]}", _endless_note(make)
    yield "two thousand numbers a field", _wide_fields(camera_block())
    every = [(tag, 7, b"x") for tag in range(1000, 1200)]
    block = bytearray(b"II*\0\x08\0\0\0" + write_directory("<", every, 8))
    for entry in range(10, 10 + 12 * len(every), 12):
        struct.pack_into("<II", block, entry + 4, HUGE, 8)
    yield "counts of 2^32 - 1", bytes(block)
    yield "4,000 fields on one another", _piled_up(50_000, 4_000)


def loop() -> bytes:
    block = write_directory("<", [(271, 2, b"Canon\0"), (34665, 4, struct.pack("<I", 8))], 8)
    turned = bytearray(b"II*\0\x08\0\0\0" + block)
    struct.pack_into("<I", turned, 10 + 24, 8)  # the next directory is this one as well
    return bytes(turned)


def _tree_of_directories(depth: int = 30, branches: int = 12) -> bytes:
    """Directories of which each is named a dozen times by the one before it."""
    size = 2 + 12 * (branches + 1) + 4
    block = b"II*\0\x08\0\0\0"
    for level in range(depth):
        below = struct.pack("<I", 8 + size * ((level + 1) % depth if level + 1 < depth else level))
        entries = struct.pack("<HHI", 271, 2, 3) + b"OM\0\0".replace(b"OM", b"om")
        entries += (struct.pack("<HHI", 34665, 4, 1) + below) * branches
        block += struct.pack("<H", branches + 1) + entries + bytes(4)
    return block.replace(b"om\0\0", struct.pack("<I", len(block))) + b"Canon\0"


def _endless_note(make: bytes) -> bytes:
    block = bytearray(camera_block(make))
    at = block.index(struct.pack("<HHI", 37500, 7, 40))
    struct.pack_into("<I", block, at + 4, HUGE)
    return bytes(block)


def _wide_fields(block: bytes) -> bytes:
    """A maker note of thousands of fields of 999 numbers each."""
    entries = 5_000
    note = struct.pack("<H", entries)
    note += b"".join(struct.pack("<HHII", 60_000 + n, 5, 999, 8) for n in range(entries))
    return camera_block(b"Canon", note)


def _piled_up(size: int, count: int) -> bytes:
    """Fields that all name the same bytes: as a whole they have 200 MB."""
    entries = b"".join(struct.pack("<HHII", 40_000 + n, 7, size, 8) for n in range(count))
    detail = struct.pack("<H", count) + entries + bytes(4)
    main = struct.pack("<HHHII", 1, 34665, 4, 1, 26) + bytes(4)
    return b"II*\0\x08\0\0\0" + main + detail + bytes(size)
