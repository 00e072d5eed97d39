# SPDX-License-Identifier: Apache-2.0
"""Where one bracket ends and the next begins in a burst of frames.

A burst is a run of frames of one camera with hardly a pause between them. It may hold several
brackets, singles and drive shots. Each way of cutting it gets a score that says how much its
pieces look like exposure bracketing; dynamic programming finds the best one. What a camera does
in bracketing is a short list: equal steps, all exposures distinct, and one of a few orders
(dark to bright, bright to dark, or the metered frame first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pipeline.archive.shot import Shot

__all__ = ["Signature", "Verdict", "judge", "split"]

Signature = tuple[int, float, str]
"""Number of frames, step in stops (to the third), order: cameras keep these for a whole day."""

MIN_STEP_EV = 0.6
"""Smaller steps are bracketing only where the camera says so: metering drifts by a third."""
MIN_TAGGED_STEP_EV = 0.25
_PAIR_GAP_S = 1.0
_STEP_TOLERANCE_EV = 0.35  # nominal shutter speeds (1/13, 1/60, 30 s) are off by up to 0.15 each


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How much a run of frames looks like one bracket: above 0 it is one rather than singles."""

    score: float
    confidence: float
    notes: tuple[str, ...]
    signature: Signature


def split(
    shots: Sequence[Shot],
    idle_s: Sequence[float],
    *,
    max_gap_s: float,
    frames: range,
    usual: Mapping[Signature, int] | None = None,
) -> list[tuple[int, int, Verdict | None]]:
    """Cut a burst into brackets and singles.

    Args:
        shots: the frames in order of capture, each with an EV.
        idle_s: the idle time before each frame, seconds; the first is not looked at.
        max_gap_s: the pause that would have ended the burst, the measure of a long one.
        frames: how many frames a bracket may have.
        usual: how often each signature occurs in this folder.

    Returns:
        ``(start, stop, verdict)`` for each piece, in order and without holes; the verdict is
        None for a single.
    """
    count = len(shots)
    best = [0.0] * (count + 1)
    last: list[tuple[int, Verdict | None]] = [(0, None)] * (count + 1)
    for stop in range(1, count + 1):
        # A frame that the camera took in bracketing does not like to stand alone.
        alone = -0.4 if shots[stop - 1].mode == "bracket" else 0.0
        best[stop], last[stop] = best[stop - 1] + alone, (stop - 1, None)
        for length in range(frames.start, min(frames.stop - 1, stop) + 1):
            start = stop - length
            if _repeats(shots, start, stop):
                break  # the same exposure twice: longer pieces hold it twice as well
            verdict = judge(
                shots[start:stop], idle_s[start + 1 : stop], max_gap_s=max_gap_s, usual=usual
            )
            if verdict is not None and best[start] + verdict.score > best[stop] + 1e-9:
                best[stop], last[stop] = best[start] + verdict.score, (start, verdict)
    pieces: list[tuple[int, int, Verdict | None]] = []
    stop = count
    while stop > 0:
        start, found = last[stop]
        pieces.append((start, stop, found))
        stop = start
    return pieces[::-1]


def judge(
    shots: Sequence[Shot],
    idle_s: Sequence[float],
    *,
    max_gap_s: float,
    usual: Mapping[Signature, int] | None = None,
) -> Verdict | None:
    """Judge two or more frames in order of capture; None if they cannot be a bracket.

    ``idle_s`` are the idle times between them, one fewer than frames.
    """
    evs = [_ev(shot) for shot in shots]
    count = len(evs)
    ladder = sorted(evs)
    steps = [brighter - darker for darker, brighter in pairwise(ladder)]
    auto_bracket = [shot.mode == "bracket" for shot in shots]
    follows_bias = bias_explains(shots)
    tagged = all(auto_bracket) or follows_bias is True
    if min(steps) < (MIN_TAGGED_STEP_EV if tagged else MIN_STEP_EV):
        return None

    score, confidence = count - 1.0, 0.97
    notes: list[str] = []

    def doubt(cost: float, less: float, note: str | None = None) -> None:
        nonlocal score, confidence
        score -= cost
        confidence -= less
        if note:
            notes.append(note)

    order = _order(evs)
    even = max(steps) - min(steps) <= max(_STEP_TOLERANCE_EV, 0.15 * max(steps))
    if count > 2 and not even:
        doubt(1.2, 0.15, "exposure steps are uneven")
    if order == "mixed":
        doubt(0.8 if tagged else 1.5, 0.1, "the order of exposures is no camera's habit")
    if count == 2:
        if not tagged and (max(idle_s) > _PAIR_GAP_S or steps[0] < 0.9):
            return None  # two pictures of a walk look just like this
        doubt(0.6, 0.1 if tagged else 0.4)
    elif count % 2 == 0:
        doubt(0.2, 0.0)
    if len({shot.f_number for shot in shots}) > 1:
        doubt(0.5 if tagged else 1.2, 0.15, "aperture differs between the frames")

    if any(auto_bracket) and not all(auto_bracket):
        doubt(1.5, 0.2, "only some frames are tagged as auto-bracketing")
    if follows_bias is False and shots[0].mode == "auto" and not any(auto_bracket):
        # Automatic exposure without compensation moved by itself: the scene changed.
        doubt(1.3, 0.2, "exposure changed without compensation or bracketing tags")

    doubt(0.5 * sum(min(1.0, gap / max_gap_s) for gap in idle_s), 0.0)
    if len(idle_s) > 1 and max(idle_s) > 3 * median(idle_s) + 1.0:
        doubt(0.8, 0.1, "one pause is longer than the others")
    missing = counter_jumps(shots)
    if missing:
        doubt(0.4 * min(2, missing), 0.1, "file numbers are missing in between")

    signature = (count, round(3 * sum(steps) / len(steps)) / 3, order)
    if usual and usual.get(signature, 0) >= 3:
        score += 0.15 * count  # by frame, or many short brackets would beat a long one
        confidence += 0.05
    return Verdict(
        score=score,
        confidence=round(min(0.99, max(0.3, confidence)), 2),
        notes=tuple(notes),
        signature=signature,
    )


def bias_explains(shots: Sequence[Shot]) -> bool | None:
    """Whether exposure compensation, or the camera's bracketing offset, moved as the exposures did.

    None where neither is recorded.
    """
    verdict: bool | None = None
    for offsets in ([shot.bias_ev for shot in shots], [shot.bracket_ev for shot in shots]):
        known = [offset for offset in offsets if offset is not None]
        if len(known) < len(shots):
            continue
        verdict = False
        rest = [_ev(shot) - offset for shot, offset in zip(shots, known, strict=True)]
        if max(known) - min(known) >= 0.2 and max(rest) - min(rest) <= 0.6:
            return True
    return verdict


def counter_jumps(shots: Sequence[Shot]) -> int:
    """How often the camera's file counter skips between neighbours; 0 where there is none."""
    jumps = 0
    for one, other in pairwise(shots):
        before, after = counter(one.path), counter(other.path)
        if before is None or after is None or before[0] != after[0]:
            continue
        step = after[1] - before[1]
        # 9999 rolls over to 0001 (or 0000).
        if step not in (1, -1) and not (before[1] >= 9990 and after[1] <= 9):
            jumps += 1
    return jumps


def counter(path: str) -> tuple[str, int] | None:
    """Prefix and number of a camera file name (``IMG_0042.JPG`` -> ``("img_", 42)``)."""
    name = path.rpartition("/")[2].partition(".")[0]
    digits = len(name) - len(name.rstrip("0123456789"))
    if not 3 <= digits <= 5:  # six and more are a date or a time of day
        return None
    return name[:-digits].casefold(), int(name[-digits:]) % 10_000


def _order(evs: Sequence[float]) -> str:
    """Name of the order of capture, or ``mixed`` where no camera brackets like that."""
    ranks = [sorted(evs).index(ev) for ev in evs]
    count = len(ranks)
    if ranks == list(range(count)):
        return "rising"
    if ranks == list(range(count))[::-1]:
        return "falling"
    middle = count // 2
    if count % 2 == 0 or ranks[0] != middle:
        return "mixed"
    offsets = [rank - middle for rank in ranks[1:]]
    darker = list(range(-1, -middle - 1, -1))
    brighter = list(range(1, middle + 1))
    outward = [
        ("0-+-+", [side for pair in zip(darker, brighter, strict=True) for side in pair]),
        ("0+-+-", [side for pair in zip(brighter, darker, strict=True) for side in pair]),
        ("0--++", darker[::-1] + brighter),
        ("0--++", darker + brighter),
        ("0++--", brighter + darker),
        ("0++--", brighter[::-1] + darker[::-1]),
        ("0++--", brighter[::-1] + darker),
    ]
    return next((name for name, known in outward if known == offsets), "mixed")


def _repeats(shots: Sequence[Shot], start: int, stop: int) -> bool:
    first = _ev(shots[start])
    return any(abs(_ev(shot) - first) < MIN_TAGGED_STEP_EV for shot in shots[start + 1 : stop])


def _ev(shot: Shot) -> float:
    ev = shot.ev
    if ev is None:
        raise ValueError("grouping by exposure needs frames with an exposure time")
    return ev
