# SPDX-License-Identifier: Apache-2.0
"""RAW through the extra, on a DNG that is made here."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from pipeline.errors import PhotoError
from pipeline.images.reading import read_header, read_photo
from tests.pipeline.images.dng import HEIGHT, WIDTH, dng


def test_the_header_needs_no_extra(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    header = read_header(put(dng(1.0), "a.dng"))
    assert header.format == "raw"
    assert (header.width, header.height) == (WIDTH, HEIGHT)
    assert header.camera == "Maker Model"
    assert header.exposure_time_s == 1 / 125


def test_without_the_extra_the_cure_is_named(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(PhotoError) as caught:
        read_photo(put(dng(1.0)))
    assert caught.value.code == "format-needs-extra"
    assert "pip install 'bracketflow[raw]'" in caught.value.message


def test_a_grey_ramp_comes_out_grey_and_16_bit(put):
    pytest.importorskip("rawpy")
    photo = read_photo(put(dng(1.0)))
    assert photo.pixels.dtype == np.uint16
    assert (photo.header.height, photo.header.width) == photo.pixels.shape[:2]
    inner = photo.pixels[8:-8, 8:-8].astype(float)
    assert np.ptp(inner.mean(axis=0), axis=-1).max() < 0.02 * 65535
    assert len(np.unique(photo.pixels)) > 256
    expected = np.linspace(0.05, 0.8, WIDTH)[8:-8]
    encoded = 1.055 * expected ** (1 / 2.4) - 0.055
    assert np.abs(inner[..., 1].mean(axis=0) / 65535 - encoded).max() < 0.02


def test_frames_differ_by_exposure_alone(put):
    """No automatic brightness and no adaptive white level: half the light is half the light."""
    pytest.importorskip("rawpy")

    def linear(uri):
        encoded = read_photo(uri).pixels[8:-8, 8:-8].astype(float) / 65535
        return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)

    ratio = linear(put(dng(0.5))).mean() / linear(put(dng(1.0))).mean()
    assert ratio == pytest.approx(0.5, rel=0.02)


def test_one_white_balance_for_all_frames(put):
    pytest.importorskip("rawpy")
    reference = read_photo(put(dng(1.0)))
    # The same mosaic with another opinion of the camera on what is neutral.
    other = dng(1.0).replace(
        struct.pack("<6I", 5000, 10_000, 10_000, 10_000, 6000, 10_000),
        struct.pack("<6I", 9000, 10_000, 10_000, 10_000, 9000, 10_000),
    )
    assert other != dng(1.0)
    own = read_photo(put(other))
    fixed = read_photo(put(other), white_balance=reference.white_balance)
    assert np.abs(own.pixels.astype(int) - reference.pixels).max() > 2000
    assert np.abs(fixed.pixels.astype(int) - reference.pixels).mean() < 200


def test_a_truncated_raw(put):
    pytest.importorskip("rawpy")
    data = dng(1.0)
    with pytest.raises(PhotoError) as caught:
        read_photo(put(data[: len(data) // 2]))
    assert caught.value.code in ("decode-truncated", "decode-failed")
