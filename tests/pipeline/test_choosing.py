# SPDX-License-Identifier: Apache-2.0
"""A few frames out of many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.choosing import dark_to_bright, few_frames, under_over


def flat(levels):
    return [np.full((4, 5, 3), level, np.uint8) for level in levels]


distinct = st.lists(st.integers(0, 255), min_size=2, max_size=12, unique=True)


@given(levels=distinct)
def test_order_is_by_brightness(levels):
    assert [levels[k] for k in dark_to_bright(flat(levels))] == sorted(levels)


@given(levels=distinct)
def test_two_are_the_pair_that_is_trained_on(levels):
    frames = flat(levels)
    assert few_frames(frames, 2) == under_over(dark_to_bright(frames))


@given(levels=distinct, most=st.integers(2, 14))
def test_some_are_chosen_evenly_and_dark_to_bright(levels, most):
    chosen = few_frames(flat(levels), most)
    ranks = [sorted(levels).index(levels[k]) for k in chosen]
    assert len(chosen) == min(most, len(levels))
    assert ranks == sorted(set(ranks))
    if most > 2:
        assert (ranks[0], ranks[-1]) == (0, len(levels) - 1)
        assert max(np.diff(ranks)) - min(np.diff(ranks)) <= 1


@pytest.mark.parametrize(
    ("count", "chosen"), [(2, (0, 1)), (3, (0, 2)), (4, (1, 2)), (5, (1, 3)), (9, (1, 7))]
)
def test_pairs_of_brackets(count, chosen):
    assert few_frames(flat(range(0, 25 * count, 25)), 2) == chosen


def test_equal_frames_stay_in_order():
    assert dark_to_bright(flat([7, 7, 3, 7])) == (2, 0, 1, 3)


def test_one_frame_is_no_fusion():
    with pytest.raises(ValueError, match="at least two"):
        few_frames(flat([1, 2]), 1)
