# SPDX-License-Identifier: Apache-2.0
"""The parsers of bytes that are our own: on anything, they answer, or say that it is damaged."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PhotoError
from pipeline.images import avif, jpeg
from pipeline.images.directories import read_directory, read_start
from pipeline.images.exif import is_adobe_rgb, read_facts
from pipeline.images.exifblock import block_of, description_of, merged, tidied, without_maker_note
from pipeline.images.formats import read_layout
from pipeline.images.source import Limits, Source
from tests.hostile.seeds import camera_block, seeds

SEEDS = {name: data for name, data in seeds().items() if len(data) < 40_000}
HEAD = 1500  # of a seed: where its structure is
EDITS = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6)
RANDOM = st.binary(max_size=600)


def edited(data: bytes, edits) -> bytes:
    """The bytes, some of them replaced."""
    changed = bytearray(data)
    for where, new in edits:
        at = int(where * len(data))
        changed[at : at + len(new)] = new
    return bytes(changed)


def blocks():
    """EXIF blocks: whole ones with changes, and what merely begins like one."""
    whole = st.sampled_from((b"Canon", b"NIKON", b"OLYMPUS", b"SONY", b"Maker")).map(camera_block)
    starts = st.sampled_from((b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10"))
    return st.one_of(st.builds(edited, whole, EDITS), st.builds(lambda a, b: a + b, starts, RANDOM))


@settings(max_examples=200, deadline=None)
@given(block=blocks(), other=blocks(), side=st.integers(1, 2**40))
def test_any_block_of_exif_is_read_and_carried_over_or_left(block, other, side):
    facts = read_facts(block)
    assert 1 <= facts.orientation <= 8
    assert facts.camera is None or facts.camera.isprintable()
    is_adobe_rgb(block)
    merged(block, other)
    description_of(block)
    for made in (tidied(block, side, side), without_maker_note(block)):
        if made is not None:
            read_facts(made)
            assert len(made) < len(block) + (2 << 20)
    start = read_start(lambda at, count: block[at : at + count])
    if start is not None:
        page = read_directory(
            lambda at, count: block[at : at + count], start[0], start[1], big=start[2]
        )
        if page is not None:
            block_of(page)


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=30, deadline=None)
@given(edits=EDITS, cut=st.floats(0, 1))
def test_any_header_is_read_or_damaged(name, edits, cut):
    data = SEEDS[name]
    head = edited(data[:HEAD], edits)
    whole = (head + data[HEAD:])[: max(1, int(len(data) * cut))]
    with contextlib.suppress(PhotoError):
        layout = read_layout(Source("x", io.BytesIO(whole), Limits()))
        assert 0 < layout.width * layout.height <= Limits().max_pixels
        assert layout.channels > 0


@settings(max_examples=100, deadline=None)
@given(data=RANDOM)
def test_random_bytes_are_walked_to_an_end(data):
    found, scan = jpeg.segments(lambda at, count: data[at : at + count])
    assert scan < len(data)
    assert all(isinstance(part, bytes) for _, part in found)
    assert sum(8 + len(content) for _, content in avif.boxes(data)) <= len(data)
    jpeg.pixels_of(data)
    avif.is_avif(data)
    with contextlib.suppress(PhotoError):
        read_layout(Source("x", io.BytesIO(data or b"\0"), Limits()))
