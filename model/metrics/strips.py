# SPDX-License-Identifier: Apache-2.0
"""Photographs in strips of rows, as the metrics read them: memory does not grow with the height.

Pictures are (H, W, 3) uint8 RGB arrays of one size; strips are float64 tensors, or what compiled
loops make of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = [
    "EXACT_PX",
    "Rgb8",
    "check_same_size",
    "gray",
    "gray_rows",
    "halved",
    "in_strips",
    "rgb_rows",
    "size_at",
    "strips",
    "to_8bit",
]

Rgb8 = NDArray[np.uint8]

_T = TypeVar("_T")

EXACT_PX = 1 << 16
"""Pictures of fewer pixels are scored in float64: few windows, whose rounding shows in the mean."""

_ROWS_OF_A_STRIP = 96  # a few tiles of compiled loops
_STRIP_PX = 1 << 16  # a few maps of this many float64 values fit a core's cache


def to_8bit(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> Rgb8:
    """Round a 16-bit picture to 8 bits (x / 257, to nearest); an 8-bit one is returned as it is."""
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    if picture.dtype != np.uint16:
        raise ValueError(f"a picture is uint8 or uint16, not {picture.dtype}")
    return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)


def check_same_size(pictures: Sequence[Rgb8]) -> tuple[int, int]:
    """Height and width that all pictures share.

    Raises:
        ValueError: They differ, or one is not (H, W, 3) uint8.
    """
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"pictures are (H, W, 3) uint8 arrays, not {picture.shape} {picture.dtype}; "
                "round 16-bit ones with to_8bit"
            )
        if picture.shape != pictures[0].shape:
            raise ValueError(f"pictures differ in size: {pictures[0].shape} and {picture.shape}")
    return int(pictures[0].shape[0]), int(pictures[0].shape[1])


def strips(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut ``rows`` rows into strips (start, stop) of a size that suits the cache."""
    step = min(max(_STRIP_PX // width, 24), 256)
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def in_strips(rows: int, work: Callable[[int, int], _T]) -> list[_T]:
    """What ``work(start, stop)`` gives for each strip, from the top.

    For work that lets go of Python's lock: as many strips at a time as torch has threads.
    """
    starts = range(0, rows, _ROWS_OF_A_STRIP)
    stops = [min(start + _ROWS_OF_A_STRIP, rows) for start in starts]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(work, starts, stops))


def gray(picture: Rgb8) -> NDArray[np.int32]:
    """Grey in whole steps 0..255, as MEF-SSIM was published with: rounding changes it by 1e-3.

    ``floor(0.298936 R + 0.587043 G + 0.114021 B + 0.5)``, in whole numbers.
    """
    total = picture[..., 0].astype(np.int32) * 298936
    total += picture[..., 1].astype(np.int32) * 587043
    total += picture[..., 2].astype(np.int32) * 114021
    total += 500000
    total //= 1000000
    return total


def size_at(size: int, scale: int) -> int:
    """Pixels along one side after ``scale`` halvings, each rounded up."""
    return (size + (1 << scale) - 1) >> scale


def gray_rows(pictures: Sequence[Rgb8], scale: int, start: int, stop: int) -> torch.Tensor:
    """Rows ``start`` to ``stop`` of the grey pictures, halved ``scale`` times, (N, rows, w).

    Halving (:func:`halved`) does not round.
    """
    if scale == 0:
        return torch.from_numpy(np.stack([gray(p[start:stop]) for p in pictures])).double()
    height = size_at(pictures[0].shape[0], scale - 1)
    finer = gray_rows(pictures, scale - 1, 2 * start, min(2 * stop, height))
    return halved(finer)


def halved(x: torch.Tensor) -> torch.Tensor:
    """Pictures (..., H, W) averaged over blocks of 2 x 2; an odd last row or column is repeated."""
    if x.shape[-2] % 2:
        x = torch.cat([x, x[..., -1:, :]], -2)
    if x.shape[-1] % 2:
        x = torch.cat([x, x[..., -1:]], -1)
    rows = x[..., 0::2, :] + x[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]).div_(4)


def rgb_rows(pictures: Sequence[Rgb8], start: int, stop: int) -> torch.Tensor:
    """Rows ``start`` to ``stop`` of all pictures, (N, 3, rows, W), 0..255."""
    rows = np.stack([p[start:stop].transpose(2, 0, 1) for p in pictures])
    return torch.from_numpy(rows).double()
