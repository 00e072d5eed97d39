# SPDX-License-Identifier: Apache-2.0
"""What goes out comes back: exact where lossless, near where not, and always the same bytes."""

from __future__ import annotations

import io
import struct

import exifread
import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pipeline.errors import InfrastructureError, PhotoError, UsageError
from pipeline.images.color import srgb_profile, srgb_to_linear
from pipeline.images.directories import write_directory
from pipeline.images.exif import read_facts
from pipeline.images.exifblock import assemble
from pipeline.images.reading import read_photo, read_radiance
from pipeline.images.writing import (
    BITS,
    encode_photo,
    encode_radiance,
    quantize,
    write_photo,
    write_radiance,
)

COMBINATIONS = [(name, bits) for name, depths in BITS.items() for bits in depths]


@pytest.mark.parametrize(
    ("name", "bits", "tolerance"),
    [
        ("png", 8, 0),
        ("png", 16, 0),
        ("tiff", 8, 0),
        ("tiff", 16, 0),
        ("jpeg", 8, 6),
        ("avif", 8, 6),
        ("avif", 10, 4 * 64),
        ("avif", 12, 4 * 16),
    ],
)
def test_round_trip(tmp_path, scene8, scene16, name, bits, tolerance):
    pixels = scene8 if bits == 8 else scene16
    uri = str(tmp_path / f"out.{name}")
    written = write_photo(pixels, uri, format=name, bits=bits, quality=100)
    photo = read_photo(uri)
    assert photo.header.format == name
    assert photo.header.bits == bits
    assert photo.pixels.dtype == pixels.dtype
    assert np.abs(photo.pixels.astype(int) - pixels).max() <= tolerance
    assert (written.width, written.height) == (pixels.shape[1], pixels.shape[0])
    assert written.size_bytes == (tmp_path / f"out.{name}").stat().st_size
    assert written.uri == uri
    assert photo.notes == ()


@pytest.mark.parametrize("bits", [16, 32])
def test_radiance_round_trip(tmp_path, bits):
    radiance = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1)) * 900
    write_radiance(radiance, str(tmp_path / "out.exr"), bits=bits)
    read = torch.from_numpy(read_radiance(str(tmp_path / "out.exr"))).permute(2, 0, 1)
    expected = radiance.half().float() if bits == 16 else radiance
    assert torch.equal(read, expected)


def test_a_fusion_in_exr_is_linear(tmp_path, scene16):
    write_photo(scene16, str(tmp_path / "out.exr"), format="exr", bits=32)
    expected = srgb_to_linear((scene16 / 65535).astype(np.float32))
    np.testing.assert_allclose(read_radiance(str(tmp_path / "out.exr")), expected, rtol=1e-5)


def test_tensors_and_arrays_give_the_same_file(scene16):
    tensor = torch.from_numpy(scene16.astype(np.float32) / 65535).permute(2, 0, 1)
    for bits in (8, 16):
        from_tensor = encode_photo(tensor, format="png", bits=bits)
        from_array = encode_photo(quantize(tensor, bits), format="png", bits=bits)
        assert from_tensor.data == from_array.data


@pytest.mark.parametrize(("name", "bits"), COMBINATIONS)
def test_the_same_pixels_give_the_same_bytes(scene16, name, bits, monkeypatch):
    first = encode_photo(scene16, format=name, bits=bits, exif=full_block()).data
    monkeypatch.setattr("time.time", lambda: 2e9)
    second = encode_photo(scene16.copy(), format=name, bits=bits, exif=full_block())
    assert second.data == first
    assert len(second.sha256) == 64


def test_quality_matters(scene8):
    sizes = [encode_photo(scene8, format="jpeg", bits=8, quality=q).size_bytes for q in (50, 95)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"format": "jpeg", "bits": 16}, "8"),
        ({"format": "png", "bits": 10}, "8 or 16"),
        ({"format": "gif", "bits": 8}, "jpeg, png"),
        ({"format": "jpeg", "bits": 8, "quality": 0}, "1..100"),
    ],
)
def test_what_does_not_go_together_is_refused(scene8, options, allowed):
    with pytest.raises(UsageError) as caught:
        encode_photo(scene8, **options)
    assert caught.value.code == "option-invalid"
    assert allowed in caught.value.message


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-2, 3, width=32)),
    st.sampled_from([8, 10, 12, 16]),
)
def test_quantize_rounds_and_clips(values, bits):
    peak = (1 << bits) - 1
    result = quantize(torch.from_numpy(values), bits)
    assert result.shape == (4, 5, 3)
    exact = np.clip(values.astype(np.float64), 0, 1).transpose(1, 2, 0) * peak
    assert np.abs(result - exact).max() <= 0.5 + 2e-2


def test_quantize_rounds_halves_up_and_keeps_integers():
    halves = torch.tensor([0.5, 1.5, 2.5, 254.5]).div(255).expand(3, 1, 4)
    assert quantize(halves, 8)[0, :, 0].tolist() == [1, 2, 3, 255]
    codes = torch.arange(65536, dtype=torch.float32).div(65535).expand(3, 1, 65536)
    np.testing.assert_array_equal(quantize(codes, 16)[0, :, 0], np.arange(65536))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_number_is_no_picture(bad):
    fusion = torch.full((3, 4, 4), 0.5)
    fusion[1, 2, 2] = bad
    for act in (lambda: quantize(fusion, 8), lambda: encode_radiance(fusion)):
        with pytest.raises(PhotoError) as caught:
            act()
        assert caught.value.code == "result-unwritable"


def test_too_large_for_the_format_is_an_error_with_a_cure():
    wide = np.zeros((1, 70_000, 3), np.uint8)
    with pytest.raises(PhotoError) as caught:
        encode_photo(wide, format="jpeg", bits=8)
    assert caught.value.code == "result-unwritable"
    assert "--format" in caught.value.message


def full_block(order="<"):
    """Orientation 6, a GPS position, a maker note with an offset into itself, a thumbnail."""
    thumbnail = b"\xff\xd8" + b"T" * 100 + b"\xff\xd9"

    def pack(letters, *values):
        return struct.pack(order + letters, *values)

    detail = [
        (33434, 5, pack("II", 1, 250)),
        (36867, 2, b"2024:05:06 07:08:09\0"),
        (37500, 7, b"MAKERNOTE-" * 5),
        (40962, 4, pack("I", 6000)),
        (40963, 3, pack("H", 4000)),
    ]
    gps = [(1, 2, b"N\0"), (2, 5, pack("IIIIII", 47, 1, 30, 1, 0, 1))]
    main = [
        (271, 2, b"Maker\0"),
        (272, 2, b"Model\0"),
        (274, 3, pack("H", 6)),
        (305, 2, b"Firmware 1.0 of the camera\0"),
        (315, 2, "Jörg\0".encode()),
    ]
    head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    body = head + assemble(order, main, {34665: detail, 34853: gps}, 8)
    second = len(body)
    fields = [(513, 4, pack("I", second + 30)), (514, 4, pack("I", len(thumbnail)))]
    body += write_directory(order, fields, second) + thumbnail
    # Seven fields stand in the first directory; the pointer to the second follows them.
    at = 8 + 2 + 12 * 7
    return body[:at] + pack("I", second) + body[at + 4 :]


def test_the_block_of_these_tests_is_sound():
    found = exifread.process_file(io.BytesIO(full_block()), builtin_types=True)
    assert found["Thumbnail JPEGInterchangeFormatLength"] == 104
    assert found["GPS GPSLatitude"] == [47, 30, 0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "avif"])
def test_exif_is_carried_over_and_made_true(tmp_path, scene8, name, order):
    block = full_block(order)
    uri = str(tmp_path / "out.img")
    data = write_photo(scene8, uri, format=name, bits=8, exif=block).data
    with Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        detail, gps = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert exif.get(274, 1) == 1
    assert exif[271] == "Maker"
    assert exif[305] == "bracketflow"
    assert detail[33434] == 1 / 250
    assert (detail[40962], detail[40963]) == (scene8.shape[1], scene8.shape[0])
    assert gps[2] == (47, 30, 0)
    assert exif.get_ifd(1).get(513) is None
    assert b"TTTTTTTT" not in data
    facts = read_photo(uri).header
    assert facts.exposure_time_s == 1 / 250
    assert facts.orientation == 1
    if name != "tiff":
        carried = read_photo(uri).exif
        assert carried is not None
        # A maker note must stay where it was in its block.
        assert carried.index(b"MAKERNOTE-") == block.index(b"MAKERNOTE-")


@pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "avif"])
def test_damaged_exif_is_left_behind(scene8, put, name):
    for damaged in (b"", b"junk", full_block()[:30], b"II*\0\xff\xff\xff\x7f"):
        photo = read_photo(put(encode_photo(scene8, format=name, bits=8, exif=damaged).data))
        assert photo.pixels.shape == scene8.shape


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(full_block()) - 1), st.binary(min_size=1, max_size=12))
def test_hostile_exif_never_stops_a_result(at, junk):
    block = full_block()
    damaged = block[:at] + junk + block[at + len(junk) :]
    pixels = np.zeros((4, 4, 3), np.uint8)
    for name in ("jpeg", "tiff"):
        data = encode_photo(pixels, format=name, bits=8, exif=damaged).data
        with Image.open(io.BytesIO(data)) as image:
            assert np.asarray(image).shape == (4, 4, 3)


def test_exif_too_large_for_a_jpeg_loses_its_maker_note_only(put, scene8):
    detail = [(33434, 5, struct.pack("<II", 1, 250)), (37500, 7, b"M" * 65_000)]
    exif = b"II*\0\x08\0\0\0" + assemble("<", [(271, 2, b"Maker\0" * 200)], {34665: detail}, 8)
    data = encode_photo(scene8, format="jpeg", bits=8, exif=exif).data
    photo = read_photo(put(data))
    assert photo.header.exposure_time_s == 1 / 250
    assert b"MMMM" not in data


def test_exif_of_a_tiff_travels_to_a_jpeg(put, scene8):
    tiff = encode_photo(scene8, format="tiff", bits=16, exif=full_block(">")).data
    carried = read_photo(put(tiff)).exif
    facts = read_facts(
        read_photo(put(encode_photo(scene8, format="jpeg", bits=8, exif=carried).data)).exif
    )
    assert facts.exposure_time_s == 1 / 250
    assert facts.camera == "Maker Model"


@pytest.mark.parametrize(("name", "bits"), [("jpeg", 8), ("png", 8), ("tiff", 8), ("avif", 8)])
def test_every_photograph_says_that_it_is_srgb(scene8, name, bits):
    data = encode_photo(scene8, format=name, bits=bits).data
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == srgb_profile()


def test_a_tiff_is_sound_for_other_readers(scene16):
    data = encode_photo(scene16, format="tiff", bits=16, exif=full_block()).data
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray(), scene16)
        assert page.tags["Make"].value == "Maker"
        assert page.tags["ExifTag"].value["ExposureTime"] == (1, 250)
        assert page.iccprofile == srgb_profile()


def test_exr_says_what_it_is(tmp_path):
    data = encode_radiance(torch.ones(3, 4, 4)).data
    with OpenEXR.File(io.BytesIO(data)) as file:
        assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION


def test_half_clips_what_it_cannot_hold(put):
    data = encode_radiance(torch.full((3, 4, 4), 1e6), bits=16).data
    assert read_radiance(put(data)).max() == 65504


def test_a_failed_write_leaves_nothing(tmp_path, scene8, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    target = tmp_path / "out.jpg"
    target.write_bytes(b"before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InfrastructureError) as caught:
        write_photo(scene8, str(target), format="jpeg", bits=8)
    assert caught.value.code == "disk-full"
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jpg"]
