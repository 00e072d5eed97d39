# SPDX-License-Identifier: Apache-2.0
"""How badly a frame lies on the reference under a motion, block by block.

All of it looks at :class:`Samples`: textured pixels of the reference, which the motion carries into
the frame. Blocks tell a picture that fits as a whole from one where a passer-by fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.align.invariant import Level
from pipeline.align.motion import Matrix, move_points

__all__ = ["Comparison", "Samples", "compare", "look_up", "misfit", "samples_of", "shift_of_blocks"]

_ROWS, _COLS = 6, 8  # blocks, along the short and the long side
_BLOCKS = _ROWS * _COLS
_LEAST_IN_BLOCK = 24
_MARGIN, _SLACK = 0.05, 0.002
_KEPT = 0.75

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """N textured pixels of one level of the reference.

    Attributes:
        points: (2, N) normalised coordinates.
        value: (N,) normalised luminance.
        slope: (2, N) its derivative by the normalised coordinates.
        weight: (N,) in 0..1.
        block: (N,) index of the block.
        unit_px: pixels of the level in one normalised unit.
    """

    points: Vector
    value: Vector
    slope: Vector
    weight: Vector
    block: NDArray[np.intp]
    unit_px: float

    @property
    def count(self) -> int:
        return int(self.value.size)


def samples_of(level: Level, most: int) -> Samples:
    """At most ``most`` pixels of a level that can tell one place from another, evenly spread."""
    height, width = level.shape
    normal, weight = level.planes[..., 0], level.planes[..., 1]
    slope_x = cv2.Sobel(normal, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(normal, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    inside = np.zeros((height, width), bool)
    inside[2:-2, 2:-2] = True
    steep = slope_x * slope_x + slope_y * slope_y
    chosen = np.flatnonzero(inside & (weight > 0.2) & (steep > 0.04**2))
    if chosen.size > most:
        # Evenly over the raster: the same ones every time.
        chosen = chosen[np.linspace(0, chosen.size - 1, most).astype(np.intp)]
    rows, cols = np.divmod(chosen, width)
    across, down = (_COLS, _ROWS) if width >= height else (_ROWS, _COLS)
    m = level.to_pixels
    points = np.stack([(cols - m[0, 2]) / m[0, 0], (rows - m[1, 2]) / m[1, 1]])
    return Samples(
        points=points,
        value=normal.ravel()[chosen].astype(np.float64),
        slope=np.stack([slope_x.ravel()[chosen] * m[0, 0], slope_y.ravel()[chosen] * m[1, 1]]),
        weight=weight.ravel()[chosen].astype(np.float64),
        block=(rows * down // height) * across + cols * across // width,
        unit_px=float(m[0, 0]),
    )


def look_up(samples: Samples, level: Level, points: Vector) -> tuple[Vector, Vector]:
    """Values (N,) and joint weights (N,) where the motion put the samples in the frame."""
    if samples.count == 0:
        return np.zeros(0), np.zeros(0)
    x, y, _ = level.to_pixels @ np.stack([points[0], points[1], np.ones(samples.count)])
    found = cv2.remap(
        level.planes,
        x.astype(np.float32)[:, None],
        y.astype(np.float32)[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    ).reshape(-1, 2)
    height, width = level.shape
    inside = (x >= 1) & (y >= 1) & (x <= width - 2) & (y <= height - 2)
    weight = np.sqrt(samples.weight * np.clip(found[:, 1], 0.0, 1.0)) * inside
    return found[:, 0].astype(np.float64), np.where(weight > 0.2, weight, 0.0)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A motion against another, judged on the same pixels.

    A misfit is one less the correlation of the two frames' normalised tones: 0 where they agree,
    about 1 where they have nothing in common.
    """

    before: float
    after: float
    blocks: int
    better: int
    worse: int
    spread: tuple[float, float]
    """Share of the width and of the height over which blocks got better."""


def misfit(samples: Samples, level: Level, motion: Matrix) -> float | None:
    """Mean misfit of the blocks that fit best, three quarters of them.

    The rest may show what moves by itself. None where too few pixels can be compared.
    """
    value, weight = look_up(samples, level, move_points(motion, samples.points))
    blocks, _, usable = _misfit_of_blocks(samples, value, weight)
    found = np.sort(blocks[usable])
    return float(found[: math.ceil(_KEPT * found.size)].mean()) if found.size else None


def compare(samples: Samples, level: Level, before: Matrix, after: Matrix) -> Comparison | None:
    """Misfit of two motions (normalised); None where too few pixels can be compared."""
    value_b, weight_b = look_up(samples, level, move_points(before, samples.points))
    value_a, weight_a = look_up(samples, level, move_points(after, samples.points))
    weight = np.minimum(weight_b, weight_a)
    blocks_b, all_b, usable = _misfit_of_blocks(samples, value_b, weight)
    blocks_a, all_a, _ = _misfit_of_blocks(samples, value_a, weight)
    if not usable.any():
        return None
    # A little absolute slack keeps blocks that fit perfectly from being "worse".
    better = usable & (blocks_a < blocks_b * (1.0 - _MARGIN) - _SLACK)
    worse = usable & (blocks_a > blocks_b * (1.0 + _MARGIN) + _SLACK)
    spread = np.zeros(2)
    if better.any():
        count = np.bincount(samples.block, minlength=_BLOCKS)[better]
        centres = [np.bincount(samples.block, c, _BLOCKS)[better] / count for c in samples.points]
        spread = np.ptp(centres, axis=1) / np.ptp(samples.points, axis=1)
    return Comparison(
        before=all_b,
        after=all_a,
        blocks=int(usable.sum()),
        better=int(better.sum()),
        worse=int(worse.sum()),
        spread=(float(spread[0]), float(spread[1])),
    )


def _misfit_of_blocks(
    samples: Samples, value: Vector, weight: Vector
) -> tuple[Vector, float, NDArray[np.bool_]]:
    """Misfit per block, over all usable blocks together, and which blocks are usable."""

    def total(x: Vector) -> Vector:
        return np.bincount(samples.block, weight * x, _BLOCKS).astype(np.float64)

    cross = total(samples.value * value)
    scale = np.sqrt(total(samples.value**2) * total(value**2)) + 1e-12
    usable = np.bincount(samples.block, weight > 0, _BLOCKS) >= _LEAST_IN_BLOCK
    overall = 1.0 - float(cross[usable].sum() / scale[usable].sum()) if usable.any() else 1.0
    return 1.0 - cross / scale, overall, usable


def shift_of_blocks(samples: Samples, level: Level, motion: Matrix) -> Vector | None:
    """How far each usable block still has to go under a motion: (2, B) in normalised units.

    Three Gauss-Newton steps of a translation of its own per block. None with less than three
    usable blocks.
    """
    points = move_points(motion, samples.points)
    shift = np.zeros((2, _BLOCKS))
    gx, gy = samples.slope

    def total(x: Vector) -> Vector:
        return np.bincount(samples.block, x, _BLOCKS).astype(np.float64)

    for _ in range(3):
        value, weight = look_up(samples, level, points + shift[:, samples.block])
        difference = samples.value - value
        weight = weight / (1.0 + (difference / 0.5) ** 2) ** 2
        xx, xy, yy = total(weight * gx * gx), total(weight * gx * gy), total(weight * gy * gy)
        bx, by = total(weight * gx * difference), total(weight * gy * difference)
        det = xx * yy - xy * xy
        count = np.bincount(samples.block, weight > 0, _BLOCKS)
        usable = (count >= _LEAST_IN_BLOCK) & (det > 0.02 * (xx + yy) ** 2)
        safe = np.where(usable, det, 1.0)
        step = np.stack([yy * bx - xy * by, xx * by - xy * bx]) / safe * usable
        limit = 1.5 / samples.unit_px
        shift += np.clip(step, -limit, limit)
    return shift[:, usable] if int(usable.sum()) >= 3 else None
