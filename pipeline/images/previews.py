# SPDX-License-Identifier: Apache-2.0
"""The report's small pictures: previews of photographs, strips of them, and a map of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from pipeline.bracket import Pixels

__all__ = [
    "PREVIEW_SIDE_PX",
    "STRIP_FRAMES",
    "WEIGHTS_SIDE_PX",
    "map_png",
    "preview_jpeg",
    "preview_pixels",
    "strip_frames",
    "strip_jpeg",
]

PREVIEW_SIDE_PX = 512
"""Longest side of a preview."""
WEIGHTS_SIDE_PX = 256
"""Longest side of a map of weights; a network takes its time for more."""
STRIP_FRAMES = 16
"""Frames that a strip shows; of a longer bracket as many, evenly spread."""

_PREVIEW_QUALITY = 80
_STRIP_QUALITY = 75


def preview_jpeg(pixels: Pixels, max_side: int = PREVIEW_SIDE_PX) -> bytes:
    """A small JPEG without metadata.

    Args:
        pixels: (H, W, 3) uint8 or uint16, sRGB.
        max_side: longest side in pixels; smaller pictures keep their size.
    """
    return _jpeg(preview_pixels(pixels, max_side), _PREVIEW_QUALITY)


def preview_pixels(pixels: Pixels, max_side: int = PREVIEW_SIDE_PX) -> Pixels:
    """A picture as small as its preview, 8-bit."""
    small = _reduce(pixels, max_side)
    if small.dtype == np.uint16:
        small = ((small.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
    return small


def strip_frames(count: int) -> tuple[int, ...]:
    """Indices of the frames of a bracket that a strip shows."""
    if count <= STRIP_FRAMES:
        return tuple(range(count))
    steps = STRIP_FRAMES - 1
    return tuple((2 * k * (count - 1) + steps) // (2 * steps) for k in range(STRIP_FRAMES))


def strip_jpeg(pictures: Sequence[Pixels], max_side: int = PREVIEW_SIDE_PX) -> bytes:
    """Pictures of one size below each other in one JPEG, each as small as its preview would be.

    Args:
        pictures: (H, W, 3) uint8 or uint16, sRGB, or (H, W) uint8, grey; those of
            :func:`strip_frames` are shown.
        max_side: longest side of each.
    """
    shown = [preview_pixels(pictures[k], max_side) for k in strip_frames(len(pictures))]
    return _jpeg(np.concatenate(shown), _STRIP_QUALITY)


def map_png(scores: NDArray[np.float32], max_side: int = PREVIEW_SIDE_PX) -> bytes:
    """A map of scores as an 8-bit RGB PNG in the perceptually even colours of viridis.

    Dark violet is 0 or less, bright yellow is 1; what is not finite is black. Scores below 0
    are as bad as 0, and the colours are kept for the range where results differ.

    Args:
        scores: (H, W) float, -1..1.
        max_side: longest side in pixels; smaller maps keep their size.
    """
    known = np.isfinite(scores)
    complete = bool(known.all())
    values = np.clip(scores if complete else np.where(known, scores, 0), 0, 1)
    levels = np.floor(_reduce(values, max_side) * 255 + 0.5).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    if not complete:
        colors[_reduce(known.astype(np.float32), max_side) <= 0.5] = 0
    return iio.imwrite("<bytes>", colors, extension=".png", plugin="pillow", optimize=True)


def _jpeg(pixels: NDArray[Any], quality: int) -> bytes:
    return iio.imwrite(
        "<bytes>", pixels, extension=".jpg", plugin="pillow", quality=quality, optimize=True
    )


def _reduce(image: NDArray[Any], max_side: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
