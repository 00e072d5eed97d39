# SPDX-License-Identifier: Apache-2.0
"""The square of a patch that a batch gets, and how it is turned: the same for all planes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cut", "centre_cut", "draw_cut", "side_of"]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A square in pixels of the patch, then quarter turns, then a mirror."""

    top: int
    left: int
    side: int
    turns: int = 0
    mirrored: bool = False

    def __call__(self, planes: NDArray[Any]) -> NDArray[Any]:
        """The square of (..., P, P)."""
        rows, cols = (slice(at, at + self.side) for at in (self.top, self.left))
        cut = np.rot90(planes[..., rows, cols], self.turns, (-2, -1))
        return cut[..., ::-1] if self.mirrored else cut


def draw_cut(size_px: int, crop_px: int | None, rng: np.random.Generator, *, flips: bool) -> Cut:
    """A random square; with ``flips`` turned in one of the eight ways, equally likely.

    Args:
        size_px: side of the patch.
        crop_px: side of the square; None for the whole patch.
        rng: the only source of chance.
        flips: whether to turn it.

    Raises:
        ValueError: the patch is smaller than the crop.
    """
    side = side_of(size_px, crop_px)
    top, left = (int(rng.integers(size_px - side + 1)) for _ in range(2))
    if not flips:
        return Cut(top=top, left=left, side=side)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    return Cut(top=top, left=left, side=side, turns=turns, mirrored=mirrored)


def centre_cut(size_px: int, crop_px: int | None) -> Cut:
    """The square in the middle, upright.

    Raises:
        ValueError: the patch is smaller than the crop.
    """
    side = side_of(size_px, crop_px)
    first = (size_px - side) // 2
    return Cut(top=first, left=first, side=side)


def side_of(size_px: int, crop_px: int | None) -> int:
    """The side of a crop, the patch's own without one.

    Raises:
        ValueError: the patch is smaller than the crop.
    """
    side = size_px if crop_px is None else crop_px
    if not 1 <= side <= size_px:
        raise ValueError(f"a patch of {size_px} px has no crop of {crop_px} px")
    return side
