# SPDX-License-Identifier: Apache-2.0
"""The frames of a folder as each camera took them: one row a body, in order of capture."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.archive.pattern import counter
from pipeline.archive.shot import Shot, extension, natural_key

__all__ = ["streams"]

_COUNTER_REACH = 40  # deleted frames in a row that still count as the same body


def streams(shots: Iterable[Shot]) -> list[list[Shot]]:
    """Shots with an exposure, by what must be the same within a bracket, in order of capture."""
    parts: dict[tuple[object, ...], list[Shot]] = {}
    for shot in shots:
        if shot.ev is None:
            continue
        number = counter(shot.path)
        key = (
            # Without a name the size tells cameras apart.
            shot.camera or (shot.width, shot.height),
            extension(shot.path),
            shot.captured_s is None,
            number[0] if number else None,
        )
        parts.setdefault(key, []).append(shot)
    return [row for part in parts.values() for row in _by_counter(_in_order(part))]


def _by_counter(part: list[Shot]) -> list[list[Shot]]:
    """Part two bodies of one model that write no serial number, by their file counters.

    Left alone are rows without counters, and rows whose numbers make no sense.
    """
    rows: list[list[Shot]] = []
    ends: list[int] = []
    for shot in part:
        found = counter(shot.path)
        if found is None:
            return [part]
        # A step back happens where stamps are rough, a step ahead where frames were deleted.
        steps = [(found[1] - end + 2) % 9999 for end in ends]
        near = min(range(len(steps)), key=steps.__getitem__, default=-1)
        if near < 0 or steps[near] > _COUNTER_REACH:
            rows.append([shot])
            ends.append(found[1])
        else:
            rows[near].append(shot)
            ends[near] = found[1]
    return rows if 10 * len(rows) <= len(part) else [part]


def _in_order(shots: list[Shot]) -> list[Shot]:
    """By capture time; within one second-long tick by the counter, across its roll-over."""
    ordered = sorted(shots, key=lambda s: (s.captured_s or 0.0, natural_key(s.path)))
    start = 0
    for stop in range(1, len(ordered) + 1):
        if stop < len(ordered) and ordered[stop].captured_s == ordered[start].captured_s:
            continue
        tick = ordered[start:stop]
        numbers = [n[1] for n in (counter(s.path) for s in tick) if n is not None]
        if len(numbers) == len(tick) > 1 and max(numbers) >= 9900 and min(numbers) < 100:
            rolled = [n + 10_000 if n < 5_000 else n for n in numbers]
            pairs = sorted(zip(rolled, tick, strict=True), key=lambda pair: pair[0])
            ordered[start:stop] = [shot for _, shot in pairs]
        start = stop
    return ordered
