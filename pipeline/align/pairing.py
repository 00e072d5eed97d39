# SPDX-License-Identifier: Apache-2.0
"""Two frames: is one moved against the other, by how much, and is that certain enough to act on?

The burden of proof is on moving. A motion is taken only if the pixels that both frames show get
clearly closer, in most blocks and over most of the picture, if the way back leads to where it
began, and if a hand could have made it. Everything else leaves the frame as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.align.estimate import coarse_shifts, correlation, refine
from pipeline.align.invariant import Level
from pipeline.align.misfit import Samples, compare, samples_of, shift_of_blocks
from pipeline.align.motion import KINDS, Kind, Matrix, move_points, reject_reason

__all__ = ["Pair", "View", "median_shift_px", "register", "verdict", "view_of"]

_STILL_PX = 0.5  # of the full picture: below, resampling costs more than it mends
_STILL_REDUCED_PX = 0.12  # of the reduced picture: what the estimate resolves for sure
_LEAST_BLOCKS = 6
_RETURN_PX = 1.0  # of the reduced picture
_LEAST_TRAVEL_PX = 1.0  # of a coarser level, to be judged there
_TURNS = tuple(math.radians(a) for a in (-2.0, 2.0, -4.0, 4.0))


@dataclass(frozen=True, kw_only=True)
class View:
    """A frame prepared for comparison.

    Attributes:
        levels: coarse to fine.
        samples: the textured pixels of each level.
        size: (height, width) of the full frame.
    """

    levels: tuple[Level, ...]
    samples: tuple[Samples, ...]
    size: tuple[int, int]

    @property
    def reduction(self) -> float:
        """Full pixels in one pixel of the finest level."""
        return max(self.size) / max(self.levels[-1].shape)

    @property
    def still_px(self) -> float:
        """Full pixels up to which a shift counts as none."""
        return max(_STILL_PX, _STILL_REDUCED_PX * self.reduction)


def view_of(levels: tuple[Level, ...], size: tuple[int, int]) -> View:
    """A view of the levels of a frame."""
    return View(levels=levels, samples=tuple(samples_of(x) for x in levels), size=size)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What was found between a reference and a frame.

    ``still``: they lie on each other; ``moved``: ``motion`` (normalised) brings the frame onto the
    reference; ``unsure``: nothing that could be relied on, ``reason`` says why.
    """

    state: Literal["still", "moved", "unsure"]
    motion: Matrix
    kind: Kind = "none"
    reason: str = ""


def median_shift_px(reference: View, frame: View, motion: Matrix) -> float | None:
    """Median distance, in full pixels, that the blocks still have to go under a motion."""
    shift = shift_of_blocks(reference.samples[-1], frame.levels[-1], motion)
    if shift is None:
        return None
    return float(np.median(np.hypot(*shift))) * max(reference.size) / 2.0


def _travel(view: View, motion: Matrix) -> float:
    """How far a motion carries the textured pixels, normalised: the 80th percentile."""
    points = view.samples[-1].points
    return float(np.percentile(np.hypot(*(move_points(motion, points) - points)), 80.0))


def verdict(reference: View, frame: View, motion: Matrix) -> str:
    """Why a motion is not to be trusted; "" where it is.

    Judged on the finest level, or, where noise hides the difference there, on the next.
    """
    reason = reject_reason(motion, *reference.size)
    if reason:
        return reason
    reasons = []
    for depth in (-1, -2)[: len(reference.levels)]:
        samples = reference.samples[depth]
        travel = _travel(reference, motion) * samples.unit_px
        if depth < -1 and travel < _LEAST_TRAVEL_PX:
            break
        reason = _doubt(samples, frame.levels[depth], motion, travel)
        if not reason:
            return ""
        reasons.append(reason)
    return reasons[0]


def _doubt(samples: Samples, level: Level, motion: Matrix, travel_px: float) -> str:
    found = compare(samples, level, np.eye(3), motion)
    if found is None or found.blocks < _LEAST_BLOCKS:
        return "too little texture that both frames show"
    if found.after > 0.9 * found.before:
        return "moving it would not make it fit clearly better"
    if found.better < max(0.5 * found.blocks, 3.0 * found.worse):
        return "too few parts of the picture agree on one motion"
    if min(found.spread) < 0.5:
        return "only one part of the picture speaks for a motion"
    if travel_px < 4.0:
        # So near that the blocks can say themselves how far they have to go.
        before = shift_of_blocks(samples, level, np.eye(3))
        after = shift_of_blocks(samples, level, motion)
        if before is None or after is None:
            return "too little texture that both frames show"
        if np.median(np.hypot(*after)) > 0.7 * np.median(np.hypot(*before)):
            return "moving it would not bring its parts closer"
    return ""


def _ascend(reference: View, frame: View) -> Matrix | None:
    """The motion on the last level but one, from nothing."""
    samples, levels = reference.samples, frame.levels
    starts = coarse_shifts(reference.levels[0], levels[0])

    def settle(start: Matrix) -> tuple[float, Matrix]:
        end = refine(samples[0], levels[0], start, ("translation", "euclidean"))
        if end is None or reject_reason(end, *reference.size):
            return -1.0, start
        return correlation(samples[0], levels[0], end), end

    tried = [settle(start) for start in starts]
    score, motion = max(tried, key=lambda pair: pair[0])
    if score < 0.5:
        for turn in _TURNS:
            c, s = math.cos(turn), math.sin(turn)
            rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
            tried += [settle(start @ rotation) for start in starts[:2]]
        score, motion = max(tried, key=lambda pair: pair[0])
    if score <= 0:
        return None
    for i in range(1, len(levels) - 1):
        better = refine(samples[i], levels[i], motion, ("euclidean", "affine"))
        if better is None or reject_reason(better, *reference.size):
            continue
        motion = better
    return motion


def register(reference: View, frame: View, start: Matrix | None = None) -> Pair:
    """Find the motion between two frames and judge it.

    Args:
        start: where to begin (normalised) on the finest level; None searches.
    """
    samples, level = reference.samples[-1], frame.levels[-1]
    nothing = np.eye(3)
    begin = _ascend(reference, frame) if start is None else start
    if begin is None:
        return Pair(state="unsure", motion=nothing, reason="too little texture that both show")
    candidates: list[tuple[float, Kind, Matrix]] = []
    motion = begin
    for kind in KINDS[1:]:
        origin = _without_shape(begin) if kind in ("translation", "euclidean") else motion
        end = refine(samples, level, origin, (kind,))
        if end is None:
            break
        if reject_reason(end, *reference.size) is None:
            motion = end
            candidates.append((1.0 - correlation(samples, level, end), kind, end))
    if not candidates:
        return Pair(state="unsure", motion=nothing, reason="no motion could be estimated")
    least = min(misfit for misfit, _, _ in candidates)
    # The poorest motion that fits about as well as any: richer ones also fit the noise.
    _, kind, motion = next(c for c in candidates if c[0] <= 1.01 * least + 1e-4)
    half = max(reference.size) / 2.0
    if _travel(reference, motion) * half < reference.still_px:
        return Pair(state="still", motion=nothing)
    reason = verdict(reference, frame, motion)
    if reason:
        return Pair(state="unsure", motion=nothing, reason=reason)
    back = refine(frame.samples[-1], reference.levels[-1], np.linalg.inv(motion), (kind,))
    if back is None or _travel(reference, motion @ back) * samples.unit_px > _RETURN_PX:
        return Pair(state="unsure", motion=nothing, reason="the way back leads elsewhere")
    return Pair(state="moved", motion=motion, kind=kind)


def _without_shape(motion: Matrix) -> Matrix:
    """The translation of a motion's centre."""
    centre = move_points(motion, np.zeros((2, 1)))[:, 0]
    return np.array([[1.0, 0.0, centre[0]], [0.0, 1.0, centre[1]], [0.0, 0.0, 1.0]])
