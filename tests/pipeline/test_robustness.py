# SPDX-License-Identifier: Apache-2.0
"""Conditions: the right pair of a bracket, and noise that everybody sees alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment import plain
from pipeline.patches import Patch
from pipeline.robustness import (
    PLAIN,
    Condition,
    exposures,
    light_under,
    nearest_pair,
    stack_under,
)


def make_patch(count: int = 5, **known) -> Patch:
    """Frames of one brightness each, from dark to bright."""
    levels = np.linspace(40, 160, count).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (count, 3, 48, 48)).copy()
    return Patch(bracket_id="a", scene="a", index=0, top=0, left=0, frames=frames, **known)


@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=9),
    st.floats(0.5, 8),
)
def test_no_pair_is_nearer(thirds, wanted):
    stops = [third / 3 for third in thirds]
    low, high = nearest_pair(stops, wanted)
    assert low < high
    miss = abs(abs(stops[high] - stops[low]) - wanted)
    for i in range(len(stops)):
        for j in range(i + 1, len(stops)):
            assert miss <= abs(abs(stops[j] - stops[i]) - wanted) + 1e-3


@pytest.mark.parametrize(
    ("stops", "wanted", "pair"),
    [
        ([-4, -2, 0, 2, 4], 1, (1, 2)),  # of four neighbours, the darker one in the middle
        ([-4, -2, 0, 2, 4], 4, (1, 3)),
        ([-4, -2, 0, 2, 4], 20, (0, 4)),
        ([0, 1], 5, (0, 1)),
    ],
)
def test_of_equal_pairs_the_middle_one(stops, wanted, pair):
    assert nearest_pair(stops, wanted) == pair


def test_exposures_come_from_evs_or_else_from_times():
    assert exposures(make_patch(2, evs=(-1.0, 2.0), times_s=(1, 1))).tolist() == [-1, 2]
    assert exposures(make_patch(2, times_s=(0.25, 2.0))).tolist() == [-2, 1]
    assert exposures(make_patch(2)) is None
    assert exposures(make_patch(2, times_s=(0.0, 2.0))) is None


def test_plain_is_what_validation_sees():
    patch = make_patch(times_s=(1, 2, 4, 8, 16))
    stack = stack_under(patch, PLAIN, 3, crop_px=32)
    assert np.array_equal(stack.inputs, plain(patch.frames, 3, crop_px=32))
    assert stack.inputs is stack.clean
    assert stack.stops == 4
    assert stack_under(make_patch(), PLAIN, 2).stops is None


def test_a_distance_takes_its_pair_and_says_how_far_it_is():
    patch = make_patch(times_s=(1, 2, 4, 8, 16))
    stack = stack_under(patch, Condition(name="far", stops=3.4), 2, crop_px=32)
    assert stack.stops == 3
    assert np.array_equal(stack.inputs, plain(patch.frames[[0, 3]], 2, crop_px=32))
    assert stack_under(make_patch(), Condition(name="far", stops=3), 2) is None


@pytest.mark.parametrize("sigma", [2, 10])
def test_noise_is_as_strong_as_it_says_and_always_the_same(sigma):
    patch = make_patch(3)
    condition = Condition(name="noisy", noise=sigma)
    stack, again = (stack_under(patch, condition, 3) for _ in range(2))
    assert np.array_equal(stack.inputs, again.inputs)
    assert np.array_equal(stack.clean, plain(patch.frames, 3))
    deviations = (stack.inputs - stack.clean).std((1, 2, 3)) * 255
    assert deviations[0] == pytest.approx(sigma, rel=0.05)
    assert deviations[0] > deviations[1] > deviations[2] > 0


def test_other_patches_have_other_noise():
    condition = Condition(name="noisy", noise=5)
    one = make_patch(2)
    other = Patch(bracket_id="b", scene="a", index=0, top=0, left=0, frames=one.frames)
    pictures = [stack_under(patch, condition, 2).inputs for patch in (one, other)]
    assert not np.array_equal(*pictures)


@pytest.mark.parametrize("values", [{"stops": 0}, {"stops": 21}, {"noise": -1}, {"noise": 200}])
def test_impossible_conditions(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Condition(name="x", **values)


def light_patch(count: int) -> Patch:
    """As :func:`make_patch`, a stop apart, with a label and frames that were followed."""
    plain_patch = make_patch(count)
    return make_patch(
        count,
        times_s=tuple(2.0**k for k in range(count)),
        label=np.full((3, 48, 48), 0.5, np.float32),
        aligned=plain_patch.frames[::-1].copy(),
    )


LIGHT = ("times_s", "label", "aligned")


def test_radiance_keeps_its_middle_frame_under_other_distances():
    patch = light_patch(7)
    stack = light_under(patch, Condition(name="far", stops=3), 3, LIGHT, crop_px=32)
    assert stack.inputs is stack.clean
    assert stack.inputs["times_s"].tolist() == [1, 8, 64]
    assert stack.inputs["frames"].shape == stack.inputs["aligned"].shape == (3, 3, 32, 32)
    assert stack.stops == 6
    pair = light_under(patch, Condition(name="near", stops=1), 2, LIGHT)
    assert pair.inputs["times_s"].tolist() == [8, 16]  # of two the darker one is the middle one
    assert light_under(make_patch(3), Condition(name="far", stops=3), 3, ()) is None


def test_noise_is_on_frames_and_on_followed_ones_but_not_on_the_truth():
    patch = light_patch(3)
    stack, again = (light_under(patch, Condition(name="n", noise=5), 3, LIGHT) for _ in range(2))
    for name in ("frames", "aligned"):
        assert np.array_equal(stack.inputs[name], again.inputs[name])
        off = (stack.inputs[name] - stack.clean[name])[0].std() * 255
        assert 2 < off < 8
    assert np.array_equal(stack.inputs["label"], stack.clean["label"])
    apart = stack.inputs["frames"] - stack.clean["frames"]
    assert not np.allclose(apart, stack.inputs["aligned"] - stack.clean["aligned"])
