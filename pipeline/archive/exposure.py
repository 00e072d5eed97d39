# SPDX-License-Identifier: Apache-2.0
"""Exposures against pixels: EXIF in edited files can be stale."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["exposure_contradiction"]

_CLEAR_EV = 0.3  # exposures closer than this may come out in any order
_DARKER = 0.95  # a frame given more light may be this much darker: passing clouds, vignetting
_SAME_EV = 0.1
_UNLIKE = 1.3  # one exposure does not give means that differ by more than this


def exposure_contradiction(evs: Sequence[float], mean_luminances: Sequence[float]) -> str | None:
    """Whether the exposures contradict the brightness of the frames.

    Args:
        evs: K exposure values in stops, brighter is larger.
        mean_luminances: K means of the display-referred pixels, in any one scale.

    Returns:
        a sentence that says what does not fit, or None.
    """
    frames = sorted(zip(evs, mean_luminances, strict=True), key=lambda frame: frame[0])
    if len(frames) < 2:
        return None
    spread = frames[-1][0] - frames[0][0]
    darkest, brightest = min(mean_luminances), max(mean_luminances)
    if spread < _SAME_EV and brightest > _UNLIKE * darkest:
        return "the recorded exposures are all the same, but the frames differ in brightness"
    wrong = sum(
        bright < _DARKER * dark
        for index, (low, dark) in enumerate(frames)
        for high, bright in frames[index + 1 :]
        if high - low > _CLEAR_EV
    )
    if wrong:
        return (
            f"the recorded exposures contradict the brightness of the pixels ({wrong} "
            f"{'pair' if wrong == 1 else 'pairs'} of frames the other way round)"
        )
    return None
