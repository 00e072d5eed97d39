# SPDX-License-Identifier: Apache-2.0
"""Scene-referred images come in as linear float32."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import OpenEXR
import pytest

from pipeline.errors import PhotoError
from pipeline.images.reading import read_header, read_radiance


@pytest.fixture
def radiance():
    """(H, W, 3) float32 over five orders of magnitude."""
    generator = np.random.default_rng(3)
    return (10 ** generator.uniform(-2, 3, (24, 36, 3))).astype(np.float32)


def exr_bytes(channels, **header):
    options = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | header
    buffer = io.BytesIO()
    OpenEXR.File(options, channels).write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("compression", [OpenEXR.PIZ_COMPRESSION, OpenEXR.NO_COMPRESSION])
def test_exr_is_exact(put, radiance, dtype, compression):
    stored = radiance.astype(dtype)
    uri = put(exr_bytes({"RGB": stored}, compression=compression))
    read = read_radiance(uri)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, stored.astype(np.float32))
    assert read_header(uri).bits == np.dtype(dtype).itemsize * 8


def test_tiled_exr(put, radiance):
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    data = exr_bytes({"RGB": radiance}, type=OpenEXR.tiledimage, tiles=tiles)
    np.testing.assert_array_equal(read_radiance(put(data)), radiance)


def test_alpha_is_left_out_and_grey_repeated(put, radiance):
    alpha = np.ones(radiance.shape[:2], np.float32)
    data = exr_bytes({"RGBA": np.dstack([radiance, alpha])})
    np.testing.assert_array_equal(read_radiance(put(data)), radiance)
    grey = exr_bytes({"Y": np.ascontiguousarray(radiance[..., 0])})
    np.testing.assert_array_equal(read_radiance(put(grey))[..., 2], radiance[..., 0])


def test_channels_without_a_meaning_are_refused(put, radiance):
    data = exr_bytes({"Z": np.ascontiguousarray(radiance[..., 0])})
    with pytest.raises(PhotoError) as caught:
        read_radiance(put(data))
    assert caught.value.code == "color-unsupported"


def hdr_bytes(radiance):
    return imagecodecs.rgbe_encode(radiance, header=True, rle=True)


def test_hdr_keeps_its_precision(put, radiance):
    uri = put(hdr_bytes(radiance))
    read = read_radiance(uri)
    assert read.dtype == np.float32
    brightest = radiance.max(axis=-1, keepdims=True)
    assert (np.abs(read - radiance) / brightest).max() <= 1 / 128
    header = read_header(uri)
    assert (header.height, header.width) == radiance.shape[:2]


def test_an_exposure_line_is_divided_out(put, radiance):
    data = hdr_bytes(radiance)
    plain = read_radiance(put(data))
    first = data.index(b"\n") + 1
    exposed = data[:first] + b"EXPOSURE=2.0\nEXPOSURE=4\n" + data[first:]
    np.testing.assert_allclose(read_radiance(put(exposed)), plain / 8, rtol=1e-6)


def test_real_files(shared):
    from pathlib import Path

    files = sorted(Path(shared / "data/hdr_gt").glob("*/*.[eh][xd]r"))
    assert files
    for path in files:
        pixels = read_radiance(str(path))
        header = read_header(str(path))
        assert pixels.shape == (header.height, header.width, 3)
        assert np.isfinite(pixels).all()
