# SPDX-License-Identifier: Apache-2.0
"""From frames to a radiance: exposures, flow and merge together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.bracket import Stack
from pipeline.demo.scenes import render
from pipeline.merging import exposures_of, merge_stack

TIMES = (0.25, 1.0, 4.0)


@pytest.fixture(scope="module")
def radiance():
    made = render("desk", 3, 160, 220)
    return np.asarray(made / np.quantile(made.max(2), 0.85), np.float32)


def taken(moments, times=TIMES):
    """16-bit frames with a gamma of 2.2, of one radiance each."""
    return tuple(
        np.round(np.clip(moment * time, 0, 1) ** (1 / 2.2) * 65535).astype(np.uint16)
        for moment, time in zip(moments, times, strict=True)
    )


def shifted(radiance, dx, dy):
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    return cv2.warpAffine(radiance, matrix, radiance.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def off_db(found, radiance):
    """PSNR after the mu-law, of what the shortest frame can tell."""
    top = TIMES[1] / TIMES[0]
    one, other = (
        np.log1p(5000 * np.clip(x / top, 0, 1)) / np.log(5001)
        for x in (found.permute(1, 2, 0).numpy(), radiance)
    )
    return -10 * np.log10(np.mean((one - other) ** 2))


def test_a_still_stack_gives_its_radiance_with_flow_and_without(radiance):
    stack = Stack(frames=taken([radiance] * 3), exposure_times_s=TIMES)
    for flow in (False, True):
        merged = merge_stack(stack, flow=flow)
        assert merged.reference == 1
        assert not merged.exposures.estimated
        assert min(merged.valid_share) > 0.97
        assert off_db(merged.radiance, radiance) > 45


def test_flow_takes_ghosts_away(radiance):
    dark = shifted(radiance, 6, 3)
    dark[40:90, 60:110] = [1.5, 0.2, 0.1]
    bright = shifted(radiance, -5, 2)
    bright[70:120, 120:170] = [0.01, 0.1, 0.2]
    stack = Stack(frames=taken([dark, radiance, bright]), exposure_times_s=TIMES)
    plain, followed = (merge_stack(stack, flow=flow) for flow in (False, True))
    assert off_db(followed.radiance, radiance) > off_db(plain.radiance, radiance) + 6
    assert 0.5 < followed.valid_share[0] < 1


def test_the_reference_may_be_chosen(radiance):
    stack = Stack(frames=taken([radiance * 0.05] * 3), exposure_times_s=TIMES)
    last = merge_stack(stack, reference=2).radiance
    np.testing.assert_allclose(last, 4 * merge_stack(stack).radiance, rtol=0.02, atol=2e-4)
    with pytest.raises(ValueError, match="reference 3"):
        merge_stack(stack, reference=3)


@pytest.mark.parametrize("times", [None, (1.0, 1.0, 1.0), (0.0, 1.0, 4.0)])
def test_times_that_are_missing_or_cannot_be_are_estimated_and_said(radiance, times):
    found = exposures_of(Stack(frames=taken([radiance] * 3), exposure_times_s=times))
    assert found.estimated
    assert found.times_s == pytest.approx(TIMES, rel=0.08)
    assert "estimated from the pixels" in found.notes[0]


def test_known_times_are_taken_as_they_are(radiance):
    stack = Stack(frames=taken([radiance] * 3), exposure_times_s=TIMES)
    found = exposures_of(stack)
    assert (found.times_s, found.estimated, found.notes) == (TIMES, False, ())


def test_steps_that_nothing_tells_are_assumed_and_said():
    flat = tuple(np.full((40, 40, 3), level, np.uint8) for level in (0, 255))
    found = exposures_of(Stack(frames=flat))
    assert found.times_s == (1.0, 4.0)
    assert "two stops" in found.notes[1]
