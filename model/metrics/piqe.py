# SPDX-License-Identifier: Apache-2.0
"""PIQE: how distorted a picture looks, without anything to compare it with.

After N. Venkatanath et al., "Blind image quality evaluation using perception based features",
NCC 2015. Blocks of 16 x 16 that show something are looked at one by one: even edges tell of
compression, and a middle that differs little from its surroundings of noise. Nothing is learned, so
there are no weights whose licence or training pictures would matter. Lower is better: below 20 is
called excellent, above 80 bad. The middle of a block is its eighth and ninth column, its
surroundings are all but the eighth and the tenth, as in the version that everybody compares with.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from model.metrics.strips import Rgb8, check_same_size

__all__ = ["LEAST_PX", "piqe"]

LEAST_PX = 16
"""Least side of a picture: a block."""

_BLOCK = 16
_WINDOW = 7
_REACH = _WINDOW // 2
_SIGMA = _WINDOW / 6
_ACTIVE = 0.1  # variance of a block that shows something
_SEGMENT = 6
_EVEN = 0.1  # deviation of a stretch of an edge that is too even
_MIDDLE = [7, 8]
_AROUND = [column for column in range(_BLOCK) if column not in (7, 9)]
_ROWS = 16 * _BLOCK


def piqe(picture: Rgb8) -> float:
    """The score of a picture, 0 (best) to 100.

    Args:
        picture: (H, W, 3) uint8, sRGB. Its last row and column are repeated up to whole blocks.

    Raises:
        ValueError: The picture is of another shape or type, or smaller than a block.
    """
    height, width = check_same_size([picture])
    if min(height, width) < LEAST_PX:
        raise ValueError(f"PIQE needs {LEAST_PX} px at least, not {width} x {height}")
    distorted, active = 0.0, 0
    for top in range(0, height, _ROWS):
        blocks = _blocks(picture, top, min(top + _ROWS, height))
        variances = blocks.var((1, 2), ddof=1)
        shown = variances > _ACTIVE
        distorted += _distortion(blocks[shown], variances[shown])
        active += int(shown.sum())
    return 100 * (distorted + 1) / (active + 1)


def _distortion(blocks: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    """The sum over all blocks (N, 16, 16)."""
    if not len(blocks):
        return 0.0
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], 1)
    stretches = np.lib.stride_tricks.sliding_window_view(edges, _SEGMENT, axis=2)
    even = (stretches.std(-1, ddof=1) < _EVEN).any((1, 2))
    middle, around = (
        blocks[:, :, columns].reshape(len(blocks), -1).std(1, ddof=1)
        for columns in (_MIDDLE, _AROUND)
    )
    ratio = np.divide(middle, around, out=np.zeros_like(middle), where=around > 0)
    deviations = np.sqrt(variances)
    unlike = np.abs(deviations - ratio) / np.maximum(deviations, ratio)
    noisy = deviations > 2 * unlike
    return float((even * (1 - variances)).sum() + (noisy * variances).sum())


def _blocks(picture: Rgb8, top: int, bottom: int) -> NDArray[np.float64]:
    """Blocks (N, 16, 16) of some rows, each pixel as its distance from the local mean in local
    deviations. Beyond the border the last pixel goes on."""
    height, width = picture.shape[:2]
    down, right = -(bottom - top) % _BLOCK, -width % _BLOCK
    rows = np.clip(np.arange(top - _REACH, bottom + down + _REACH), 0, height - 1)
    cols = np.clip(np.arange(-_REACH, width + right + _REACH), 0, width - 1)
    first, last = rows[0], rows[-1] + 1
    seen = _luma(picture[first:last])[rows - first][:, cols]
    x = torch.from_numpy(seen).double()[None, None]
    places = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (places / _SIGMA) ** 2)
    kernel /= kernel.sum()

    def local(values: torch.Tensor) -> torch.Tensor:
        across = functional.conv2d(values, kernel[None, None, None])
        return functional.conv2d(across, kernel[None, None, :, None])

    mean = local(x)
    deviation = (local(x * x) - mean * mean).abs().sqrt()
    even = ((x[..., _REACH:-_REACH, _REACH:-_REACH] - mean) / (deviation + 1))[0, 0].numpy()
    high, wide = even.shape[0] // _BLOCK, even.shape[1] // _BLOCK
    tiled = even.reshape(high, _BLOCK, wide, _BLOCK).transpose(0, 2, 1, 3)
    return np.asarray(tiled.reshape(-1, _BLOCK, _BLOCK), np.float64)


def _luma(picture: Rgb8) -> NDArray[np.int32]:
    """BT.601 in whole steps 0..255, (H, W): one step more or less can decide on a whole block."""
    red, green, blue = (picture[..., channel].astype(np.int32) for channel in range(3))
    return np.asarray((red * 299 + green * 587 + blue * 114 + 500) // 1000, np.int32)
