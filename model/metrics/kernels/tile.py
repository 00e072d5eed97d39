# SPDX-License-Identifier: Apache-2.0
"""A tile: a part of a picture with the margin that windows around it see, flat, in fixed strides.

That the stride is known to the compiler lets it work on many pixels at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model.metrics.kernels.compiling import compiled

__all__ = [
    "CHANNELS",
    "COLS",
    "F32",
    "LOST",
    "ROWS",
    "STRIDE",
    "TILE",
    "WINDOW",
    "box",
    "box_of",
    "centred",
    "gaussian",
    "load",
    "multiply",
]

F32 = np.float32
CHANNELS = 3
WINDOW = 11
LOST = WINDOW - 1
ROWS = 24
COLS = 256
STRIDE = COLS + 16  # margin, and some room to read past it
TILE = (ROWS + LOST) * STRIDE


@compiled
def load(x: Any, top: int, left: int, rows: int, cols: int, tile: Any) -> None:
    """A part of (H, W) int32 into a flat tile; what lies beyond the part becomes zero."""
    for i in range(rows):
        for j in range(cols):
            tile[i * STRIDE + j] = x[top + i, left + j]
        for j in range(cols, STRIDE):
            tile[i * STRIDE + j] = np.int32(0)


@compiled
def centred(whole: Any, rows: int, cols: int, step: Any, out: Any) -> Any:
    """A tile in units of 255 less its middle value, which is returned."""
    middle = whole[rows // 2 * STRIDE + cols // 2]
    for j in range(rows * STRIDE):
        out[j] = F32(whole[j] - middle) * step
    return F32(middle) * step


@compiled
def multiply(x: Any, y: Any, rows: int, out: Any) -> None:
    for j in range((rows + LOST) * STRIDE):
        out[j] = x[j] * y[j]


def box_of(window: int) -> Any:
    """Sums of a flat int32 tile under a uniform window, whose side the compiler has to know."""

    @compiled
    def box(x: Any, rows: int, columns: Any, out: Any) -> None:
        for j in range(STRIDE):
            total = np.int32(0)
            for t in range(window):
                total += x[t * STRIDE + j]
            columns[j] = total
        for i in range(1, rows):
            at, entering = i * STRIDE, (i + window - 1) * STRIDE
            for j in range(STRIDE):
                columns[at + j] = columns[at - STRIDE + j] + x[entering + j] - x[at - STRIDE + j]
        for i in range(rows):
            at = i * STRIDE
            for j in range(COLS):
                total = columns[at + j]
                for t in range(1, window):
                    total += columns[at + j + t]
                out[at + j] = total

    return box


box = box_of(WINDOW)


@compiled
def gaussian(x: Any, taps: Any, rows: int, columns: Any, out: Any) -> None:
    """Sums of a flat float32 tile under a symmetric window of ``WINDOW`` taps."""
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    s = STRIDE
    for i in range(rows):
        at = i * s
        for j in range(STRIDE):
            k = at + j
            columns[k] = (
                t0 * (x[k] + x[k + 10 * s])
                + t1 * (x[k + s] + x[k + 9 * s])
                + t2 * (x[k + 2 * s] + x[k + 8 * s])
                + t3 * (x[k + 3 * s] + x[k + 7 * s])
                + t4 * (x[k + 4 * s] + x[k + 6 * s])
                + t5 * x[k + 5 * s]
            )
    for i in range(rows):
        at = i * s
        for j in range(COLS):
            k = at + j
            out[k] = (
                t0 * (columns[k] + columns[k + 10])
                + t1 * (columns[k + 1] + columns[k + 9])
                + t2 * (columns[k + 2] + columns[k + 8])
                + t3 * (columns[k + 3] + columns[k + 7])
                + t4 * (columns[k + 4] + columns[k + 6])
                + t5 * columns[k + 5]
            )
