# SPDX-License-Identifier: Apache-2.0
"""MEF-SSIM with luminance, colour and luma form; see :mod:`model.metrics.mef_ssim_color`."""

from __future__ import annotations

from typing import Any

import numpy as np

from model.metrics.kernels.compiling import compiled, kept
from model.metrics.kernels.patches import choose, compare
from model.metrics.kernels.tile import (
    CHANNELS,
    COLS,
    F32,
    LOST,
    ROWS,
    STRIDE,
    TILE,
    box_of,
    gaussian,
    multiply,
)

__all__ = ["color_tiles", "luma_tiles", "weighted_rows"]

_COLOR_WINDOW = 8

_color_box = box_of(_COLOR_WINDOW)


@compiled
def _weighted_rows(picture: Any, weights: Any, out: Any) -> None:
    """Weighted sums over each row of (H, W, 3) uint8, into (H, 3) float64."""
    for i in range(picture.shape[0]):
        red = green = blue = 0.0
        for j in range(picture.shape[1]):
            red += weights[j] * picture[i, j, 0]
            green += weights[j] * picture[i, j, 1]
            blue += weights[j] * picture[i, j, 2]
        out[i, 0], out[i, 1], out[i, 2] = red, green, blue


@kept
def weighted_rows(revision: int) -> Any:
    def run(picture: Any, weights: Any, out: Any) -> None:
        if revision:
            _weighted_rows(picture, weights, out)

    return run


@compiled
def _color_tiles(frames: Any, fused: Any, brightness: Any, sums: Any) -> None:
    """Add up a strip of the colour form under the 8 x 8 window.

    Args:
        frames: (K, rows, W, 3) uint8; the map has 7 rows and columns less.
        fused: (N, rows, W, 3) uint8.
        brightness: (K,) float64 in 0..1, the frames' means.
        sums: (N, 3, 3) float64; see :func:`compare`.
    """
    count = frames.shape[0]
    lost = _COLOR_WINDOW - 1
    height, width = frames.shape[1] - lost, frames.shape[2] - lost
    tile = np.zeros(TILE, np.int32)
    columns = np.zeros(TILE, np.int32)
    whole = np.zeros(TILE, np.int32)
    squares = np.zeros(TILE, np.int32)
    totals = np.zeros((count, TILE), np.int32)
    means = np.zeros((count, TILE), np.float32)
    variances = np.zeros((count, TILE), np.float32)
    covariances = np.zeros((count, TILE), np.float32)
    mean = np.zeros(TILE, np.float32)
    variance = np.zeros(TILE, np.float32)
    wanted = np.zeros((4, TILE), np.float32)
    chosen = np.zeros(TILE, np.int32)
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        for left in range(0, width, COLS):
            cols = min(COLS, width - left)
            ends = (top, left, rows + lost, cols + lost)
            for k in range(count):
                _channel_sums(frames[k], ends, tile)
                _color_box(tile, rows, columns, totals[k])
                _channel_products(frames[k], frames[k], ends, tile)
                _color_box(tile, rows, columns, squares)
                _color_moments(totals[k], totals[k], squares, rows, variances[k])
                _color_means(totals[k], rows, means[k])
            choose(means, variances, brightness, rows, wanted, chosen)
            for n in range(fused.shape[0]):
                _channel_sums(fused[n], ends, tile)
                _color_box(tile, rows, columns, whole)
                _color_means(whole, rows, mean)
                _channel_products(fused[n], fused[n], ends, tile)
                _color_box(tile, rows, columns, squares)
                _color_moments(whole, whole, squares, rows, variance)
                for k in range(count):
                    _channel_products(frames[k], fused[n], ends, tile)
                    _color_box(tile, rows, columns, squares)
                    _color_moments(totals[k], whole, squares, rows, covariances[k])
                compare(wanted, chosen, mean, variance, covariances, rows, cols, sums[n])


@kept
def color_tiles(revision: int) -> Any:
    def run(frames: Any, fused: Any, brightness: Any, sums: Any) -> None:
        if revision:
            _color_tiles(frames, fused, brightness, sums)

    return run


@compiled
def _luma_tiles(
    frames: Any, fused: Any, first: Any, taps: Any, missing: float, brightness: Any, sums: Any
) -> None:
    """Add up a strip of the luma form, whose borders are padded with black.

    Args:
        frames: (K, H, W, 3) uint8, whole rows of which windows around ``first`` and the ones
            below look at up to five more on either side.
        fused: (N, H, W, 3) uint8.
        first: (first row of the map, the one after the last) in rows of ``frames``.
        taps: the 11 of the Gaussian window, float32.
        missing: what the window's mass lacks to 1.
        brightness: (K,) float64 in 0..1, the means of the frames' window means.
        sums: (N, 3, 3) float64; see :func:`compare`.
    """
    count = frames.shape[0]
    width = frames.shape[2]
    x = np.zeros((count, TILE), np.float32)
    y = np.zeros(TILE, np.float32)
    square = np.zeros(TILE, np.float32)
    smooth = np.zeros(TILE, np.float32)
    total = np.zeros(TILE, np.float32)
    middles = np.zeros(count, np.float32)
    means = np.zeros((count, TILE), np.float32)
    levels = np.zeros((count, TILE), np.float32)
    variances = np.zeros((count, TILE), np.float32)
    covariances = np.zeros((count, TILE), np.float32)
    mean = np.zeros(TILE, np.float32)
    level = np.zeros(TILE, np.float32)
    variance = np.zeros(TILE, np.float32)
    wanted = np.zeros((4, TILE), np.float32)
    chosen = np.zeros(TILE, np.int32)
    for top in range(first[0], first[1], ROWS):
        rows = min(ROWS, first[1] - top)
        for left in range(0, width, COLS):
            cols = min(COLS, width - left)
            ends = (top - LOST // 2, left - LOST // 2, rows + LOST, cols + LOST)
            for k in range(count):
                middles[k] = _luma(frames[k], ends, x[k])
                gaussian(x[k], taps, rows, smooth, means[k])
                multiply(x[k], x[k], rows, square)
                gaussian(square, taps, rows, smooth, total)
                _luma_moments(
                    means[k], means[k], total, middles[k], middles[k], missing, rows, variances[k]
                )
                for j in range(rows * STRIDE):
                    levels[k, j] = means[k, j] + middles[k] * F32(1 - missing)
            choose(levels, variances, brightness, rows, wanted, chosen)
            for n in range(fused.shape[0]):
                middle = _luma(fused[n], ends, y)
                gaussian(y, taps, rows, smooth, mean)
                multiply(y, y, rows, square)
                gaussian(square, taps, rows, smooth, total)
                _luma_moments(mean, mean, total, middle, middle, missing, rows, variance)
                for j in range(rows * STRIDE):
                    level[j] = mean[j] + middle * F32(1 - missing)
                for k in range(count):
                    multiply(x[k], y, rows, square)
                    gaussian(square, taps, rows, smooth, total)
                    _luma_moments(
                        means[k], mean, total, middles[k], middle, missing, rows, covariances[k]
                    )
                compare(wanted, chosen, level, variance, covariances, rows, cols, sums[n])


@kept
def luma_tiles(revision: int) -> Any:
    def run(
        frames: Any, fused: Any, first: Any, taps: Any, missing: Any, brightness: Any, sums: Any
    ) -> None:
        if revision:
            _luma_tiles(frames, fused, first, taps, missing, brightness, sums)

    return run


@compiled
def _channel_sums(picture: Any, ends: Any, tile: Any) -> None:
    """Red, green and blue together of a part (top, left, rows, cols), into a flat int32 tile."""
    top, left, rows, cols = ends
    for i in range(rows):
        for j in range(cols):
            tile[i * STRIDE + j] = (
                np.int32(picture[top + i, left + j, 0])
                + np.int32(picture[top + i, left + j, 1])
                + np.int32(picture[top + i, left + j, 2])
            )


@compiled
def _channel_products(x: Any, y: Any, ends: Any, tile: Any) -> None:
    """The products of two pictures, summed over the channels, as :func:`_channel_sums`."""
    top, left, rows, cols = ends
    for i in range(rows):
        for j in range(cols):
            total = np.int32(0)
            for c in range(CHANNELS):
                total += np.int32(x[top + i, left + j, c]) * np.int32(y[top + i, left + j, c])
            tile[i * STRIDE + j] = total


@compiled
def _color_means(totals: Any, rows: int, out: Any) -> None:
    for j in range(rows * STRIDE):
        out[j] = F32(totals[j]) * F32(1 / (CHANNELS * _COLOR_WINDOW**2))


@compiled
def _color_moments(sum_x: Any, sum_y: Any, products: Any, rows: int, out: Any) -> None:
    """Covariance over the window and the channels, from sums."""
    mass = float(CHANNELS * _COLOR_WINDOW**2)
    for j in range(rows * STRIDE):
        product = np.float64(sum_x[j]) * np.float64(sum_y[j])
        out[j] = F32((mass * np.float64(products[j]) - product) * (1 / mass**2))


@compiled
def _luma(picture: Any, ends: Any, tile: Any) -> Any:
    """Luma of a part, black beyond the picture, less its middle value, which is returned."""
    top, left, rows, cols = ends
    height, width = picture.shape[0], picture.shape[1]
    start, stop = max(0, -left), min(cols, width - left)
    for i in range(rows):
        tile[i * STRIDE : (i + 1) * STRIDE] = F32(0)
        if 0 <= top + i < height:
            for j in range(start, stop):
                tile[i * STRIDE + j] = (
                    F32(0.299) * F32(picture[top + i, left + j, 0])
                    + F32(0.587) * F32(picture[top + i, left + j, 1])
                    + F32(0.114) * F32(picture[top + i, left + j, 2])
                )
    middle = tile[rows // 2 * STRIDE + cols // 2]
    for j in range(rows * STRIDE):
        tile[j] -= middle
    return middle


@compiled
def _luma_moments(
    mean_x: Any,
    mean_y: Any,
    products: Any,
    middle_x: Any,
    middle_y: Any,
    missing: float,
    rows: int,
    out: Any,
) -> None:
    """Covariance of pictures less their middle values, as if these had not been taken off.

    Under a window of mass 1 that would make no difference.
    """
    lack = F32(missing)
    both = middle_x * middle_y * F32(missing * (1 - missing))
    for j in range(rows * STRIDE):
        rest = lack * (middle_x * mean_y[j] + middle_y * mean_x[j]) + both
        out[j] = products[j] - mean_x[j] * mean_y[j] + rest
