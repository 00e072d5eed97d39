# SPDX-License-Identifier: Apache-2.0
"""What the camera wrote down, and what becomes of it when it is absurd."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import fsspec
import imagecodecs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.images import source
from pipeline.images.directories import write_directory
from pipeline.images.exif import is_adobe_rgb, read_facts
from pipeline.images.exifblock import assemble
from pipeline.images.png import chunk
from pipeline.images.reading import read_header

CAPTURED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()


def rational(top, bottom):
    return struct.pack("<II", top, bottom)


def block(main=(), detail=()):
    """An EXIF block from (tag, type, bytes) fields."""
    return b"II*\0\x08\0\0\0" + assemble("<", list(main), {34665: list(detail)}, 8)


def short(value):
    return struct.pack("<H", value)


FULL = block(
    main=[
        (271, 2, b"Canon\0"),
        (272, 2, b"Canon EOS 5D\0"),
        (274, 3, short(6)),
        (306, 2, b"2001:01:01 00:00:00\0"),
    ],
    detail=[
        (33434, 5, rational(1, 250)),
        (33437, 5, rational(28, 10)),
        (34850, 3, short(3)),
        (34855, 3, short(400)),
        (36867, 2, b"2024:05:06 07:08:09\0"),
        (37380, 10, struct.pack("<ii", -5, 3)),
        (37386, 5, rational(35, 1)),
        (37521, 2, b"25\0"),
        (41986, 3, short(2)),
        (42033, 2, b"0123456\0"),
    ],
)


def test_every_fact_of_a_full_block():
    facts = read_facts(FULL)
    assert facts.orientation == 6
    assert facts.exposure_time_s == 1 / 250
    assert facts.f_number == pytest.approx(2.8)
    assert facts.iso == 400
    assert facts.captured_s == CAPTURED + 0.25
    assert facts.camera == "Canon EOS 5D #0123456"
    assert facts.exposure_bias_ev == pytest.approx(-5 / 3)
    assert facts.exposure_program == 3
    assert facts.exposure_mode == 2
    assert facts.auto_bracket is True
    assert facts.focal_length_mm == 35


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "AVIF"])
def test_the_same_facts_from_every_container(put, pillow, scene8, container):
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + FULL)
    header = read_header(put(pillow(scene8, container, exif=exif)))
    assert header.exposure_time_s == 1 / 250
    assert header.captured_s == CAPTURED + 0.25
    assert header.iso == 400
    assert header.camera == "Canon EOS 5D #0123456"


def test_dates_fall_back():
    digitized = [(36868, 2, b"2024:05:06 07:08:09\0"), (37522, 2, b"5\0")]
    main = [(306, 2, b"2024:05:06 07:08:08\0")]
    assert read_facts(block(main, digitized)).captured_s == CAPTURED + 0.5
    assert read_facts(block(main)).captured_s == CAPTURED - 1
    unset = [(36867, 2, b"0000:00:00 00:00:00\0"), *digitized]
    assert read_facts(block(main, unset)).captured_s == CAPTURED + 0.5


def test_apex_values_serve_where_the_plain_ones_are_missing():
    facts = read_facts(
        block(detail=[(37377, 10, struct.pack("<ii", 7, 1)), (37378, 5, rational(4, 1))])
    )
    assert facts.exposure_time_s == 1 / 128
    assert facts.f_number == 4


def test_iso_beyond_a_short():
    detail = [(34855, 3, short(65535)), (34866, 4, struct.pack("<I", 102400))]
    assert read_facts(block(detail=detail)).iso == 102400


@pytest.mark.parametrize(
    ("tag", "kind", "data", "name"),
    [
        (33434, 5, rational(1, 0), "exposure_time_s"),
        (33434, 5, rational(0, 1), "exposure_time_s"),
        (33434, 5, rational(1_000_000_000, 1), "exposure_time_s"),
        (33434, 2, b"1/250\0", "exposure_time_s"),
        (33437, 5, rational(0, 0), "f_number"),
        (33437, 5, rational(0, 10), "f_number"),
        (34855, 3, short(0), "iso"),
        (34855, 2, b"ISO 100\0", "iso"),
        (36867, 2, b"2024:13:45 99:99:99\0", "captured_s"),
        (36867, 2, b"2023:02:29 10:00:00\0", "captured_s"),
        (36867, 2, b"yesterday\0", "captured_s"),
        (37380, 10, struct.pack("<ii", 1, 0), "exposure_bias_ev"),
        (37380, 11, struct.pack("<f", float("nan")), "exposure_bias_ev"),
        (37386, 5, rational(0, 0), "focal_length_mm"),
        (42033, 2, b"\0\0\0\0\0\0", "camera"),
    ],
)
def test_what_cannot_be_true_is_missing(tag, kind, data, name):
    assert getattr(read_facts(block(detail=[(tag, kind, data)])), name) is None


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_absurd_orientation_is_upright(orientation):
    assert read_facts(block(main=[(274, 3, short(orientation))])).orientation == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(FULL) - 1), st.integers(0, len(FULL)))
def test_damaged_blocks_never_raise(junk, at, cut):
    damaged = (FULL[:at] + junk + FULL[at + len(junk) :])[: cut or None]
    facts = read_facts(damaged)
    is_adobe_rgb(damaged)
    assert facts.exposure_time_s is None or 0 < facts.exposure_time_s <= 86_400


def test_a_directory_that_names_itself_ends():
    loop = b"II*\0\x08\0\0\0" + write_directory("<", [(34665, 4, struct.pack("<I", 8))], 8)
    assert read_facts(loop).exposure_time_s is None


@pytest.mark.parametrize(("code", "stops"), [(-64, -2.0), (0, 0.0), (32, 1.0), (0x2C, 4 / 3)])
def test_canon_bracketing_tags(code, stops):
    # FileInfo (0x0093): its length, then bracket mode, value and shot number as fields 3 to 5.
    info = [(0x0093, 8, struct.pack("<9h", 18, 0, 0, 1, code, 2, 0, 0, 0))]
    main = [(271, 2, b"Canon\0"), (272, 2, b"Canon EOS R5\0")]
    # The note's offsets count from the start of the block: learn where it lies, then write it.
    mark = b"\xab" * len(write_directory("<", info, 0))
    where = block(main, [(37500, 7, mark)]).index(mark)
    facts = read_facts(block(main, [(37500, 7, write_directory("<", info, where))]))
    assert facts.auto_bracket is True
    assert facts.bracket_value_ev == pytest.approx(stops)
    assert facts.sequence_number == 2


def test_only_the_head_of_a_jpeg_is_read(put, pillow, scene8, monkeypatch):
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + FULL)
    data = pillow(scene8, "JPEG", exif=exif)
    uri = put(data + bytes(1 << 20))
    fetched = []
    original = source.Source._read

    def counted(self, offset, count):
        data = original(self, offset, count)
        fetched.append(len(data))
        return data

    monkeypatch.setattr(source.Source, "_read", counted)
    assert read_header(uri).exposure_time_s == 1 / 250
    assert sum(fetched) <= source.HEAD_BYTES


def test_exif_behind_64_kib_of_other_segments(put, pillow, scene8):
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + FULL)
    data = pillow(scene8, "JPEG", exif=exif)
    filler = b"\xff\xec\xff\xff" + bytes(65533)
    header = read_header(put(data[:2] + filler * 3 + data[2:]))
    assert header.exposure_time_s == 1 / 250
    assert (header.height, header.width) == (scene8.shape[1], scene8.shape[0])


def test_exif_behind_the_pixels_of_a_png(put, scene16):
    data = imagecodecs.png_encode(scene16)
    end = data.index(b"IEND") - 4
    uri = put(data[:end] + chunk(b"eXIf", FULL) + data[end:])
    assert read_header(uri).exposure_time_s == 1 / 250
    assert read_header(put(data[:end] + b"\0\0\0\4eXIfjunk" + data[end:])).iso is None


def test_remote_files_are_read_too(scene16):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/images/photo.png", imagecodecs.png_encode(scene16))
    assert read_header("memory://images/photo.png").bits == 16


def test_real_camera_files(shared):
    header = read_header(str(shared / "data/exif_stacks/lighthouse/A.jpg"))
    assert header.camera == "NIKON D3"
    assert header.exposure_time_s == 0.025
    assert header.captured_s is not None
