# SPDX-License-Identifier: Apache-2.0
"""From a file's colours to display-referred sRGB, 8 bits as 8 and more as 16.

- Alpha is put over black: a transparent pixel holds nothing that may be fused, and black is what
  a fusion trusts least.
- An ICC profile that fits the image's colours is honoured, with relative colorimetric intent and
  black point compensation as editors do; one that is damaged or does not fit is ignored with a
  note, as viewers do. Without one, RGB is sRGB (Adobe RGB where EXIF says so), grey has sRGB's
  curve, and inks multiply.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from pipeline.bracket import Pixels
from pipeline.errors import PhotoError
from pipeline.images.layout import Layout

__all__ = ["ADOBE_RGB", "linear_to_srgb", "srgb_profile", "srgb_to_linear", "to_srgb"]

_FLAGS = imagecodecs.CMS.FLAGS
_RELATIVE = int(imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC)
_COLOR_SPACES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
_MODELS = {"grey": "gray", "rgb": "rgb", "cmyk": "cmyk"}
_STRIP_PX = 1 << 22
_CREATED = slice(24, 36)
_DATE = bytes.fromhex("07d0 0001 0001 0000 0000 0000")


def _dated(profile: bytes) -> bytes:
    """The profile as if made on 1 January 2000, so that the same pixels give the same file."""
    return profile[: _CREATED.start] + _DATE + profile[_CREATED.stop :]


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The sRGB profile that every result carries; always the same bytes."""
    return _dated(imagecodecs.cms_profile("srgb"))


# Adobe RGB (1998) Color Image Encoding, section 4.3.
ADOBE_RGB: bytes = _dated(
    imagecodecs.cms_profile(
        "rgb",
        whitepoint=[0.3127, 0.3290],
        primaries=[0.64, 0.33, 0.21, 0.71, 0.15, 0.06],
        gamma=563 / 256,
    )
)


def srgb_to_linear(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """The curve of IEC 61966-2-1, values in 0..1."""
    low = encoded / np.float32(12.92)
    high = ((encoded + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(encoded <= 0.04045, low, high).astype(np.float32)


def linear_to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of :func:`srgb_to_linear`."""
    low = linear * np.float32(12.92)
    high = np.float32(1.055) * np.maximum(linear, 0) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= 0.0031308, low, high).astype(np.float32)


def to_srgb(
    pixels: NDArray[Any], layout: Layout, *, uri: str, profile: bytes | None
) -> tuple[Pixels, tuple[str, ...]]:
    """Convert decoded pixels.

    Args:
        pixels: (H, W) or (H, W, C) as decoded; CMYK with 0 for no ink.
        layout: the header they belong to.
        uri: for messages.
        profile: ICC profile of the colours, None for the default.

    Returns:
        (H, W, 3) uint8 or uint16, C-contiguous, and notes.

    Raises:
        PhotoError: ``color-unsupported``.
    """
    whole = _to_full_range(pixels, layout, uri)
    if whole.ndim == 2:
        whole = whole[..., None]
    base = {"grey": 1, "rgb": 3, "cmyk": 4}[layout.color]
    colors, extra = whole[..., :base], whole[..., base:]
    rgb, notes = _convert(colors, layout, profile)
    if extra.shape[-1] and layout.color != "cmyk":
        alpha = extra[..., 0]
        peak = np.iinfo(alpha.dtype).max
        if alpha.min() < peak:
            notes = (*notes, "transparent pixels were put over black")
            rgb = _over_black(rgb, alpha)
    return np.ascontiguousarray(rgb), notes


def _to_full_range(pixels: NDArray[Any], layout: Layout, uri: str) -> NDArray[Any]:
    """uint8 or uint16 over their full range, whatever the depth of the file."""
    if layout.floating:
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise PhotoError(
                "color-unsupported",
                f"{uri} holds floating point values beyond 0..1, so linear light rather than a "
                "photograph; export the frames with 16 bits.",
            )
        return np.floor(pixels.astype(np.float64) * 65_535 + 0.5).astype(np.uint16)
    bits = layout.bits
    if bits in (8, 16):
        return pixels
    if bits < 8:
        # Some decoders scale small depths themselves.
        scaled = pixels.max(initial=0) > (1 << bits) - 1
        return pixels if scaled else (pixels * (255 // ((1 << bits) - 1))).astype(np.uint8)
    peak = (1 << bits) - 1
    wide = pixels.astype(np.uint32)
    wide *= 65_535
    wide += peak // 2
    wide //= peak
    return wide.astype(np.uint16)


def _convert(
    colors: NDArray[Any], layout: Layout, profile: bytes | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    model = _MODELS[layout.color]
    notes: tuple[str, ...] = ()
    if profile is not None:
        if _COLOR_SPACES.get(profile[16:20]) != model:
            notes = ("an ICC profile that does not fit the image was ignored",)
        else:
            try:
                if _is_srgb(profile, model):
                    return _plain(colors, layout), notes
                return _transform(colors, profile, model), notes
            except imagecodecs.CmsError:
                notes = ("a damaged ICC profile was ignored",)
    return _plain(colors, layout), notes


def _plain(colors: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout.color == "grey":
        return np.repeat(colors, 3, axis=-1)
    if layout.color == "rgb":
        return colors
    peak = int(np.iinfo(colors.dtype).max)
    light = (peak - colors).astype(np.uint32)
    product = (light[..., :3] * light[..., 3:] + peak // 2) // peak
    return product.astype(colors.dtype)


def _transform(colors: NDArray[Any], profile: bytes, model: str) -> NDArray[Any]:
    if model == "gray":
        codes = np.arange(int(np.iinfo(colors.dtype).max) + 1, dtype=colors.dtype)
        table = _cms(codes[None, :, None], profile, model)[0]
        return np.asarray(table[colors[..., 0]])
    result = np.empty((*colors.shape[:2], 3), colors.dtype)
    step = max(1, _STRIP_PX // max(1, colors.shape[1]))
    for top in range(0, colors.shape[0], step):
        strip = np.ascontiguousarray(colors[top : top + step])
        result[top : top + step] = _cms(strip, profile, model)
    return result


def _cms(colors: NDArray[Any], profile: bytes, model: str) -> NDArray[Any]:
    flags = int(_FLAGS.BLACKPOINTCOMPENSATION)
    if colors.dtype == np.uint16:
        # LittleCMS would else interpolate 16-bit colours in a coarse cube, off by up to 8 %.
        flags |= int(_FLAGS.NOOPTIMIZE)
    data = colors[..., 0] if model == "gray" else colors
    converted: NDArray[Any] = imagecodecs.cms_transform(
        np.ascontiguousarray(data),
        profile,
        srgb_profile(),
        colorspace=model,
        outcolorspace="rgb",
        intent=_RELATIVE,
        flags=flags,
    )
    return converted


@lru_cache(maxsize=8)  # a profile may have 16 MiB
def _is_srgb(profile: bytes, model: str) -> bool:
    """Whether a profile leaves 8-bit colours as they are, to within one level."""
    if model == "cmyk":
        return False
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if model == "gray":
        probe = levels[None, :, None]
        expected = np.repeat(probe, 3, axis=-1)
    else:
        probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        expected = probe
    difference = _cms(probe, profile, model).astype(np.int16) - expected
    return int(np.abs(difference).max()) <= 1


def _over_black(rgb: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    peak = int(np.iinfo(alpha.dtype).max)
    product = rgb.astype(np.uint32) * alpha[..., None] + peak // 2
    return np.asarray((product // peak).astype(rgb.dtype))
