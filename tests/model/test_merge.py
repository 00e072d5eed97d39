# SPDX-License-Identifier: Apache-2.0
"""The triangle merge, against the formulas worked out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.fusion_model import TensorStack
from model.merge import Merge, estimate_ratios, merge, merge_weights
from model.radiance import GAMMA
from model.tiles import fuse

TIMES = (1.0, 4.0, 16.0)


def shown(radiance: torch.Tensor, times=TIMES) -> torch.Tensor:
    """Frames (K, 3, H, W) of a radiance in which 1 is white in one second."""
    return torch.stack([(radiance * time).clamp(0, 1) ** (1 / GAMMA) for time in times])


def scene(height=24, width=32, *, most=0.9, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return most * torch.rand(3, height, width, generator=generator) ** 4


def literal(display: np.ndarray, times, reference: int) -> np.ndarray:
    """Three frames, pixel by pixel in float64: A1, A2 and A3 of Kalantari and Ramamoorthi."""
    out = np.zeros(display.shape[1:])
    for at in np.ndindex(out.shape):
        z = float(display[(reference, *at)])
        shares = (max(2 * z - 1, 0), 1 - abs(2 * z - 1), max(1 - 2 * z, 0))
        light = [float(display[(k, *at)]) ** 2.2 * times[reference] / times[k] for k in range(3)]
        # What a white long frame cannot say, the reference says.
        trust = min(1.0, (1 - float(display[(2, *at)])) / 0.05)
        shares = (shares[0], shares[1] + shares[2] * (1 - trust), shares[2] * trust)
        out[at] = sum(share * one for share, one in zip(shares, light, strict=True))
    return out


def test_three_frames_are_merged_as_published():
    display = torch.rand(3, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    found = merge(display, TIMES, 1)
    np.testing.assert_allclose(found, literal(display.numpy(), TIMES, 1), atol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_weights_sum_to_one_and_follow_the_reference(count):
    display = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    times = [2.0**k for k in range(count)]
    reference = (count - 1) // 2
    weights = merge_weights(display, times, reference)
    assert torch.allclose(weights.sum(0), torch.ones(3, 8, 8), atol=1e-6)
    assert weights.min() >= -1e-6
    dark = display[reference] < 0.5
    assert not weights[:reference][:, dark].any(), "darker frames have no say in the shadows"
    assert not weights[reference + 1 :][:, ~dark].any(), "nor brighter ones in the lights"


@pytest.mark.parametrize("times", [(1.0, 4.0), TIMES, (1.0, 2.0, 4.0, 8.0, 16.0)])
def test_a_still_scene_gives_its_own_radiance(times):
    radiance = scene()
    reference = (len(times) - 1) // 2
    found = merge(shown(radiance, times), times, reference)
    torch.testing.assert_close(found, radiance * times[reference], atol=1e-4, rtol=2e-3)


def test_the_order_of_the_other_frames_does_not_matter():
    display = shown(scene())
    there = merge(display, TIMES, 1)
    back = merge(display[[2, 1, 0]], TIMES[::-1], 1)
    torch.testing.assert_close(there, back)


def test_all_white_and_all_black_stay_finite():
    for level in (0.0, 1.0):
        found = merge(torch.full((3, 3, 4, 4), level), TIMES, 1)
        assert found.isfinite().all()
    assert merge(torch.ones(3, 3, 4, 4), TIMES, 1).min() == pytest.approx(4.0)


def test_tiles_give_the_undivided_merge():
    stack = TensorStack(shown(scene(70, 90)), TIMES)
    whole = merge(stack.pixels, TIMES, 1)
    torch.testing.assert_close(fuse(Merge(), stack, tile_px=32), whole, rtol=1e-5, atol=1e-6)


def test_another_reference_has_another_scale():
    stack = TensorStack(shown(scene(most=0.05)), TIMES)
    first, last = fuse(Merge(reference=0), stack), fuse(Merge(reference=2), stack)
    torch.testing.assert_close(first * 16, last, atol=1e-3, rtol=1e-2)


def test_exposures_are_told_from_the_pixels():
    display = shown(scene(200, 200), (0.5, 2.0, 16.0))
    noisy = display + 0.01 * torch.randn(display.shape, generator=torch.Generator().manual_seed(3))
    noisy[2, :, :60, :90] = 0.2  # something moved
    found = estimate_ratios(noisy.clamp(0, 1))
    steps = np.diff(np.log2(found.exposures))
    np.testing.assert_allclose(steps, (2, 3), atol=0.1)
    assert found.assumed == 0


def test_missing_times_are_estimated_and_marked():
    stack = TensorStack(shown(scene(200, 200)))
    context = Merge().prepare(stack)
    assert context.estimated
    assert context.exposures == pytest.approx(TIMES, rel=0.05)
    assert not Merge().prepare(TensorStack(stack.pixels, TIMES)).estimated


def test_frames_without_a_common_tone_are_taken_for_two_stops_apart():
    black, white = torch.zeros(3, 20, 20), torch.ones(3, 20, 20)
    found = estimate_ratios(torch.stack([black, white]))
    assert (found.exposures, found.assumed) == ((1.0, 4.0), 1)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="reference"):
        Merge(reference=3).prepare(TensorStack(shown(scene()), TIMES))
    with pytest.raises(ValueError, match="positive"):
        Merge().prepare(TensorStack(shown(scene()), (1.0, 0.0, 2.0)))
