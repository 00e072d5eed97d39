# SPDX-License-Identifier: Apache-2.0
"""Harder conditions to fuse a validation patch under: other exposure distances, and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.augment import AugmentSettings, add_noise, plain
from pipeline.patches import Patch
from pipeline.storage import sha256_of

__all__ = ["PLAIN", "Condition", "Stack", "exposures", "nearest_pair", "stack_under"]

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
    inputs = clean
    if condition.noise:
        usual = AugmentSettings()
        sigma = condition.noise / usual.noise_dark
        settings = AugmentSettings(noise_sigma=(sigma, sigma))
        seed = int(sha256_of(f"{patch.key} {condition.noise:g}".encode())[:16], 16)
        inputs = add_noise(clean, settings, np.random.default_rng(seed))
    # Frames spread over the order always include the outermost two.
    return Stack(inputs, clean, None if known is None else abs(float(known[-1] - known[0])))


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
