# SPDX-License-Identifier: Apache-2.0
"""How much light each frame of a bracket took in, and which frames a model of radiance gets.

Exposures are the catalog's (time, aperture and sensitivity together), unless they are missing, all
the same, or contradict the pixels: then they are told from the pixels, and marked as estimates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.hdr_network import middle
from pipeline.archive.exposure import exposure_contradiction
from pipeline.bracket import Bracket, Pixels, Stack
from pipeline.errors import PhotoError
from pipeline.merging import Exposures, estimated_exposures, exposures_of

__all__ = ["Light", "check_alone", "frames_around", "light_of", "light_of_single"]

_LEAST_RANGE_EV = 0.1  # less is the scatter of shutters
_RESOLVED = (0.02, 0.98)  # display values that tell anything of light
_LEAST_RESOLVED = 1e-3  # share of the pixels
_STEP = 8  # of the pixels that are looked at
_STEP_EV = 2.0


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of K frames, in the order of the bracket.

    Attributes:
        ratios: light that each frame took in, over that of the reference.
        order: indices of the frames, dark to bright.
        reference: index of the frame whose moment and scale a radiance has.
        exposures: where the ratios come from.
    """

    ratios: tuple[float, ...]
    order: tuple[int, ...]
    reference: int
    exposures: Exposures

    def as_exposures(self) -> Exposures:
        """The ratios as exposure times, in the order of the bracket."""
        return replace(self.exposures, times_s=self.ratios)

    @property
    def place(self) -> int:
        """The reference's place from dark to bright, from 1."""
        return self.order.index(self.reference) + 1

    @property
    def columns(self) -> dict[str, Any]:
        """What the report says of it."""
        return {
            "reference_frame": self.place,
            "light_ratios": list(self.ratios),
            "light_estimated": self.exposures.estimated,
        }


def light_of(bracket: Bracket, stack: Stack, reference: int | None = None) -> Light:
    """Find out how much light the frames of a bracket took in.

    Args:
        bracket: what the catalog says.
        stack: its pixels, in its order.
        reference: which frame counts, from 1, dark to bright; None: the middle one, of an even
            number the darker of two.

    Raises:
        PhotoError: ``frames-too-few``, there is no such reference; ``frames-saturated`` or
            ``exposures-equal``, there is no radiance to be had.
    """
    path = bracket.frames[0].path
    if reference is not None and reference > stack.count:
        raise PhotoError(
            "frames-too-few",
            f"The bracket of {path} has {stack.count} frames, and none is the {reference}th; give "
            "a smaller --reference, or none for the middle one.",
        )
    _check_resolved(stack, path)
    exposures = _exposures(bracket, stack)
    times = exposures.times_s
    if math.log2(max(times) / min(times)) < _LEAST_RANGE_EV:
        raise PhotoError(
            "exposures-equal",
            f"The frames of the bracket of {path} have all the same exposure, by what is recorded "
            "and by their pixels; a radiance needs brighter and darker ones.",
        )
    order = tuple(sorted(range(stack.count), key=lambda k: (times[k], k)))
    base = order[middle(stack.count) if reference is None else reference - 1]
    return Light(
        ratios=tuple(time / times[base] for time in times),
        order=order,
        reference=base,
        exposures=exposures,
    )


def light_of_single(bracket: Bracket) -> Light:
    """The light of a frame that belongs to no bracket: its own is all there is."""
    if len(bracket.frames) != 1:
        raise ValueError(f"a single has one frame, not {len(bracket.frames)}")
    exposures = Exposures(times_s=(1.0,), estimated=False)
    return Light(ratios=(1.0,), order=(0,), reference=0, exposures=exposures)


def check_alone(frame: Pixels, path: str) -> None:
    """Refuse a frame that says nothing of the light.

    Raises:
        PhotoError: ``frames-saturated``.
    """
    if not _resolves(frame):
        raise PhotoError(
            "frames-saturated",
            f"{path} is black or white all over; nobody can tell what light there was. Leave it "
            "out, or of a bracket choose another frame (--reference).",
        )


def frames_around(light: Light, most: int | None) -> tuple[int, ...]:
    """Indices of the frames for a model that takes at most so many, dark to bright.

    The reference is among them. Then, darker and brighter in turn, comes the frame whose exposure
    is nearest to two stops away from the last one taken on that side, as data sets have them; where
    one side has none left, the other goes on.
    """
    if most is None or len(light.order) <= most:
        return light.order
    stops = [math.log2(ratio) for ratio in light.ratios]
    at = light.order.index(light.reference)
    left = {-1: list(light.order[:at]), 1: list(light.order[at + 1 :])}
    last = {-1: 0.0, 1: 0.0}
    chosen = [light.reference]
    side = 1
    while len(chosen) < most:
        side = -side if left[-side] else side
        wanted = last[side] + side * _STEP_EV
        nearest = min(left[side], key=lambda k: (round(abs(stops[k] - wanted), 3), abs(stops[k])))
        left[side].remove(nearest)
        last[side] = stops[nearest]
        chosen.append(nearest)
    return tuple(k for k in light.order if k in chosen)


def _exposures(bracket: Bracket, stack: Stack) -> Exposures:
    evs = [frame.ev for frame in bracket.frames if frame.ev is not None]
    if len(evs) < stack.count or not all(map(math.isfinite, evs)):
        return exposures_of(stack)
    contradiction = exposure_contradiction(evs, _means(stack))
    if contradiction is not None:
        return estimated_exposures(stack, "contradict the pixels")
    darkest = min(evs)
    return exposures_of(replace(stack, exposure_times_s=tuple(2.0 ** (ev - darkest) for ev in evs)))


def _means(stack: Stack) -> Sequence[float]:
    return [float(frame[::_STEP, ::_STEP].mean(dtype=np.float64)) for frame in stack.frames]


def _check_resolved(stack: Stack, path: str) -> None:
    if any(map(_resolves, stack.frames)):
        return
    raise PhotoError(
        "frames-saturated",
        f"Every frame of the bracket of {path} is black or white all over; nobody can tell what "
        "light there was. Leave the bracket out, or add frames of other exposures.",
    )


def _resolves(frame: Pixels) -> bool:
    """Whether enough of a frame is neither black nor white."""
    low, high = _RESOLVED
    values = frame[::_STEP, ::_STEP] / np.float32(np.iinfo(frame.dtype).max)
    return bool(((values > low) & (values < high)).mean() >= _LEAST_RESOLVED)
