# SPDX-License-Identifier: Apache-2.0
"""What a set of dynamic scenes is like: how many, how large, and how far things move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from model.hdr_network import middle
from pipeline.errors import UsageError

__all__ = ["FIRST_SEED", "DynamicPlan", "MotionKind", "Split"]

MotionKind = Literal["drift", "objects"]
Split = Literal["training", "test"]

FIRST_SEED: dict[Split, int] = {"training": 0, "test": 1_000_000}
"""Of the rendered backdrops of a split."""

_SHAKE = 0.02  # what a steady hand moves at most, in diagonals


@dataclass(frozen=True, kw_only=True)
class DynamicPlan:
    """What decides a set of scenes; with an index it decides a scene entirely.

    The defaults with ``split="test"`` are the project's test scenes: 24 of each kind of motion.
    Training and test scenes share neither backdrops nor numbers, whatever the seed.

    Raises:
        UsageError: ``option-invalid``, naming what is allowed.
    """

    split: Split = "training"
    scenes: int = 48
    seed: int = 0
    """Decides everything else."""
    height: int = 512
    width: int = 512
    frames: int = 3
    """K of each bracket; the middle one is the reference."""
    steps_ev: tuple[float, ...] = (2.0, 3.0)
    """Stops between neighbouring frames; each scene takes one of them."""
    kinds: tuple[MotionKind, ...] = ("drift", "objects")
    """Kinds of motion, in turn."""
    motion_px: tuple[float, float] = (4.0, 40.0)
    """How far things, or the view, move from one frame to the next; log-uniform."""
    shake: float = 0.7
    """How unsteady the hand is that holds the camera; 0 for a tripod."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("scenes", self.scenes, 1, 1_000_000),
            ("seed", self.seed, 0, 2**32 - 1),
            ("height", self.height, 32, 8192),
            ("width", self.width, 32, 8192),
            ("frames", self.frames, 2, 15),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise _invalid(name, value, f"a whole number within {low}..{high}")
        if self.split not in get_args(Split):
            raise _invalid("split", self.split, f"one of {', '.join(get_args(Split))}")
        if not self.kinds or not set(self.kinds) <= set(get_args(MotionKind)):
            raise _invalid("kinds", self.kinds, f"among {', '.join(get_args(MotionKind))}")
        if not self.steps_ev or not all(0.25 <= step <= 5 for step in self.steps_ev):
            raise _invalid("steps_ev", self.steps_ev, "stops within 0.25..5")
        slow, fast = self.motion_px
        if not 0 < slow <= fast <= min(self.height, self.width) / 2:
            raise _invalid(
                "motion_px",
                self.motion_px,
                "the least and the most pixels, more than 0 and at most half of the shorter side",
            )
        if not 0 <= self.shake <= 2:
            raise _invalid("shake", self.shake, "within 0..2")

    @property
    def reference(self) -> int:
        """Index of the frame whose moment the truth shows."""
        return middle(self.frames)

    @property
    def margin_px(self) -> int:
        """How much more than the view must be known on each side."""
        steps = max(self.reference, self.frames - 1 - self.reference)
        shake = _SHAKE * max(self.shake, 0.5) * steps * math.hypot(self.height, self.width)
        return math.ceil(self.motion_px[1] * steps + shake) + 2


def _invalid(name: str, value: object, allowed: str) -> UsageError:
    return UsageError("option-invalid", f"{name} {value!r} must be {allowed}.")
