# SPDX-License-Identifier: Apache-2.0
"""MEF-SSIM of large pictures: the compiled form of the grey, the colour and the luma variants.

What is computed is what :mod:`model.metrics.mef_ssim_gray` and :mod:`model.metrics.mef_ssim_color`
say; where large areas are flat, rounding leaves up to 1e-5 of a single variant. Strips are worked
on side by side, by as many threads as torch has, and are added up in their order: results don't
depend on how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.luma import WEIGHTS
from model.metrics.kernels.color import color_tiles, luma_tiles, weighted_rows
from model.metrics.kernels.gray import gray_rows_into, gray_tiles, halve_into
from model.metrics.strips import Rgb8, in_strips, size_at
from model.moments import Window

__all__ = ["color_sums", "gray_cells", "luma_sums"]


def gray_cells(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], scale: int, window: Window, cell: int
) -> NDArray[np.float64]:
    """The quality maps of one scale, summed over cells of ``cell`` x ``cell``, (N, h, w).

    Args:
        frames: K >= 2 pictures.
        fused: N pictures of the same size.
        scale: how often to halve, 0..2.
        window: the Gaussian window, 11 px.
        cell: side of the cells in pixels of the map; those at its end may be cut short.
    """
    lost = window.size - 1
    height, width = (size_at(size, scale) - lost for size in frames[0].shape[:2])
    shape = (len(fused), -(-height // cell), -(-width // cell))
    taps = np.array(window.taps, np.float32)

    def work(start: int, stop: int) -> NDArray[np.float64]:
        cells = np.zeros(shape)
        gray_tiles(
            _gray(frames, scale, start, stop + lost),
            _gray(fused, scale, start, stop + lost),
            4.0**-scale,
            taps,
            start,
            cell,
            cells,
        )
        return cells

    return _total(in_strips(height, work))


def color_sums(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], window: Window
) -> NDArray[np.float64]:
    """Sums over the map of the colour form, (N, 3, 3).

    For luminance that all frames ask for, that the strongest asks for, and none: of luminance
    times structure, of luminance, of structure.
    """
    lost = window.size - 1
    height, width = frames[0].shape[:2]
    columns = np.ones(width)
    brightness = np.array(
        [rows.sum() / (3 * height * width * 255) for rows in _weighted(frames, columns)]
    )

    def work(start: int, stop: int) -> NDArray[np.float64]:
        sums = np.zeros((len(fused), 3, 3))
        color_tiles(
            _slab(frames, start, stop + lost), _slab(fused, start, stop + lost), brightness, sums
        )
        return sums

    return _total(in_strips(height - lost, work))


def luma_sums(frames: Sequence[Rgb8], fused: Sequence[Rgb8], window: Window) -> NDArray[np.float64]:
    """The same of luma under a Gaussian window of 11 px, borders padded with black."""
    margin = window.size // 2
    height, width = frames[0].shape[:2]
    taps = np.array(window.taps, np.float32)
    down, across = _coverage(window, height), _coverage(window, width)
    brightness = np.array(
        [
            float(down @ (rows @ np.array(WEIGHTS))) / (height * width * 255)
            for rows in _weighted(frames, across)
        ]
    )
    missing = 1 - sum(window.taps) ** 2

    def work(start: int, stop: int) -> NDArray[np.float64]:
        sums = np.zeros((len(fused), 3, 3))
        top, bottom = max(start - margin, 0), min(stop + margin, height)
        luma_tiles(
            _slab(frames, top, bottom),
            _slab(fused, top, bottom),
            (start - top, stop - top),
            taps,
            missing,
            brightness,
            sums,
        )
        return sums

    return _total(in_strips(height, work))


def _total(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.sum(np.stack(parts), axis=0)
    return total


def _slab(pictures: Sequence[Rgb8], start: int, stop: int) -> NDArray[np.uint8]:
    return np.stack([picture[start:stop] for picture in pictures])


def _gray(pictures: Sequence[Rgb8], scale: int, start: int, stop: int) -> NDArray[np.int32]:
    """Grey rows, halved without a division: in steps of ``4 ** -scale``."""
    height, width = pictures[0].shape[:2]
    out = np.empty((len(pictures), stop - start, size_at(width, scale)), np.int32)
    if scale == 0:
        for picture, rows in zip(pictures, out, strict=True):
            gray_rows_into(np.ascontiguousarray(picture), start, rows)
        return out
    finer = _gray(pictures, scale - 1, 2 * start, min(2 * stop, size_at(height, scale - 1)))
    for picture, rows in zip(finer, out, strict=True):
        halve_into(picture, rows)
    return out


def _weighted(pictures: Sequence[Rgb8], weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Weighted sums over the rows of each picture, (H, 3)."""
    sums = []
    for picture in pictures:
        sums.append(np.empty((picture.shape[0], 3)))
        weighted_rows(np.ascontiguousarray(picture), weights, sums[-1])
    return sums


def _coverage(window: Window, size: int) -> NDArray[np.float64]:
    """How much each of ``size`` pixels in a row counts in the sum over all windows around them."""
    margin = window.size // 2
    whole: NDArray[np.float64] = np.convolve(np.ones(size), window.taps)
    return whole[margin : margin + size]
