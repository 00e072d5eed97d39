# SPDX-License-Identifier: Apache-2.0
"""Every kind of pixels that the allow-list admits comes in right."""

from __future__ import annotations

import io
import itertools

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.errors import PhotoError
from pipeline.images import reading
from pipeline.images.reading import read_header, read_photo


def tiff_bytes(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def test_the_name_does_not_decide(put, pillow, scene8):
    uri = put(pillow(scene8, "PNG"), "photo.jpg")
    assert read_header(uri).format == "png"
    np.testing.assert_array_equal(read_photo(uri).pixels, scene8)


def test_png16_stays_16_bit(put, scene16):
    uri = put(imagecodecs.png_encode(scene16))
    photo = read_photo(uri)
    assert photo.header.bits == 16
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, scene16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"planarconfig": "separate"},
        {"tile": (16, 16)},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "rowsperstrip": 7},
        {"compression": "zlib", "byteorder": ">", "planarconfig": "separate", "tile": (16, 32)},
        {"bigtiff": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_stays_exact(put, scene16, scene8, options, bits):
    pixels = scene16 if bits == 16 else scene8
    planar = options.get("planarconfig") == "separate"
    stored = np.moveaxis(pixels, -1, 0) if planar else pixels
    uri = put(tiff_bytes(stored, photometric="rgb", **options))
    photo = read_photo(uri)
    assert photo.header.bits == bits
    assert photo.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(photo.pixels, pixels)


def test_a_silent_downgrade_is_refused(put, scene16, monkeypatch):
    uri = put(imagecodecs.png_encode(scene16))
    monkeypatch.setitem(
        reading._DECODERS, "png", lambda source, layout: (scene16 >> 8).astype(np.uint8)
    )
    with pytest.raises(PhotoError) as caught:
        read_photo(uri)
    assert caught.value.code == "decode-failed"
    assert "uint8" in caught.value.message


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_equals_an_independent_decoder(put, pillow, scene8, progressive, subsampling):
    data = pillow(scene8, "JPEG", progressive=progressive, subsampling=subsampling)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(read_photo(put(data)).pixels, expected)


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF"])
def test_grey_becomes_rgb(put, pillow, scene8, container):
    data = pillow(scene8[..., 0], container)
    photo = read_photo(put(data))
    assert photo.header.channels == 1
    assert photo.pixels.shape == scene8.shape
    expected = np.asarray(Image.open(io.BytesIO(data)))
    for channel in range(3):
        np.testing.assert_array_equal(photo.pixels[..., channel], expected)


def test_grey16_png_and_tiff(put, scene16):
    grey = np.ascontiguousarray(scene16[..., 1])
    for data in (imagecodecs.png_encode(grey), tiff_bytes(grey, photometric="minisblack")):
        np.testing.assert_array_equal(read_photo(put(data)).pixels[..., 2], grey)


def test_white_is_zero_tiff(put, scene16):
    uri = put(tiff_bytes(65535 - scene16[..., 1], photometric="miniswhite"))
    np.testing.assert_array_equal(read_photo(uri).pixels[..., 0], scene16[..., 1])


@pytest.mark.parametrize("container", ["PNG", "TIFF"])
def test_one_bit(put, pillow, scene8, container):
    mask = scene8[..., 0] > 127
    pixels = read_photo(put(pillow(Image.fromarray(mask), container))).pixels
    np.testing.assert_array_equal(pixels[..., 1], mask * np.uint8(255))


@pytest.mark.parametrize("container", ["PNG", "TIFF"])
def test_palette(put, pillow, scene8, container):
    indexed = Image.fromarray(scene8).quantize(32)
    photo = read_photo(put(pillow(indexed, container)))
    assert photo.pixels.dtype == np.uint8
    np.testing.assert_array_equal(photo.pixels, np.asarray(indexed.convert("RGB")))


def test_a_dark_one_bit_picture_stays_black(put):
    uri = put(imagecodecs.png_encode(np.zeros((4, 4), np.uint8)))
    assert read_photo(uri).pixels.max() == 0


def test_transparent_pixels_become_black(put, scene16):
    alpha = np.full(scene16.shape[:2], 65535, np.uint16)
    alpha[:10] = 0
    alpha[10:20] = 32768
    data = imagecodecs.png_encode(np.dstack([scene16, alpha]))
    photo = read_photo(put(data))
    assert photo.header.channels == 4
    assert photo.pixels[:10].max() == 0
    np.testing.assert_allclose(photo.pixels[10:20], scene16[10:20] / 2, atol=1.5)
    np.testing.assert_array_equal(photo.pixels[20:], scene16[20:])
    assert any("transparent" in note for note in photo.notes)


def test_opaque_alpha_changes_nothing(put, pillow, scene8):
    opaque = np.full(scene8.shape[:2], 255, np.uint8)
    for data in (
        pillow(np.dstack([scene8, opaque]), "PNG"),
        tiff_bytes(np.dstack([scene8, opaque]), photometric="rgb", extrasamples=["unassalpha"]),
    ):
        photo = read_photo(put(data))
        np.testing.assert_array_equal(photo.pixels, scene8)
        assert photo.notes == ()


@pytest.mark.parametrize("kind", ["assocalpha", "unspecified"])
def test_what_is_no_straight_alpha_is_left_alone(put, scene16, kind):
    extra = np.full(scene16.shape[:2], 30000, np.uint16)
    data = tiff_bytes(np.dstack([scene16, extra]), photometric="rgb", extrasamples=[kind])
    photo = read_photo(put(data))
    assert photo.header.channels == 3
    np.testing.assert_array_equal(photo.pixels, scene16)


def test_jpeg_in_tiff(put, pillow, scene8):
    smooth = np.repeat(np.repeat(scene8[::8, ::8], 8, axis=0), 8, axis=1)
    ycbcr = Image.fromarray(smooth).convert("YCbCr")
    for picture in (Image.fromarray(smooth), ycbcr):
        data = pillow(picture, "TIFF", compression="jpeg", quality=95)
        assert np.abs(read_photo(put(data)).pixels.astype(int) - smooth).mean() < 12


def test_12_bit_jpeg_spans_16_bits(put, scene16):
    data = imagecodecs.jpeg8_encode(scene16 >> 4, 99, bitspersample=12)
    photo = read_photo(put(data))
    assert photo.header.bits == 12
    assert photo.pixels.dtype == np.uint16
    assert np.abs(photo.pixels.astype(int) - scene16).mean() < 500


def test_the_first_of_several_pictures_in_a_jpeg(put, pillow, scene8):
    other = Image.fromarray(255 - scene8)
    data = pillow(scene8, "MPO", save_all=True, append_images=[other], quality=95)
    assert np.abs(read_photo(put(data)).pixels.astype(int) - scene8).mean() < 6


def test_alpha_and_grey_in_avif(put, pillow, scene8):
    alpha = np.full(scene8.shape[:2], 255, np.uint8)
    alpha[:20] = 0
    data = pillow(np.dstack([scene8, alpha]), "AVIF", quality=95, speed=9)
    photo = read_photo(put(data))
    assert photo.header.channels == 4
    assert photo.pixels[:16].max() <= 8
    assert np.abs(photo.pixels[24:].astype(int) - scene8[24:]).mean() < 6
    grey = np.ascontiguousarray(scene8[..., 0])
    data = imagecodecs.avif_encode(grey, 95, speed=9)
    assert np.abs(read_photo(put(data)).pixels[..., 1].astype(int) - grey).mean() < 6


def test_grey_with_alpha(put, pillow, scene8):
    pair = np.dstack([scene8[..., 0], np.full(scene8.shape[:2], 255, np.uint8)])
    pixels = read_photo(put(pillow(Image.fromarray(pair, "LA"), "PNG"))).pixels
    np.testing.assert_array_equal(pixels[..., 0], scene8[..., 0])


def test_transparent_colour_of_a_palette(put, pillow, scene8):
    indexed = Image.fromarray(scene8).quantize(16)
    pixels = read_photo(put(pillow(indexed, "PNG", transparency=3))).pixels
    hidden = np.asarray(indexed) == 3
    assert pixels[hidden].max() == 0
    np.testing.assert_array_equal(pixels[~hidden], np.asarray(indexed.convert("RGB"))[~hidden])


def cmyk_of(rgb):
    return np.asarray(Image.fromarray(rgb).convert("CMYK"))


def test_cmyk_tiff_multiplies_inks(put, pillow, scene8):
    inks = cmyk_of(scene8).copy()
    inks[..., 3] = 51
    expected = (255 - inks[..., :3].astype(float)) * (255 - 51) / 255
    pixels = read_photo(put(pillow(Image.fromarray(inks, "CMYK"), "TIFF"))).pixels
    np.testing.assert_allclose(pixels, expected, atol=0.51)


@pytest.mark.parametrize("model", ["cmyk", "ycck"])
def test_adobe_inverted_cmyk_jpeg(put, scene8, model):
    data = imagecodecs.jpeg8_encode(
        255 - cmyk_of(scene8), 98, colorspace="cmyk", outcolorspace=model
    )
    photo = read_photo(put(data))
    assert photo.header.channels == 4
    assert np.abs(photo.pixels.astype(int) - scene8).mean() < 3


def test_display_referred_float_tiff(put, scene16):
    values = (scene16 / 65535).astype(np.float32)
    photo = read_photo(put(tiff_bytes(values, photometric="rgb")))
    np.testing.assert_array_equal(photo.pixels, scene16)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_linear_float_tiff_is_refused(put, scene16, bad):
    values = (scene16 / 65535).astype(np.float32)
    values[3, 3, 0] = bad
    with pytest.raises(PhotoError) as caught:
        read_photo(put(tiff_bytes(values, photometric="rgb")))
    assert caught.value.code == "color-unsupported"


def test_the_first_page_is_read(put, scene8):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(scene8, photometric="rgb", metadata=None)
        writer.write(255 - scene8, photometric="rgb", metadata=None)
    photo = read_photo(put(buffer.getvalue()))
    np.testing.assert_array_equal(photo.pixels, scene8)
    assert any("first page" in note for note in photo.notes)


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_spans_16_bits(put, scene16, bits):
    stored = scene16 >> (16 - bits)
    data = imagecodecs.avif_encode(stored, 100, bitspersample=bits, speed=9)
    photo = read_photo(put(data))
    assert photo.header.bits == bits
    assert photo.pixels.dtype == np.uint16
    step = 65535 / ((1 << bits) - 1)
    assert np.abs(photo.pixels / step - stored).max() <= 1.01


def oriented(upright, orientation):
    """How a camera stores an upright picture under an orientation: the definition's inverse."""
    inverse = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(inverse[orientation])


@pytest.mark.parametrize(
    ("orientation", "container"),
    list(itertools.product(range(1, 9), ["PNG", "TIFF", "JPEG", "AVIF"])),
)
def test_all_orientations_come_upright(put, pillow, scene8, orientation, container):
    exif = Image.Exif()
    exif[274] = orientation
    stored = oriented(scene8, orientation)
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "AVIF": {"quality": 100, "speed": 9}}
    data = pillow(stored, container, exif=exif, **options.get(container, {}))
    uri = put(data)
    photo = read_photo(uri)
    header = read_header(uri)
    assert (header.height, header.width) == scene8.shape[:2]
    assert (header.stored_height, header.stored_width) == stored.shape[:2]
    assert header.orientation == orientation
    tolerance = {"PNG": 0, "TIFF": 0}.get(container, 12)
    assert np.abs(photo.pixels.astype(int) - scene8).max() <= tolerance


def test_header_and_photo_agree(put, pillow, scene8):
    uri = put(pillow(scene8, "JPEG"))
    assert read_photo(uri).header == read_header(uri)
