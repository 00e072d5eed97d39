# SPDX-License-Identifier: Apache-2.0
"""Profiles are honoured, exactly and with all bits; wrong ones are ignored with a note."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from pipeline.images import color
from pipeline.images.color import linear_to_srgb, srgb_profile, srgb_to_linear
from pipeline.images.exifblock import assemble
from pipeline.images.png import SIGNATURE, chunk
from pipeline.images.reading import read_photo

GAMMA = 563 / 256
# RGB to XYZ under D65, computed from the primaries of the two standards.
WHITE = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])


def to_xyz(primaries):
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, WHITE)


ADOBE = to_xyz([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)])
SRGB = to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])


def adobe_profile():
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[0.3127, 0.3290],
        primaries=[0.64, 0.33, 0.21, 0.71, 0.15, 0.06],
        gamma=GAMMA,
    )


def expected_srgb(adobe):
    """The colours by the standards' own formulas, in 0..1."""
    linear = (adobe**GAMMA) @ (np.linalg.inv(SRGB) @ ADOBE).T
    linear = np.clip(linear, 0, 1)
    low, high = 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, low, high)


def png_with(pixels, *chunks):
    data = imagecodecs.png_encode(pixels)
    end = len(SIGNATURE) + 25
    return data[:end] + b"".join(chunks) + data[end:]


def iccp(profile):
    return chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))


def test_a_16_bit_profile_keeps_16_bits(put, scene16):
    photo = read_photo(put(png_with(scene16, iccp(adobe_profile()))))
    expected = expected_srgb(scene16 / 65535) * 65535
    assert photo.pixels.dtype == np.uint16
    # Near black the curves differ in slope; a few levels of 65535 are left of the whole chain.
    assert np.abs(photo.pixels - expected).max() < 64
    assert np.abs(photo.pixels - expected).mean() < 4


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "AVIF"])
def test_a_profile_in_every_container(put, pillow, container):
    colour = np.array([60, 180, 90], np.uint8)
    patch = np.broadcast_to(colour, (32, 32, 3)).copy()
    options = {"quality": 100} if container in ("JPEG", "AVIF") else {}
    data = pillow(patch, container, icc_profile=adobe_profile(), **options)
    pixel = read_photo(put(data)).pixels[16, 16]
    expected = expected_srgb(colour / 255) * 255
    assert np.abs(pixel - expected).max() <= (3 if options else 1)
    assert np.abs(pixel.astype(int) - colour).max() > 20


def test_a_tiff_of_16_bits_with_a_profile(put, scene16):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, scene16, photometric="rgb", iccprofile=adobe_profile())
    photo = read_photo(put(buffer.getvalue()))
    assert np.abs(photo.pixels - expected_srgb(scene16 / 65535) * 65535).max() < 64


def test_srgb_profiles_change_nothing(put, pillow, scene8, scene16):
    data = pillow(scene8, "PNG", icc_profile=srgb_profile())
    np.testing.assert_array_equal(read_photo(put(data)).pixels, scene8)
    data = png_with(scene16, iccp(srgb_profile()))
    np.testing.assert_array_equal(read_photo(put(data)).pixels, scene16)


def test_a_grey_profile(put):
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    profile = imagecodecs.cms_profile("gray", gamma=1.0)
    pixels = read_photo(put(png_with(ramp, iccp(profile)))).pixels
    expected = linear_to_srgb((ramp / 65535).astype(np.float32)) * 65535
    assert np.abs(pixels[..., 0] - expected)[4:].max() < 64
    assert np.abs(pixels.astype(int) - pixels[..., :1]).max() <= 2


@pytest.mark.parametrize(
    "profile", [b"junk", b"\0" * 200, srgb_profile()[:300], imagecodecs.cms_profile("gray")]
)
def test_a_profile_that_does_not_serve_is_ignored(put, scene16, profile):
    photo = read_photo(put(png_with(scene16, iccp(profile))))
    np.testing.assert_array_equal(photo.pixels, scene16)
    assert any("ICC" in note for note in photo.notes)


def test_a_camera_set_to_adobe_rgb_without_a_profile(put, pillow):
    patch = np.broadcast_to(np.array([60, 180, 90], np.uint8), (32, 32, 3)).copy()
    detail = [(40961, 3, struct.pack("<H", 0xFFFF)), (40965, 4, bytes(4))]
    main = b"II*\0\x08\0\0\0" + assemble("<", [], {34665: detail}, 8)
    interoperability = struct.pack("<HHHI", 1, 1, 2, 4) + b"R03\0" + bytes(4)
    at = main.index(struct.pack("<HHI", 40965, 4, 1)) + 8
    exif = main[:at] + struct.pack("<I", len(main)) + main[at + 4 :] + interoperability
    pixel = read_photo(put(pillow(patch, "JPEG", quality=100, exif=b"Exif\0\0" + exif))).pixels[
        16, 16
    ]
    assert np.abs(pixel - expected_srgb(np.array([60, 180, 90]) / 255) * 255).max() <= 3


def test_strips_of_a_large_image_fit_together(put, scene16, monkeypatch):
    uri = put(png_with(scene16, iccp(adobe_profile())))
    whole = read_photo(uri).pixels
    monkeypatch.setattr(color, "_STRIP_PX", scene16.shape[1] * 3)
    np.testing.assert_array_equal(read_photo(uri).pixels, whole)


def test_the_curve_and_its_inverse():
    codes = np.linspace(0, 1, 4096, dtype=np.float32)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(codes)), codes, atol=1e-6)


def test_the_embedded_profile_has_no_time_stamp():
    assert srgb_profile()[24:36] == bytes.fromhex("07d000010001000000000000")
