# SPDX-License-Identifier: Apache-2.0
"""Which frames a model of radiance gets."""

from __future__ import annotations

import pytest

from pipeline.light import Light, frames_around
from pipeline.merging import Exposures


def light(stops, reference: int) -> Light:
    ratios = tuple(2.0 ** (stop - stops[reference]) for stop in stops)
    order = tuple(sorted(range(len(stops)), key=lambda k: stops[k]))
    exposures = Exposures(times_s=ratios, estimated=False)
    return Light(ratios=ratios, order=order, reference=reference, exposures=exposures)


@pytest.mark.parametrize(
    ("stops", "reference", "chosen"),
    [
        ((-2, 0, 2), 1, (0, 1, 2)),
        ((-4, -3, -2, -1, 0, 1, 2, 3, 4), 4, (2, 4, 6)),
        ((-3, -1, 0, 1, 3), 2, (1, 2, 3)),  # one and three stops are as near to two: the nearer
        ((-6, -3, 0, 3, 6), 2, (1, 2, 3)),
        ((-1, 0, 1, 2, 3), 0, (0, 2, 4)),  # nothing darker: brighter ones go on
        ((-4, -2, 0), 2, (0, 1, 2)),
        ((2, 0, -2, -4), 1, (2, 1, 0)),  # a list that names them in another order
    ],
)
def test_three_of_many_lie_two_stops_apart(stops, reference, chosen):
    assert frames_around(light(stops, reference), 3) == chosen


@pytest.mark.parametrize("count", range(3, 10))
def test_there_are_always_as_many_as_there_may_be_and_the_reference_is_one(count):
    for reference in range(count):
        one = light(tuple(range(count)), reference)
        for most in range(2, count + 3):
            chosen = frames_around(one, most)
            assert len(chosen) == min(most, count) == len(set(chosen))
            assert reference in chosen
        assert frames_around(one, None) == one.order
