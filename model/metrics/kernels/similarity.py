# SPDX-License-Identifier: Apache-2.0
"""SSIM of 8-bit pictures, see :mod:`model.ssim`."""

from __future__ import annotations

from typing import Any

import numpy as np

from model.metrics.kernels.compiling import compiled, kept
from model.metrics.kernels.patches import C1, C2
from model.metrics.kernels.tile import (
    CHANNELS,
    COLS,
    F32,
    LOST,
    ROWS,
    STRIDE,
    TILE,
    centred,
    gaussian,
    load,
    multiply,
)

__all__ = ["ssim_tiles"]


@compiled
def _ssim_tiles(picture: Any, reference: Any, taps: Any) -> float:
    """The sum of SSIM over a strip of (rows, W, 3) uint8 pictures; its map has 10 rows less."""
    height, width = picture.shape[0] - LOST, picture.shape[1] - LOST
    whole = np.zeros(TILE, np.int32)
    tiles = np.zeros((2, TILE), np.float32)
    middles = np.zeros(2, np.float32)
    means = np.zeros((2, TILE), np.float32)
    squares = np.zeros((3, TILE), np.float32)
    product = np.zeros(TILE, np.float32)
    smooth = np.zeros(TILE, np.float32)
    c1, c2 = F32(C1), F32(C2)
    result = 0.0
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        for left in range(0, width, COLS):
            cols = min(COLS, width - left)
            for channel in range(CHANNELS):
                for n in range(2):
                    source = picture if n == 0 else reference
                    load(source[:, :, channel], top, left, rows + LOST, cols + LOST, whole)
                    middles[n] = F32(centred(whole, rows + LOST, cols + LOST, F32(1), tiles[n]))
                    gaussian(tiles[n], taps, rows, smooth, means[n])
                for n in range(3):
                    multiply(tiles[n // 2], tiles[min(n, 1)], rows, product)
                    gaussian(product, taps, rows, smooth, squares[n])
                for i in range(rows):
                    total = 0.0
                    for j in range(i * STRIDE, i * STRIDE + cols):
                        x, y = means[0, j], means[1, j]
                        own = squares[0, j] - x * x + squares[2, j] - y * y
                        shared = squares[1, j] - x * y
                        x, y = x + middles[0], y + middles[1]
                        light = (F32(2) * x * y + c1) / (x * x + y * y + c1)
                        total += np.float64(light * (F32(2) * shared + c2) / (own + c2))
                    result += total
    return result


@kept
def ssim_tiles(revision: int) -> Any:
    def run(picture: Any, reference: Any, taps: Any) -> float:
        return _ssim_tiles(picture, reference, taps) if revision else 0.0

    return run
