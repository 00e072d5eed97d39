# SPDX-License-Identifier: Apache-2.0
"""The report's small pictures: a preview of a photograph and a map of scores."""

from __future__ import annotations

from typing import Any

import cv2
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from pipeline.bracket import Pixels

__all__ = ["map_png", "preview_jpeg"]

_PREVIEW_QUALITY = 80


def preview_jpeg(pixels: Pixels, max_side: int = 512) -> bytes:
    """A small JPEG without metadata.

    Args:
        pixels: (H, W, 3) uint8 or uint16, sRGB.
        max_side: longest side in pixels; smaller pictures keep their size.
    """
    small = _reduce(pixels, max_side)
    if small.dtype == np.uint16:
        small = ((small.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
    return iio.imwrite(
        "<bytes>", small, extension=".jpg", plugin="pillow", quality=_PREVIEW_QUALITY, optimize=True
    )


def map_png(scores: NDArray[np.float32], max_side: int = 512) -> bytes:
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


def _reduce(image: NDArray[Any], max_side: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
