# SPDX-License-Identifier: Apache-2.0
"""Grouping by EXIF on metadata alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive.exif import group, idle_gap_s
from pipeline.archive.shot import ExposureMode, Shot
from pipeline.archive.twins import pair_twins
from pipeline.listing import FileInfo
from tests.pipeline.archive.camera_rolls import roll


def shot(
    name: str,
    captured_s: float | None,
    time_s: float | None,
    *,
    f_number: float | None = 8.0,
    iso: float | None = 100.0,
    camera: str | None = "Canon",
    bias_ev: float | None = None,
    mode: ExposureMode | None = None,
    size: tuple[int, int] = (6000, 4000),
) -> Shot:
    path = f"{name}.JPG"
    return Shot(
        file=FileInfo(uri=f"/a/{path}", path=path, size_bytes=1, mtime_ns=0),
        width=size[0],
        height=size[1],
        exposure_time_s=time_s,
        f_number=f_number,
        iso=iso,
        captured_s=captured_s,
        camera=camera,
        bias_ev=bias_ev,
        mode=mode,
    )


def run(
    evs: Sequence[float],
    *,
    start_s: float = 0.0,
    step_s: float = 0.3,
    first: int = 1,
    base_s: float = 1 / 60,
    **facts: object,
) -> list[Shot]:
    """Frames at EVs relative to the base, at equal intervals, numbered on."""
    return [
        shot(
            f"IMG_{(first + k - 1) % 9999 + 1:04d}",
            start_s + k * step_s,
            base_s * 2.0**ev,
            **facts,  # type: ignore[arg-type]
        )
        for k, ev in enumerate(evs)
    ]


def numbers(shots: Sequence[Shot]) -> list[list[int]]:
    groups, _ = group(shots)
    return [sorted(int(s.path[4:8]) for s in g.shots) for g in groups]


@pytest.mark.parametrize(
    "order",
    [
        (-2, 0, 2),
        (2, 0, -2),
        (0, -2, 2),
        (0, 2, -2),
        (-4, -2, 0, 2, 4),
        (0, -1, 1, -2, 2),
        (0, -2, -1, 1, 2),
        (-3, -2, -1, 0, 1, 2, 3),
    ],
)
@pytest.mark.parametrize("runs", [1, 2, 4])
def test_repeated_patterns_split_into_brackets(order: tuple[int, ...], runs: int) -> None:
    shots = run(order * runs)
    size = len(order)
    assert numbers(shots) == [list(range(k * size + 1, (k + 1) * size + 1)) for k in range(runs)]


def test_frames_come_dark_to_bright_with_a_reason() -> None:
    (bracket,), left = group(run((0, -2, 2)))
    assert left == []
    evs = [s.ev or 0 for s in bracket.shots]
    assert evs == sorted(evs)
    assert bracket.reason == "3 frames within 0.7 s, EV 0 -2 +2, same camera and size"
    assert bracket.confidence > 0.9


@pytest.mark.parametrize("evs", [(0, 0, 0, 0), (0, 0.33, 0, 0.33, 0), (0,), (0, 0.33, -0.33)])
def test_drive_bursts_and_metering_drift_are_no_brackets(evs: tuple[float, ...]) -> None:
    groups, left = group(run(evs))
    assert groups == []
    assert len(left) == len(evs)


def test_third_stop_brackets_need_the_cameras_word() -> None:
    (bracket,), _ = group(run((-0.33, 0, 0.33), mode="bracket"))
    assert len(bracket.shots) == 3


def test_two_cameras_with_interleaved_times() -> None:
    canon = run((-2, 0, 2, -2, 0, 2))
    nikon = [
        shot(f"DSC_{k:04d}", 0.15 + 0.3 * k, 1 / 30 * 2.0**ev, camera="NIKON")
        for k, ev in enumerate((1, 0, -1, 1, 0, -1))
    ]
    mixed = [s for pair in zip(canon, nikon, strict=True) for s in pair]
    groups, left = group(mixed)
    assert left == []
    assert [[s.path[:4] for s in g.shots] for g in groups] == [["IMG_"] * 3] * 2 + [
        ["DSC_"] * 3
    ] * 2


def test_two_bodies_of_one_model_are_told_apart_by_their_counters() -> None:
    one = run((-2, 0, 2) * 4, step_s=0.5)
    other = run((0, -2, 2) * 4, step_s=0.5, first=5001, start_s=0.2, base_s=1 / 250)
    expected = [[k, k + 1, k + 2] for k in (1, 4, 7, 10, 5001, 5004, 5007, 5010)]
    assert sorted(numbers([*one, *other])) == expected


def test_portrait_and_landscape_do_not_mix() -> None:
    shots = run((-2, 0, 2)) + run((-2, 0, 2), start_s=0.9, first=4, size=(4000, 6000))
    shots += run((4,), start_s=1.8, first=7)  # would make four steps of the first
    assert numbers(shots) == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("whole_seconds", [False, True])
def test_the_counter_rolls_over_within_a_bracket(whole_seconds: bool) -> None:
    shots = run((-2, 0, 2) * 2, first=9998, step_s=0.0 if whole_seconds else 0.3)
    assert numbers(shots) == [[1, 9998, 9999], [2, 3, 4]]


@pytest.mark.parametrize("stamps_end", [False, True])
@pytest.mark.parametrize("noise_reduction", [False, True])
@pytest.mark.parametrize("times", [(2, 8, 30), (30, 8, 2), (8, 2, 30)])
def test_long_exposures_do_not_break_a_bracket(
    times: tuple[float, ...], stamps_end: bool, noise_reduction: bool
) -> None:
    shots, now = [], 1000.0
    for k, time_s in enumerate(times * 2):
        if k == len(times):
            now += 60
        stamp = now + time_s if stamps_end else now
        shots.append(shot(f"IMG_{k:04d}", stamp, time_s))
        now += time_s * (2 if noise_reduction else 1) + 0.5
    assert numbers(shots) == [[0, 1, 2], [3, 4, 5]]


def test_idle_gap_takes_the_exposures_out() -> None:
    assert idle_gap_s(shot("a", 0, 1 / 60), shot("b", 10, 8)) == pytest.approx(2, abs=0.05)
    assert idle_gap_s(shot("a", 0, 8), shot("b", 10, 1 / 60)) == pytest.approx(2, abs=0.05)
    assert idle_gap_s(shot("a", 0, 8), shot("b", None, 8)) is None


def test_whole_second_stamps_are_enough() -> None:
    shots = [
        shot(f"IMG_{k:04d}", float(stamp), 1 / 60 * 2.0**ev)
        for k, (stamp, ev) in enumerate(
            [(0, 0), (0, -2), (0, 2), (1, 0), (1, -2), (2, 2), (9, 0), (10, -2), (10, 2)]
        )
    ]
    assert numbers(shots) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_a_single_before_and_after_stays_single() -> None:
    shots = run((0,)) + run((-2, 0, 2), start_s=8, first=2) + run((3,), start_s=16, first=5)
    groups, left = group(shots)
    assert [s.path for s in left] == ["IMG_0001.JPG", "IMG_0005.JPG"]
    assert len(groups) == 1


def test_mixed_aperture_is_noted_and_lowers_confidence() -> None:
    shots = [
        shot(f"IMG_{k}", k * 0.3, time_s, f_number=f_number, mode="bracket")
        for k, (time_s, f_number) in enumerate([(1 / 240, 8), (1 / 60, 8), (1 / 30, 5.66)])
    ]
    (bracket,), _ = group(shots)
    assert "aperture differs between the frames" in bracket.notes
    assert bracket.confidence < 0.9


def test_bracketing_over_iso() -> None:
    shots = [
        shot(f"IMG_{k:04d}", k * 0.3, 1 / 60, iso=iso) for k, iso in enumerate((100, 400, 1600))
    ]
    assert numbers(shots) == [[0, 1, 2]]


def test_compensation_dialled_by_hand() -> None:
    shots = [
        shot(f"IMG_{k:04d}", k * 12.0, 1 / 60 * 2.0**ev, bias_ev=ev, mode="auto")
        for k, ev in enumerate((-2.0, 0.0, 2.0))
    ]
    (bracket,), _ = group([*shots, shot("IMG_0009", 500, 1 / 60, bias_ev=0.0, mode="auto")])
    assert "exposure compensation" in bracket.reason
    assert bracket.confidence < 0.8


def test_a_walk_with_the_camera_metering_is_singles() -> None:
    speeds = (1 / 60, 1 / 250, 1 / 30, 1 / 1000)
    shots = [
        shot(f"IMG_{k:04d}", k * 2.5, s, bias_ev=0.0, mode="auto") for k, s in enumerate(speeds)
    ]
    groups, left = group(shots)
    assert groups == []
    assert len(left) == 4


def test_without_times_the_counter_groups_with_less_confidence() -> None:
    shots = [shot(f"IMG_{k:04d}", None, 1 / 60 * 2.0**ev) for k, ev in ((1, -2), (2, 0), (3, 2))]
    (bracket,), _ = group(shots)
    assert bracket.confidence < 0.8
    assert "no capture times, only file numbers" in bracket.notes


def test_rolls_with_raw_twins_group_like_those_without() -> None:
    shots, truth = roll(3)
    raws = [
        FileInfo(uri=s.file.uri[:-3] + "CR3", path=s.path[:-3] + "CR3", size_bytes=1, mtime_ns=0)
        for s in shots
    ]
    rest, twins = pair_twins([*raws, *(s.file for s in shots)])
    assert len(twins) == len(raws)
    known = {s.file.uri: s for s in shots}
    groups, _ = group([known[file.uri] for file in rest])
    assert {frozenset(s.file.uri for s in g.shots) for g in groups} == set(truth)


def test_rolls_of_five_habits() -> None:
    frames = brackets = exact = wrong = 0
    for seed in range(12):
        shots, truth = roll(seed)
        groups, left = group(shots)
        grouped = {frozenset(s.file.uri for s in g.shots) for g in groups}
        frames += len(shots)
        brackets += len(truth)
        exact += len(grouped & set(truth))
        wrong += len(grouped - set(truth))
        used = [s.file.uri for g in groups for s in g.shots] + [s.file.uri for s in left]
        assert sorted(used) == sorted(s.file.uri for s in shots)
    assert frames >= 2000
    assert brackets >= 400
    assert exact >= 0.99 * brackets
    assert wrong <= 0.01 * brackets


shots_of_anything = st.lists(
    st.builds(
        shot,
        st.from_regex(r"(IMG_|DSC|)[0-9]{0,6}", fullmatch=True),
        st.none() | st.floats(0, 60) | st.integers(0, 30).map(float),
        st.none() | st.sampled_from([1 / 4000, 1 / 60, 1 / 15, 0.25, 1.0, 30.0]),
        f_number=st.sampled_from([None, 2.8, 8.0]),
        iso=st.sampled_from([None, 100.0, 400.0]),
        camera=st.sampled_from([None, "Canon", "NIKON"]),
        bias_ev=st.sampled_from([None, -2.0, 0.0, 2.0]),
        mode=st.sampled_from([None, "auto", "manual", "bracket"]),
    ),
    max_size=25,
    unique_by=lambda s: s.path,
)


@settings(max_examples=150, deadline=None)
@given(shots_of_anything, st.integers(2, 5))
def test_no_frame_is_lost_or_used_twice(shots: list[Shot], min_frames: int) -> None:
    groups, left = group(shots, min_frames=min_frames)
    used = [s for g in groups for s in g.shots] + left
    assert sorted(s.path for s in used) == sorted(s.path for s in shots)
    for bracket in groups:
        evs = [s.ev or 0.0 for s in bracket.shots]
        assert evs == sorted(evs)
        assert len(evs) >= min_frames
        assert min(b - a for a, b in pairwise(evs)) > 0.2
        assert 0 <= bracket.confidence <= 1
        assert bracket.reason


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_the_listing_does_not_matter(random: object, seed: int) -> None:
    shots, _ = roll(seed)
    part = shots[:60]
    again = list(part)
    random.shuffle(again)  # type: ignore[attr-defined]
    one, other = group(part)[0], group(again)[0]
    assert {tuple(s.path for s in g.shots) for g in one} == {
        tuple(s.path for s in g.shots) for g in other
    }
