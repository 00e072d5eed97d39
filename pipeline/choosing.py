# SPDX-License-Identifier: Apache-2.0
"""A few frames out of a bracket: the pair that is trained on, and what a model has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.bracket import Pixels

__all__ = ["dark_to_bright", "few_frames", "grey", "under_over"]


def grey(pixels: NDArray[Any]) -> Any:
    """Luma in the integers of the picture, 0.299 R + 0.587 G + 0.114 B, (H, W)."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def dark_to_bright(frames: Sequence[Pixels]) -> tuple[int, ...]:
    """Indices of frames (H, W, 3) by mean luma; equal ones stay in order."""
    means = [float(grey(frame).mean(dtype=np.float64)) for frame in frames]
    return tuple(sorted(range(len(frames)), key=lambda k: (means[k], k)))


def under_over(order: Sequence[int]) -> tuple[int, int]:
    """The second from either end, as SICE is commonly used for pairs (arXiv 2510.21815); where
    that would leave fewer than two, the outermost."""
    return (order[0], order[-1]) if len(order) < 4 else (order[1], order[-2])


def few_frames(frames: Sequence[Pixels], most: int) -> tuple[int, ...]:
    """Indices of at most ``most`` frames, dark to bright by mean luma.

    Two are the pair of :func:`under_over`; more are spread evenly, the outermost among them.

    Raises:
        ValueError: ``most`` is less than 2.
    """
    if most < 2:
        raise ValueError(f"a fusion takes at least two frames, not {most}")
    order = dark_to_bright(frames)
    if len(order) <= most:
        return order
    if most == 2:
        return under_over(order)
    steps = most - 1
    return tuple(order[(2 * k * (len(order) - 1) + steps) // (2 * steps)] for k in range(most))
