# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files: a stable code, the file's name, the cure; never grey areas."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import InfrastructureError, PhotoError
from pipeline.images.png import SIGNATURE, chunk
from pipeline.images.reading import Limits, read_header, read_photo, read_radiance
from pipeline.images.source import Source
from pipeline.images.writing import encode_photo, encode_radiance
from pipeline.storage import to_uri
from tests.hostile.seeds import seeds
from tests.hostile.tiffs import tiff_of

SEEDS = {name: data for name, data in seeds().items() if not name.startswith(("exr", "hdr"))}


def code_of(uri, reader=read_photo, **options):
    with pytest.raises(PhotoError) as caught:
        reader(uri, **options)
    assert str(uri) in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value.code


def _tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", **options)
    return buffer.getvalue()


def _jpeg(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


ENCODERS = {
    "jpeg": lambda p8, p16: _jpeg(p8),
    "progressive": lambda p8, p16: _jpeg(p8, progressive=True),
    "png8": lambda p8, p16: imagecodecs.png_encode(p8),
    "png16": lambda p8, p16: imagecodecs.png_encode(p16),
    "tiff": lambda p8, p16: _tiff(p16),
    "deflate": lambda p8, p16: _tiff(p16, compression="zlib", predictor=True, rowsperstrip=5),
    "tiles": lambda p8, p16: _tiff(p8, tile=(16, 16), compression="lzw"),
    "avif": lambda p8, p16: encode_photo(p8, format="avif", bits=8).data,
    "avif12": lambda p8, p16: encode_photo(p16, format="avif", bits=12).data,
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_truncated_anywhere(put, scene8, scene16, kind):
    data = ENCODERS[kind](scene8, scene16)
    assert read_photo(put(data)).pixels.shape == scene8.shape
    for part in (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        code = code_of(put(data[: int(len(data) * part)]))
        # A PNG's or TIFF's tables may be gone too, and then nobody can tell how long it was.
        assert code in ("decode-truncated", "decode-failed"), part
    assert code_of(put(data[: len(data) // 2])) == "decode-truncated"
    assert code_of(put(data[: len(data) - 30])) == "decode-truncated"


@pytest.mark.parametrize("kind", SEEDS)
def test_a_picture_without_its_last_bytes_is_no_other_picture(put, kind):
    data = SEEDS[kind]
    whole = read_photo(put(data)).pixels
    for missing in (1, 4, 9, 14, 30):
        with contextlib.suppress(PhotoError):
            np.testing.assert_array_equal(read_photo(put(data[:-missing])).pixels, whole)


def test_a_jpeg_with_a_hole_at_its_end(put, scene8):
    data = _jpeg(scene8)
    half = len(data) // 2
    assert code_of(put(data[:half] + bytes(len(data) - half))) == "decode-truncated"


def test_a_thumbnail_does_not_hide_truncation(put, scene8):
    data = _jpeg(scene8)
    block = b"Exif\0\0II*\0\x08\0\0\0\0\0" + _jpeg(scene8[:8, :8])
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    assert code_of(put(data[:2] + segment + data[2:-200])) == "decode-truncated"


def test_bytes_after_the_end_do_no_harm(put, scene8):
    data = _jpeg(scene8)
    plain = read_photo(put(data)).pixels
    np.testing.assert_array_equal(read_photo(put(data + b"\0" * 999)).pixels, plain)


@pytest.mark.parametrize("kind", ENCODERS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=24))
def test_junk_gives_a_picture_or_an_error(put, scene8, scene16, kind, at, junk):
    data = bytearray(ENCODERS[kind](scene8, scene16))
    start = int(at * (len(data) - 1))
    data[start : start + len(junk)] = junk
    uri = put(bytes(data))
    with contextlib.suppress(PhotoError):
        assert read_photo(uri, Limits(max_pixels=1_000_000)).pixels.shape[2] == 3


def _png_claiming(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(4096)))
        + chunk(b"IEND", b"")
    )


def _jpeg_claiming(pixels, width, height):
    data = bytearray(_jpeg(pixels))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("reader", [read_header, read_photo])
def test_bombs_are_refused_before_decoding(put, scene8, reader):
    assert code_of(put(_png_claiming(100_000, 100_000)), reader) == "image-too-large"
    assert code_of(put(_jpeg_claiming(scene8, 65_000, 65_000)), reader) == "image-too-large"


def test_a_tile_bomb(put, scene8):
    data = _tiff(scene8, tile=(16, 16))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags["TileWidth"].valueoffset
        down = file.pages[0].tags["TileLength"].valueoffset
    bomb = bytearray(data)
    for offset in (at, down):
        bomb[offset : offset + 2] = struct.pack("<H", 65_520)
    assert code_of(put(bytes(bomb))) == "image-too-large"


def test_caps_are_the_callers(put, scene8):
    uri = put(_jpeg(scene8))
    pixels = scene8.shape[0] * scene8.shape[1]
    assert read_photo(uri, Limits(max_pixels=pixels)).pixels.shape == scene8.shape
    assert code_of(uri, limits=Limits(max_pixels=pixels - 1)) == "image-too-large"
    assert code_of(uri, limits=Limits(max_bytes=100)) == "file-too-large"


@pytest.mark.parametrize("reader", [read_header, read_photo, read_radiance])
def test_what_is_no_image(put, tmp_path, reader):
    assert code_of(put(b""), reader) == "file-empty"
    assert code_of(put(b"Dear diary, ...", "a.jpg"), reader) == "format-unsupported"
    assert code_of(put(b"\0\0\0\x18ftypheic" + bytes(64)), reader) == "format-unsupported"
    assert code_of(put(b"GIF89a" + bytes(64)), reader) == "format-unsupported"
    assert code_of(put(b"\xff\xd8\xff"), reader) == "decode-truncated"
    assert code_of(put(SIGNATURE), reader) == "decode-truncated"
    assert code_of(str(tmp_path), reader) == "format-unsupported"
    assert code_of(str(tmp_path / "nowhere.jpg"), reader) == "file-missing"


def test_links(tmp_path, put, scene8):
    put(_jpeg(scene8), "a.jpg")
    (tmp_path / "good.jpg").symlink_to("a.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nothing.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    assert read_photo(str(tmp_path / "good.jpg")).pixels.shape == scene8.shape
    assert code_of(str(tmp_path / "dangling.jpg")) == "file-link"
    assert code_of(str(tmp_path / "circle.jpg")) == "file-link"


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert code_of(str(tmp_path / "pipe.jpg")) == "format-unsupported"


def test_names_that_are_not_utf8(tmp_path, scene8):
    path = os.fsencode(tmp_path) + b"/caf\xe9 'quoted'\n.jpg"
    with open(path, "wb") as handle:
        handle.write(_jpeg(scene8))
    assert read_photo(to_uri(os.fsdecode(path))).pixels.shape == scene8.shape


@pytest.mark.parametrize(
    ("uri", "number", "kind", "code"),
    [
        ("/photo", errno.EIO, PhotoError, "file-unreadable"),  # a bad sector under one file
        ("s3://b/photo", errno.EIO, InfrastructureError, "storage-failed"),
        ("/photo", errno.ETIMEDOUT, InfrastructureError, "storage-failed"),
    ],
)
def test_who_is_to_blame_when_reading_fails(uri, number, kind, code):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(number, os.strerror(number))

    with pytest.raises(kind) as caught:
        Source(uri, Broken(b"abc"), Limits())
    assert caught.value.code == code


def test_a_photograph_is_no_radiance_and_the_reverse(put, scene8):
    assert code_of(put(_jpeg(scene8)), read_radiance) == "format-unsupported"
    radiance = np.ones((3, 8, 8), np.float32)
    assert code_of(put(encode_radiance(radiance).data)) == "color-unsupported"


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.95])
def test_truncated_radiance(put, part):
    values = np.random.default_rng(0).random((3, 40, 56)).astype(np.float32)
    exr = encode_radiance(values, bits=32).data
    hdr = imagecodecs.rgbe_encode(
        np.ascontiguousarray(values.transpose(1, 2, 0)), header=True, rle=True
    )
    for data in (exr, hdr):
        code = code_of(put(data[: int(len(data) * part)]), read_radiance)
        assert code in ("decode-truncated", "decode-failed")


def test_exr_bomb(put):
    data = bytearray(encode_radiance(np.ones((3, 8, 8), np.float32)).data)
    at = data.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    data[at : at + 16] = struct.pack("<4i", 0, 0, 99_999, 99_999)
    assert code_of(put(bytes(data)), read_radiance) == "image-too-large"


@pytest.mark.parametrize("gray", [False, True])
def test_damage_in_the_middle_of_a_jpeg_is_found(tmp_path, gray):
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.integers(0, 255, (40, 60, 3), np.uint8), (600, 400))
    _, encoded = cv2.imencode(".jpg", pixels[..., 0] if gray else pixels)
    data = bytearray(encoded.tobytes())
    middle = len(data) // 2
    data[middle : middle + 200] = rng.integers(0, 255, 200, np.uint8).tobytes()
    path = tmp_path / "flipped.jpg"
    path.write_bytes(data)
    with pytest.raises(PhotoError) as caught:
        read_photo(str(path))
    assert caught.value.code == "decode-failed"
    assert "flipped.jpg" in caught.value.message


def test_a_strip_without_its_count_is_as_long_as_its_pixels(put):
    whole = tiff_of({279: (4, ())})
    assert read_photo(put(whole, "whole.tif")).pixels.shape == (8, 8, 3)
    behind = tiff_of({279: (4, ()), 273: (4, (100,)), 278: (4, (8,)), 257: (4, (80,))})
    assert code_of(put(behind, "behind.tif")) == "decode-failed"
