# SPDX-License-Identifier: Apache-2.0
"""The quality maps of grey MEF-SSIM, see :mod:`model.metrics.mef_ssim_gray`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from model.metrics.kernels.compiling import compiled, kept
from model.metrics.kernels.patches import C2
from model.metrics.kernels.powers import exp2, log2, tangents
from model.metrics.kernels.tile import (
    COLS,
    F32,
    LOST,
    ROWS,
    STRIDE,
    TILE,
    WINDOW,
    box,
    centred,
    gaussian,
    load,
    multiply,
)

__all__ = ["gray_rows_into", "gray_tiles", "halve_into"]

_EPS = 2.0**-52
_LEAST_NORM = 0.001


@compiled
def _gray_rows_into(picture: Any, first: int, out: Any) -> None:
    """Grey rows of (H, W, 3) uint8 from row ``first`` on, into (rows, W) int32, 0..255."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = (
                np.int32(picture[first + i, j, 0]) * np.int32(298936)
                + np.int32(picture[first + i, j, 1]) * np.int32(587043)
                + np.int32(picture[first + i, j, 2]) * np.int32(114021)
                + np.int32(500000)
            )
            out[i, j] = np.int32(total) // np.int32(1000000)


@kept
def gray_rows_into(revision: int) -> Any:
    def run(picture: Any, first: Any, out: Any) -> None:
        if revision:
            _gray_rows_into(picture, first, out)

    return run


@compiled
def _halve_into(x: Any, out: Any) -> None:
    """Sums over blocks of 2 x 2 of (H, W) int32; an odd last row or column counts twice."""
    height, width = x.shape
    for i in range(out.shape[0]):
        top, bottom = 2 * i, min(2 * i + 1, height - 1)
        for j in range(width // 2):
            out[i, j] = x[top, 2 * j] + x[top, 2 * j + 1] + x[bottom, 2 * j] + x[bottom, 2 * j + 1]
        if width % 2:
            out[i, width // 2] = 2 * (x[top, width - 1] + x[bottom, width - 1])


@kept
def halve_into(revision: int) -> Any:
    def run(x: Any, out: Any) -> None:
        if revision:
            _halve_into(x, out)

    return run


@compiled
def _gray_tiles(
    frames: Any, fused: Any, unit: float, taps: Any, first: int, cell: int, cells: Any
) -> None:
    """Add the quality maps of a strip of one scale to ``cells``.

    Args:
        frames: (K, rows, W) int32 grey in steps of ``unit``, at most 4095; the map has 10 rows
            and columns less.
        fused: (N, rows, W) of the fusions.
        unit: what a step is worth, of 255.
        taps: the 11 of the Gaussian window, float32.
        first: row of the map that the strip begins with.
        cell: side of the cells.
        cells: (N, h, w) float64, the sums of the map over each cell.
    """
    count, fusions = frames.shape[0], fused.shape[0]
    pairs = count * (count + 1) // 2
    height, width = frames.shape[1] - LOST, frames.shape[2] - LOST
    whole = np.zeros((count, TILE), np.int32)
    products = np.zeros(TILE, np.int32)
    columns = np.zeros(TILE, np.int32)
    sums = np.zeros((count, TILE), np.int32)
    covers = np.zeros(TILE, np.int32)
    joint = np.zeros(TILE, np.float64)
    spread = np.zeros((pairs, TILE), np.float32)
    norms = np.zeros((count, TILE), np.float32)
    blend = np.zeros((count, TILE), np.float32)
    power = np.zeros(TILE, np.float32)
    total = np.zeros(TILE, np.float32)
    x = np.zeros((count, TILE), np.float32)
    means = np.zeros((count, TILE), np.float32)
    y = np.zeros(TILE, np.float32)
    mean = np.zeros(TILE, np.float32)
    square = np.zeros(TILE, np.float32)
    smooth = np.zeros(TILE, np.float32)
    variance = np.zeros(TILE, np.float32)
    covariance = np.zeros(TILE, np.float32)
    step = F32(unit)
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        size = rows * STRIDE
        for left in range(0, width, COLS):
            cols = min(COLS, width - left)
            read = cols + LOST
            for k in range(count):
                load(frames[k], top, left, rows + LOST, read, whole[k])
                centred(whole[k], rows + LOST, read, step, x[k])

            joint[:size] = 0.0
            at = 0
            for k in range(count):
                box(whole[k], rows, columns, sums[k])
                for m in range(k + 1):
                    multiply(whole[k], whole[m], rows, products)
                    box(products, rows, columns, covers)
                    _box_covariance(
                        covers,
                        sums[k],
                        sums[m],
                        size,
                        unit,
                        1.0 if k == m else 2.0,
                        joint,
                        spread[at],
                    )
                    if k == m:
                        for j in range(size):
                            norms[k, j] = math.sqrt(max(spread[at, j], F32(0)))
                    at += 1

            _weights(norms, joint, size, power, total, products, blend)
            _stretch(spread, norms, size, power, total, blend)

            variance[:size] = F32(0)
            for k in range(count):
                gaussian(x[k], taps, rows, smooth, means[k])
                for m in range(k + 1):
                    multiply(x[k], x[m], rows, square)
                    gaussian(square, taps, rows, smooth, mean)
                    times = F32(1) if k == m else F32(2)
                    for j in range(size):
                        weight = times * blend[k, j] * blend[m, j]
                        variance[j] += weight * (mean[j] - means[k, j] * means[m, j])

            for n in range(fusions):
                load(fused[n], top, left, rows + LOST, read, products)
                centred(products, rows + LOST, read, step, y)
                gaussian(y, taps, rows, smooth, mean)
                covariance[:size] = F32(0)
                for k in range(count):
                    multiply(x[k], y, rows, square)
                    gaussian(square, taps, rows, smooth, total)
                    for j in range(size):
                        covariance[j] += blend[k, j] * (total[j] - means[k, j] * mean[j])
                multiply(y, y, rows, square)
                gaussian(square, taps, rows, smooth, total)
                for j in range(size):
                    own = total[j] - mean[j] * mean[j]
                    above = F32(2) * covariance[j] + F32(C2)
                    power[j] = above / (variance[j] + own + F32(C2))
                _gather(power, rows, cols, first + top, left, cell, cells[n])


@kept
def gray_tiles(revision: int) -> Any:
    def run(
        frames: Any, fused: Any, unit: Any, taps: Any, first: Any, cell: Any, cells: Any
    ) -> None:
        if revision:
            _gray_tiles(frames, fused, unit, taps, first, cell, cells)

    return run


@compiled
def _box_covariance(
    covers: Any,
    sum_x: Any,
    sum_y: Any,
    size: int,
    unit: float,
    times: float,
    joint: Any,
    out: Any,
) -> None:
    """121 times the covariance under the uniform window, and ``times`` that added to ``joint``."""
    scale = unit * unit / WINDOW**2
    for j in range(size):
        product = np.float64(sum_x[j]) * np.float64(sum_y[j])
        value = (WINDOW**2 * np.float64(covers[j]) - product) * scale
        joint[j] += times * value
        out[j] = F32(value)


@compiled
def _weights(
    norms: Any, joint: Any, size: int, power: Any, total: Any, bits: Any, blend: Any
) -> None:
    """``blend`` becomes each frame's weight over its norm; see ``reference_structure``."""
    count = norms.shape[0]
    for j in range(size):
        total[j] = norms[0, j]
    for k in range(1, count):
        for j in range(size):
            total[j] += norms[k, j]
    for j in range(size):
        together = F32(math.sqrt(max(joint[j], 0.0)))
        power[j] = (together + F32(_EPS)) / (total[j] + F32(_EPS))
    tangents(power, size)
    total[:size] = F32(0)
    for k in range(count):
        for j in range(size):
            blend[k, j] = (norms[k, j] + F32(_LEAST_NORM)) * F32(1 / WINDOW)
        log2(blend[k], size, bits)
        for j in range(size):
            blend[k, j] *= power[j]
        exp2(blend[k], size, bits)
        for j in range(size):
            blend[k, j] += F32(_EPS)
            total[j] += blend[k, j]
    for k in range(count):
        for j in range(size):
            weight = blend[k, j] / (total[j] * (norms[k, j] + F32(_LEAST_NORM)))
            blend[k, j] = weight if norms[k, j] > F32(0) else F32(0)


@compiled
def _stretch(spread: Any, norms: Any, size: int, norm: Any, wanted: Any, blend: Any) -> None:
    """Stretch the blend to the norm of the strongest structure among the frames."""
    count = norms.shape[0]
    norm[:size] = F32(0)
    wanted[:size] = F32(0)
    at = 0
    for k in range(count):
        for m in range(k + 1):
            times = F32(1) if k == m else F32(2)
            for j in range(size):
                norm[j] += times * blend[k, j] * blend[m, j] * spread[at, j]
            at += 1
        for j in range(size):
            wanted[j] = max(wanted[j], norms[k, j])
    for j in range(size):
        length = math.sqrt(max(norm[j], F32(0)))
        ratio = (wanted[j] + F32(_LEAST_NORM)) / length
        norm[j] = ratio if length > F32(0) else F32(1)
    for k in range(count):
        for j in range(size):
            blend[k, j] *= norm[j]


@compiled
def _gather(quality: Any, rows: int, cols: int, top: int, left: int, cell: int, cells: Any) -> None:
    """Add a tile of a map to the sums of its cells, float64."""
    for i in range(rows):
        row = (top + i) // cell
        start = 0
        while start < cols:
            column = (left + start) // cell
            stop = min((column + 1) * cell - left, cols)
            total = 0.0
            for j in range(i * STRIDE + start, i * STRIDE + stop):
                total += np.float64(quality[j])
            cells[row, column] += total
            start = stop
