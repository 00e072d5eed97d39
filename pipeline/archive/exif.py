# SPDX-License-Identifier: Apache-2.0
"""Photographers' folders: brackets among mixed files straight from the camera.

1. Frames are parted by camera body, format and file-name prefix, so that two cameras in one folder
   do not disturb each other.
2. Each part is put in order of capture: time, then the camera's file counter, which may roll over.
3. The *idle gap* before a frame, the time in which the camera did nothing, cuts the row into
   bursts. Exposures and the dark frames after them are taken off the difference of the stamps, so
   a long exposure never breaks a bracket.
4. Each burst is cut into brackets and singles (:mod:`pipeline.archive.pattern`), twice: the second
   time with the habits in mind that the first has found in this folder.
5. What is left may be a bracket taken by hand, a turn of the dial between frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.archive.pattern import (
    MIN_STEP_EV,
    MIN_TAGGED_STEP_EV,
    Signature,
    Verdict,
    bias_explains,
    counter,
    split,
)
from pipeline.archive.shot import Shot, natural_key
from pipeline.archive.streams import streams
from pipeline.bracket import Bracket

__all__ = ["Group", "group", "idle_gap_s", "to_bracket"]

_SLOW_GAP_S = 30.0  # to turn a dial and press the shutter again
_NOISE_REDUCTION_FROM_S = 1.0  # cameras take a dark frame from about here on
_STAMP_ERROR_S = 1.2  # stamps cut to whole seconds, and nominal instead of true times


@dataclass(frozen=True, kw_only=True)
class Group:
    """A bracket found among shots, dark to bright, with the sentence that explains it."""

    shots: tuple[Shot, ...]
    reason: str
    confidence: float
    notes: tuple[str, ...] = ()


def group(
    shots: Sequence[Shot], *, max_gap_s: float = 3.0, min_frames: int = 2, max_frames: int = 20
) -> tuple[list[Group], list[Shot]]:
    """Find the brackets among the shots of a folder.

    Args:
        shots: any mixture; those without an exposure time are left over.
        max_gap_s: idle seconds between two frames that end a burst.
        min_frames: fewest frames of a bracket, at least 2.
        max_frames: most frames of a bracket.

    Returns:
        the brackets, by capture, and the shots left over, in the order given. Each shot is in
        exactly one of the two.
    """
    frames = range(max(2, min_frames), max_frames + 1)
    parts = streams(shots)
    bursts: list[tuple[list[Shot], list[float], float]] = []
    for part in parts:
        bursts += _bursts(part, max_gap_s)

    habits: Counter[Signature] = Counter()
    for usual in (None, habits):
        found: list[Group] = []
        seen: list[Signature] = []
        for burst, idle, blur in bursts:
            pieces = split(burst, idle, max_gap_s=max_gap_s, frames=frames, usual=usual)
            for start, stop, verdict in pieces:
                if verdict is not None:
                    found.append(_quick(burst[start:stop], blur, verdict))
                    seen.append(verdict.signature)
        if usual is None:
            habits.update(seen)

    if len(parts) == 1 and len(parts[0]) == len(shots) and len(shots) in frames:
        whole = _slow(parts[0], any_order=True)
        # A folder that is one bracket as a whole beats one that falls apart into scraps.
        if whole is not None and sum(len(g.shots) for g in found) < len(shots):
            return [whole], []
    used = {shot.file.uri for g in found for shot in g.shots}
    for part in parts:
        for run in _runs([shot for shot in part if shot.file.uri not in used], part, frames):
            slow = _slow(run, any_order=False)
            if slow is not None:
                found.append(slow)
                used.update(shot.file.uri for shot in run)
    return found, [shot for shot in shots if shot.file.uri not in used]


def to_bracket(found: Group, *, source: str, layout: str = "exif") -> Bracket:
    """The group as a row of the catalog."""
    return Bracket(
        frames=tuple(shot.frame() for shot in found.shots),
        source=source,
        layout=layout,
        reason=found.reason,
        confidence=found.confidence,
        notes=found.notes,
    )


def idle_gap_s(one: Shot, other: Shot) -> float | None:
    """Seconds between two shots, in order, in which the camera did nothing; None without times.

    Some cameras stamp the start of an exposure, others its end, and after a long exposure some
    take a dark frame of equal length. None of it is recorded, so the idle time is the shortest
    that any of these habits explains.
    """
    if one.captured_s is None or other.captured_s is None:
        return None
    between = other.captured_s - one.captured_s
    before, after = one.exposure_time_s or 0.0, other.exposure_time_s or 0.0
    busy = [before, after]
    if before >= _NOISE_REDUCTION_FROM_S:
        busy += [before + before, after + before]
    possible = [between - time for time in busy if between - time >= -_STAMP_ERROR_S]
    return max(0.0, min(possible, default=0.0))


def _bursts(part: list[Shot], max_gap_s: float) -> list[tuple[list[Shot], list[float], float]]:
    """Cut at long pauses: shots, idle seconds before each, blur of the clock (seconds)."""
    stamps = [shot.captured_s for shot in part]
    # Without sub-second stamps a difference is uncertain by up to one second.
    blur = 1.0 if all(stamp is None or float(stamp).is_integer() for stamp in stamps) else 0.0
    bursts: list[tuple[list[Shot], list[float], float]] = []
    for index, shot in enumerate(part):
        if index == 0:
            bursts.append(([shot], [0.0], blur))
            continue
        before = part[index - 1]
        gap = idle_gap_s(before, shot)
        idle = _counter_gap(before, shot, max_gap_s) if gap is None else max(0.0, gap - blur)
        if idle > max_gap_s or not _same_size(before, shot):
            bursts.append(([shot], [0.0], blur))
        else:
            bursts[-1][0].append(shot)
            bursts[-1][1].append(idle)
    return bursts


def _same_size(one: Shot, other: Shot) -> bool:
    """Upright size, so that a camera turned to portrait ends a bracket."""
    return (one.width, one.height) == (other.width, other.height)


def _counter_gap(one: Shot, other: Shot, max_gap_s: float) -> float:
    """Without times the counter stands in: neighbours are close, others are not."""
    before, after = counter(one.path), counter(other.path)
    if before is None or after is None:
        return 0.0
    return 0.0 if (after[1] - before[1]) % 10_000 in (1, 2) else max_gap_s + 2.0


def _runs(left: list[Shot], part: list[Shot], frames: range) -> list[list[Shot]]:
    """Longest runs of left-over neighbours that rise or fall with at most a slow gap between."""
    position = {shot.file.uri: index for index, shot in enumerate(part)}
    runs: list[list[Shot]] = []
    rising: bool | None = None
    for shot in left:
        if runs:
            before = runs[-1][-1]
            gap = idle_gap_s(before, shot)
            step = (shot.ev or 0.0) - (before.ev or 0.0)
            if (
                position[shot.file.uri] == position[before.file.uri] + 1
                and gap is not None
                and gap <= _SLOW_GAP_S
                and _same_size(before, shot)
                and abs(step) >= MIN_STEP_EV
                and rising in (None, step > 0)
            ):
                rising = step > 0
                runs[-1].append(shot)
                continue
        runs.append([shot])
        rising = None
    return [run for run in runs if len(run) >= max(3, frames.start) and len(run) in frames]


def _slow(run: Sequence[Shot], *, any_order: bool) -> Group | None:
    """A bracket taken by hand: same aperture and ISO, and the camera did as it was told."""
    gaps = [idle_gap_s(one, other) for one, other in pairwise(run)]
    if any(gap is None or gap > _SLOW_GAP_S for gap in gaps):
        return None
    if len({(shot.f_number, shot.iso, shot.width, shot.height) for shot in run}) > 1:
        return None
    ladder = sorted(shot.ev or 0.0 for shot in run)
    if min(brighter - darker for darker, brighter in pairwise(ladder)) < MIN_TAGGED_STEP_EV:
        return None
    by_hand = all(shot.mode == "manual" for shot in run)
    if not by_hand and not bias_explains(run):
        return None
    how = "manual exposure" if by_hand else "exposure compensation"
    return Group(
        shots=_dark_to_bright(run),
        reason=f"{_facts(run, 1.0)}, set by {how}"
        + (", nothing else in the folder" if any_order else ""),
        confidence=0.75 if any_order else 0.6,
        notes=(f"pauses of up to {max(gap or 0.0 for gap in gaps):.0f} s between the frames",),
    )


def _quick(run: Sequence[Shot], blur: float, verdict: Verdict) -> Group:
    confidence, notes = verdict.confidence, verdict.notes
    if any(shot.captured_s is None for shot in run):
        confidence, notes = confidence - 0.25, (*notes, "no capture times, only file numbers")
    if any(shot.camera is None for shot in run):
        confidence, notes = confidence - 0.05, (*notes, "no camera recorded")
    tags = ""
    if all(shot.mode == "bracket" for shot in run):
        tags = ", tagged as auto-bracketing"
    elif bias_explains(run):
        tags = ", exposure compensation agrees"
    return Group(
        shots=_dark_to_bright(run),
        reason=_facts(run, blur) + tags,
        confidence=round(max(0.3, confidence), 2),
        notes=notes,
    )


def _facts(run: Sequence[Shot], blur: float) -> str:
    """``3 frames within 0.9 s, EV -2 0 +2, same camera and size``, in order of capture."""
    stamps = [shot.captured_s for shot in run if shot.captured_s is not None]
    within = ""
    if len(stamps) == len(run):
        longest = max(shot.exposure_time_s or 0.0 for shot in run)
        # The stamps span all exposures but, at most, one.
        span = max(stamps) - min(stamps) + longest
        within = f" within {span:.1f} s" if blur == 0 else f" within {span + blur:.0f} s"
    evs = [shot.ev or 0.0 for shot in run]
    middle = sorted(evs)[(len(evs) - 1) // 2]
    ladder = " ".join(_stops(ev - middle) for ev in evs)
    same = "same camera and size" if all(shot.camera for shot in run) else "same size"
    return f"{len(run)} frames{within}, EV {ladder}, {same}"


def _stops(ev: float) -> str:
    """Stops to a tenth, signed: ``-2``, ``0``, ``+0.7``."""
    rounded = round(ev, 1)
    nearest = round(rounded)
    # Nominal shutter speeds miss whole stops by a little.
    shown = f"{nearest:+d}" if abs(ev - nearest) < 0.16 else f"{rounded:+.1f}"
    return "0" if shown in ("+0", "-0", "+0.0", "-0.0") else shown


def _dark_to_bright(run: Sequence[Shot]) -> tuple[Shot, ...]:
    return tuple(sorted(run, key=lambda s: (s.ev or 0.0, natural_key(s.path))))
