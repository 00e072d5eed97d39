# SPDX-License-Identifier: Apache-2.0
"""Harder conditions to fuse a validation patch under: other exposure distances, and noise.

Fusion takes the pair of frames that is nearest to a distance (:func:`stack_under`). Radiance has a
reference, the middle frame, whose moment the truth shows: it stays, and beside it stand the frames
nearest to that distance on either side (:func:`light_under`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.hdr_network import middle
from pipeline.augment import AugmentSettings, add_noise, plain
from pipeline.light_batches import plain_fields
from pipeline.patches import Patch
from pipeline.storage import sha256_of

__all__ = [
    "PLAIN",
    "Condition",
    "LightStack",
    "Stack",
    "exposures",
    "light_under",
    "nearest_pair",
    "stack_under",
]

_MOST_STOPS = 20


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a patch is put through before it is fused.

    Raises:
        ValueError: a value is impossible; the message begins with its name.
    """

    name: str
    stops: float | None = None
    """Fuse the two frames whose exposures lie nearest to this far apart; None takes the frames
    that validation takes. Patches without known exposures are left out."""
    noise: float = 0.0
    """Standard deviation of noise in the darkest frame, in 8-bit levels (of 255); brighter frames
    have less, see ``AugmentSettings.noise_dark``."""

    def __post_init__(self) -> None:
        if self.stops is not None and not 0 < self.stops <= _MOST_STOPS:
            raise ValueError(f"stops must lie within 0..{_MOST_STOPS}, not {self.stops:g}")
        if not 0 <= self.noise <= 128:
            raise ValueError(f"noise must lie within 0..128, not {self.noise:g}")


PLAIN = Condition(name="plain")
"""The patch as validation sees it."""


@dataclass(frozen=True)
class Stack:
    """A patch under a condition: ``inputs`` are fused; ``clean`` are the same frames without the
    noise. Both are (k, 3, side, side) float32 in 0..1. ``stops`` lie between the darkest and the
    brightest of them, None where nobody knows."""

    inputs: NDArray[np.float32]
    clean: NDArray[np.float32]
    stops: float | None


def stack_under(
    patch: Patch, condition: Condition, k: int, *, crop_px: int | None = None
) -> Stack | None:
    """A patch under a condition, None where its exposures would have to be known.

    Noise depends on the patch's key and the condition alone: all networks see the same.

    Args:
        patch: the patch.
        condition: what to do to it.
        k: how many frames; a condition with ``stops`` takes two.
        crop_px: side of the centre crop; None keeps the whole patch.

    Raises:
        ValueError: as :func:`pipeline.augment.plain`.
    """
    frames, known = patch.frames, exposures(patch)
    if condition.stops is not None:
        if known is None:
            return None
        pair = list(nearest_pair(known, condition.stops))
        frames, known, k = frames[pair], known[pair], 2
    clean = plain(frames, k, crop_px=crop_px)
    inputs = _noisy(clean, condition, patch.key)
    # Frames spread over the order always include the outermost two.
    return Stack(inputs, clean, None if known is None else abs(float(known[-1] - known[0])))


@dataclass(frozen=True)
class LightStack:
    """A patch for a network that makes radiance, under a condition: ``inputs`` and ``clean`` as in
    :class:`Stack`, each ``frames`` and the fields that were asked for."""

    inputs: dict[str, NDArray[Any]]
    clean: dict[str, NDArray[Any]]
    stops: float | None


def light_under(
    patch: Patch,
    condition: Condition,
    k: int,
    fields: Sequence[str],
    *,
    crop_px: int | None = None,
) -> LightStack | None:
    """As :func:`stack_under`, around the middle frame.

    Args:
        patch: the patch.
        condition: what to do to it; of three frames and more one with ``stops`` takes the middle
            one and its two neighbours at that distance, of two the middle and the brighter one.
        k: how many frames.
        fields: of :data:`pipeline.light_batches.FIELDS`.
        crop_px: side of the centre crop; None keeps the whole patch.

    Raises:
        ValueError: as :func:`pipeline.augment.plain`.
        UsageError: ``shards-invalid``, the patch lacks one of the fields.
    """
    known = exposures(patch)
    if condition.stops is not None:
        if known is None:
            return None
        chosen = _around_middle(known, condition.stops, k)
        if chosen is None:
            return None
        patch, known, k = _those(patch, chosen), known[chosen], len(chosen)
    clean = plain_fields(patch, fields, k, crop_px=crop_px)
    inputs = dict(clean)
    for name in ("frames", "aligned") if condition.noise else ():
        if name in clean:
            # The sensor's noise travels with what was laid, but not pixel by pixel.
            key = patch.key if name == "frames" else f"{patch.key} {name}"
            inputs[name] = _noisy(clean[name], condition, key)
    stops = None if known is None else abs(float(known[-1] - known[0]))
    return LightStack(inputs, clean if condition.noise else inputs, stops)


def _around_middle(stops: NDArray[np.float64], wanted: float, k: int) -> list[int] | None:
    """Indices of the middle exposure and of those nearest to ``wanted`` stops from it."""
    base = middle(len(stops))
    sides = (range(base), range(base + 1, len(stops)))[int(k < 3) :]
    if not all(sides):
        return None
    beside = [
        min(side, key=lambda n: (round(abs(abs(stops[n] - stops[base]) - wanted), 3), n))
        for side in sides
    ]
    return sorted([base, *beside])


def _those(patch: Patch, chosen: list[int]) -> Patch:
    """The patch with some of its frames, the middle one still in the middle."""

    def part(values: Any) -> Any:
        return None if values is None else values[chosen]

    def numbers(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return None if values is None else tuple(values[n] for n in chosen)

    return replace(
        patch,
        frames=patch.frames[chosen],
        times_s=numbers(patch.times_s),
        evs=numbers(patch.evs),
        aligned=part(patch.aligned),
        mask=part(patch.mask),
    )


def _noisy(clean: NDArray[np.float32], condition: Condition, key: str) -> NDArray[np.float32]:
    """The frames with the condition's noise, always the same for a key; themselves without any."""
    if not condition.noise:
        return clean
    usual = AugmentSettings()
    sigma = condition.noise / usual.noise_dark
    settings = AugmentSettings(noise_sigma=(sigma, sigma))
    seed = int(sha256_of(f"{key} {condition.noise:g}".encode())[:16], 16)
    return add_noise(clean, settings, np.random.default_rng(seed))


def exposures(patch: Patch) -> NDArray[np.float64] | None:
    """How much light each frame (K,) took in, in stops up to a common constant; None if unknown."""
    if patch.evs is not None and all(map(math.isfinite, patch.evs)):
        return np.array(patch.evs, np.float64)
    if patch.times_s is not None and all(0 < time < math.inf for time in patch.times_s):
        return np.log2(np.array(patch.times_s, np.float64))
    return None


def nearest_pair(stops: Sequence[float] | NDArray[np.float64], wanted: float) -> tuple[int, int]:
    """The two of at least two exposures whose distance is nearest to ``wanted`` stops, in order.

    Of several such pairs, the one nearest to the middle of the bracket's range; of pairs on both
    sides of it, the darker.
    """
    values = np.asarray(stops, np.float64)
    low, high = np.triu_indices(len(values), 1)
    miss = np.abs(np.abs(values[high] - values[low]) - wanted)
    aside = np.abs((values[low] + values[high]) / 2 - (values.min() + values.max()) / 2)
    # Rounded: exposures come from fractions, and ties must not hang on the last bit.
    best = np.lexsort((np.round(aside, 3), np.round(miss, 3)))[0]
    return int(low[best]), int(high[best])
