# SPDX-License-Identifier: Apache-2.0
"""Maker notes read directly say what ExifRead makes of them, only sooner."""

from __future__ import annotations

import io
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.bracketnotes import read_note
from pipeline.images.directories import read_directory, write_directory
from pipeline.images.exifblock import assemble
from pipeline.images.makernote import BracketTags, read_bracket_tags, with_short_note


def block(make: bytes, note: bytes) -> bytes:
    """An EXIF block with a maker note."""
    below = {34665: [(37500, 7, note)]}
    return b"II*\0\x08\0\0\0" + assemble("<", [(271, 2, make + b"\0")], below, 8)


def canon(fields) -> bytes:
    """A note whose offsets count from the start of the block."""
    mark = b"\xab" * len(write_directory("<", fields, 0))
    where = block(b"Canon", mark).index(mark)
    return block(b"Canon", write_directory("<", fields, where))


def nikon(fields) -> bytes:
    """A note with a header of its own."""
    own = b"II*\0\x08\0\0\0" + write_directory("<", fields, 8)
    return block(b"NIKON CORPORATION", b"Nikon\0\x02\x10\0\0" + own)


def both(exif: bytes) -> tuple[BracketTags | None, BracketTags, BracketTags]:
    """What is read directly, what ExifRead makes of the block, and of the shortened one."""
    main = read_directory(lambda at, count: exif[at : at + count], "<", 8)
    assert main is not None
    detail = main.below(34665)
    assert detail is not None
    make, note = main.text(271) or "", detail.entries[37500]
    direct = read_note(detail, make, note)
    short = with_short_note(exif, "<", note)
    return (
        direct,
        read_bracket_tags(io.BytesIO(exif), make),
        read_bracket_tags(io.BytesIO(short), make),
    )


shorts = st.lists(st.integers(-200, 200), min_size=3, max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.none() | shorts, st.none() | shorts, st.sampled_from("hH"))
def test_canon(shot, file, letter) -> None:
    fields = [(0x0006, 2, b"Canon EOS 5D\0"), (0x000D, 7, bytes(1536))]
    for tag, values in ((0x0004, shot), (0x0093, file)):
        if values is not None:
            data = struct.pack(f"<{len(values)}H", *(value & 0xFFFF for value in values))
            fields.append((tag, {"h": 8, "H": 3}[letter], data))
    direct, whole, short = both(canon(fields))
    assert direct == whole == short


@settings(max_examples=60, deadline=None)
@given(
    st.none() | st.sampled_from([0, 1, 2, 0x10, 0x11, 0x12, 0x40, 0x90]),
    st.none() | st.tuples(st.integers(-40, 40), st.integers(1, 6)),
)
def test_nikon(mode, offset) -> None:
    fields = [(0x0001, 7, b"0210"), (0x0098, 7, bytes(300))]
    if mode is not None:
        fields.append((0x0089, 3, struct.pack("<H", mode)))
    if offset is not None:
        fields.append((0x0019, 10, struct.pack("<ii", *offset)))
    direct, whole, short = both(nikon(fields))
    assert direct == whole == short


def test_other_notes_are_left_to_exifread() -> None:
    exif = block(b"SONY", b"SONY DSC \0\0\0" + write_directory("<", [(1, 3, b"\1\0")], 0))
    assert both(exif)[0] is None
    old = block(b"NIKON", b"Nikon\0\x01\0" + bytes(20))
    assert both(old)[0] is None


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["Canon", "NIKON CORPORATION"]), st.binary(min_size=5, max_size=80))
def test_garbage_raises_nothing(make, garbage) -> None:
    for note in (garbage, b"Nikon\0\x02\x10\0\0II*\0\x08\0\0\0" + garbage):
        exif = block(b"any", note)
        main = read_directory(lambda at, count, exif=exif: exif[at : at + count], "<", 8)
        detail = main.below(34665)
        read_note(detail, make, detail.entries[37500])
