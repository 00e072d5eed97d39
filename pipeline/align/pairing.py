# SPDX-License-Identifier: Apache-2.0
"""Two frames: is one moved against the other, by how much, and is that certain enough to act on?

The burden of proof is on moving. A motion is taken only if what both frames show gets clearly
closer, in most blocks and over most of the picture, if the way back leads to where it began, and
if a hand could have made it. Everything else leaves the frame as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.align.estimate import coarse_motions, correlation, refine
from pipeline.align.invariant import Level, Plane, halvings, level_of, match_tones
from pipeline.align.misfit import Samples, compare, misfit, samples_of, shift_of_blocks
from pipeline.align.motion import KINDS, Kind, Matrix, move_points, project, reject_reason

__all__ = ["Pair", "View", "median_shift_px", "register", "views_of", "worsens"]

_STILL_PX = 0.75  # of the full picture: below, resampling costs more than it mends
_STILL_REDUCED_PX = 0.12  # of the reduced picture: what the estimate resolves for sure
_LEAST_BLOCKS = 6
_SAMPLES, _SAMPLES_COARSE = 16_000, 4_000
_RETURN_PX = 1.0  # of the reduced picture
_LEAST_TRAVEL_PX = 1.0  # of a coarser level, to be judged there
_LEAST_CORRELATION = 0.2
_MOST_MISFIT = 0.7
_AS_WELL = 1.05  # times the misfit of the best kind
_TURNS = tuple(math.radians(a) for a in range(-5, 6))
_STARTS = 4

NO_TEXTURE = "too little texture that both frames show"


@dataclass(frozen=True, kw_only=True)
class View:
    """A frame as seen beside one other: levels and samples are made when first asked for.

    Attributes:
        tones: planes of matched tones, coarse to fine.
        size: (height, width) of the full frame.
    """

    tones: tuple[Plane, ...]
    size: tuple[int, int]
    _levels: dict[int, Level] = field(default_factory=dict, repr=False)
    _samples: dict[int, Samples] = field(default_factory=dict, repr=False)

    @property
    def depth(self) -> int:
        """How many levels there are; the last is the finest."""
        return len(self.tones)

    def level(self, index: int) -> Level:
        if index not in self._levels:
            self._levels[index] = level_of(self.tones[index], *self.size)
        return self._levels[index]

    def samples(self, index: int) -> Samples:
        if index not in self._samples:
            most = _SAMPLES if index == self.depth - 1 else _SAMPLES_COARSE
            self._samples[index] = samples_of(self.level(index), most)
        return self._samples[index]

    @property
    def half_px(self) -> float:
        """Full pixels in one normalised unit."""
        return max(self.size) / 2.0

    @property
    def still_px(self) -> float:
        """Full pixels up to which a shift counts as none."""
        reduction = max(self.size) / max(self.tones[-1].shape)
        return float(max(_STILL_PX, _STILL_REDUCED_PX * reduction))


def views_of(reference: Plane, frame: Plane, size: tuple[int, int]) -> tuple[View, View] | None:
    """Both frames in the tones they share; None where they share hardly any."""
    matched = match_tones(reference, frame)
    if matched is None:
        return None
    return (
        View(tones=halvings(matched[0]), size=size),
        View(tones=halvings(matched[1]), size=size),
    )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What was found between a reference and a frame.

    ``still``: they lie on each other; ``moved``: ``motion`` (normalised) brings the frame onto the
    reference; ``unsure``: nothing that could be relied on, ``reason`` says why.
    """

    state: Literal["still", "moved", "unsure"]
    motion: Matrix = field(default_factory=lambda: np.eye(3))
    kind: Kind = "none"
    reason: str = ""


def median_shift_px(reference: View, frame: View, motion: Matrix) -> float | None:
    """Median distance, in full pixels, that the blocks still have to go under a motion.

    None where the two frames have too little in common to say.
    """
    samples, level = reference.samples(reference.depth - 1), frame.level(frame.depth - 1)
    if correlation(samples, level, motion) < _LEAST_CORRELATION:
        return None
    shift = shift_of_blocks(samples, level, motion)
    return None if shift is None else float(np.median(np.hypot(*shift))) * reference.half_px


def worsens(reference: View, frame: View, motion: Matrix) -> bool:
    """Whether a motion that was found some other way makes the frame fit worse than none."""
    last = reference.depth - 1
    found = compare(reference.samples(last), frame.level(last), np.eye(3), motion)
    return found is not None and found.after > found.before


def register(reference: View, frame: View) -> Pair:
    """Find the motion between two frames and judge it."""
    last = reference.depth - 1
    samples, level = reference.samples(last), frame.level(last)
    if _is_still(reference, frame):
        return Pair(state="still")
    begin = _ascend(reference, frame)
    if begin is None:
        return Pair(state="unsure", reason=NO_TEXTURE)
    candidates = _fit(samples, level, begin, KINDS[1:], reference.size)
    if not candidates:
        return Pair(state="unsure", reason="no motion that a hand could have made fits")
    kind, motion = _poorest(candidates)
    if _travel(reference, motion) * reference.half_px < reference.still_px:
        return Pair(state="still")
    reason = _verdict(reference, frame, motion)
    if reason:
        return Pair(state="unsure", reason=reason)
    inverse = np.asarray(np.linalg.inv(motion), np.float64)
    back = refine(frame.samples(last), reference.level(last), inverse, (kind,))
    if back is None or _travel(reference, motion @ back) * samples.unit_px > _RETURN_PX:
        return Pair(state="unsure", reason="the way back leads elsewhere")
    return Pair(state="moved", motion=motion, kind=kind)


def _is_still(reference: View, frame: View) -> bool:
    """The quick way out for what stood on a tripod: only the coarsest and finest level are made."""
    _, coarse = coarse_motions(reference.level(0), frame.level(0), (0.0,))[0]
    if not np.array_equal(coarse, np.eye(3)):
        return False
    last = reference.depth - 1
    samples, level = reference.samples(last), frame.level(last)
    found = refine(samples, level, np.eye(3), ("affine",), steps=6)
    if found is None or correlation(samples, level, np.eye(3)) < 0.5:
        return False
    return _travel(reference, found) * reference.half_px < reference.still_px


def _ascend(reference: View, frame: View) -> Matrix | None:
    """The motion on the last level but one, from nothing."""
    samples, level = reference.samples(0), frame.level(0)
    starts = coarse_motions(reference.level(0), level, _TURNS)
    starts.sort(key=lambda start: -start[0])
    best, motion = 0.0, None
    for start in [matrix for _, matrix in starts[:_STARTS]] + [np.eye(3)]:
        end = refine(samples, level, start, ("translation", "euclidean"))
        if end is None or reject_reason(end, *reference.size):
            continue
        score = correlation(samples, level, end)
        if score > best:
            best, motion = score, end
    if motion is None:
        return None
    for i in range(1, reference.depth - 1):
        kinds: tuple[Kind, ...] = ("euclidean", "affine")
        better = _fit(reference.samples(i), frame.level(i), motion, kinds, reference.size)
        if better:
            _, motion = _poorest(better)
    return motion


_Candidate = tuple[float, Kind, Matrix]


def _fit(
    samples: Samples, level: Level, begin: Matrix, kinds: Sequence[Kind], size: tuple[int, int]
) -> list[_Candidate]:
    """The best motion of each kind near ``begin``, with its misfit, as far as there is one."""
    candidates: list[_Candidate] = []
    for kind in kinds:
        # Perspective is the smallest part of a hand's motion; it starts where the rest ended.
        affine = candidates[-1][2] if candidates and candidates[-1][1] == "affine" else begin
        end = refine(samples, level, project(affine, kind), (kind,))
        if end is None or reject_reason(end, *size):
            continue
        found = misfit(samples, level, end)
        if found is not None:
            candidates.append((found, kind, end))
    return candidates


def _poorest(candidates: Sequence[_Candidate]) -> tuple[Kind, Matrix]:
    """The poorest kind that fits about as well as any.

    Richer ones also fit the noise, and go astray where there is no texture to hold them.
    """
    least = min(found for found, _, _ in candidates)
    return next((k, m) for found, k, m in candidates if found <= _AS_WELL * least + 1e-4)


def _verdict(reference: View, frame: View, motion: Matrix) -> str:
    """Why a motion is not to be trusted; "" where it is.

    Judged on the finest level, or, where noise hides the difference there, on the next.
    """
    reasons = []
    last = reference.depth - 1
    for index in range(last, max(last - 2, -1), -1):
        samples = reference.samples(index)
        travel = _travel(reference, motion) * samples.unit_px
        if index < last and travel < _LEAST_TRAVEL_PX:
            break
        reason = _doubt(samples, frame.level(index), motion, travel)
        if not reason:
            return ""
        reasons.append(reason)
    return reasons[0]


def _doubt(samples: Samples, level: Level, motion: Matrix, travel_px: float) -> str:
    found = compare(samples, level, np.eye(3), motion)
    if found is None or found.blocks < _LEAST_BLOCKS:
        return NO_TEXTURE
    if found.after > min(0.9 * found.before, _MOST_MISFIT):
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
            return NO_TEXTURE
        if np.median(np.hypot(*after)) > 0.7 * np.median(np.hypot(*before)):
            return "moving it would not bring its parts closer"
    return ""


def _travel(view: View, motion: Matrix) -> float:
    """How far a motion carries the textured pixels, normalised: the 80th percentile."""
    points = view.samples(view.depth - 1).points
    if points.shape[1] == 0:
        return 0.0
    return float(np.percentile(np.hypot(*(move_points(motion, points) - points)), 80.0))
