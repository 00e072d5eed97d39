# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.losses.gammas import GAMMAS, gamma
from model.losses.weighted_ssim import WeightedSsimLoss, weighted_ssim_loss
from model.luma import luma
from model.metrics.fidelity import picture_fidelity


def pictures(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, dtype=torch.float64, generator=generator)


def even(frames: torch.Tensor) -> torch.Tensor:
    batch, count, height, width = frames.shape
    return frames.new_full((batch, count, height - 10, width - 10), 1 / count)


@given(
    count=st.integers(2, 4),
    height=st.integers(11, 24),
    width=st.integers(11, 24),
    seed=st.integers(0, 1000),
)
@settings(max_examples=15, deadline=None)
def test_equal_frames_give_the_ssim_metric(count: int, height: int, width: int, seed: int) -> None:
    fused, frame = (pictures(seed, 2, height, width) * 255).round()
    x = (frame / 255).expand(1, count, height, width)
    y = (fused / 255)[None, None]
    one, two = (np.repeat(p.numpy().astype(np.uint8)[..., None], 3, 2) for p in (fused, frame))
    want = picture_fidelity(one, two).ssim
    assert want is not None
    for name in GAMMAS:
        loss = weighted_ssim_loss(y, x, gamma(x, name), luminance=True)
        assert loss.item() == pytest.approx(1 - want, abs=1e-12)


@pytest.mark.parametrize("luminance", [False, True])
@pytest.mark.parametrize("name", GAMMAS)
def test_a_fusion_that_equals_its_frames_costs_nothing(name: str, luminance: bool) -> None:
    frame = pictures(1, 2, 1, 3, 20, 22)
    loss = WeightedSsimLoss(name, luminance)
    assert loss(frame[:, 0], frame.expand(2, 3, 3, 20, 22)).item() == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 1000), count=st.integers(2, 5), luminance=st.booleans())
@settings(max_examples=15, deadline=None)
def test_loss_is_bounded(seed: int, count: int, luminance: bool) -> None:
    frames = pictures(seed, 2, count, 16, 16).round()
    fused = 1 - frames[:, :1]
    for name in GAMMAS:
        loss = weighted_ssim_loss(fused, frames, gamma(frames, name), luminance=luminance)
        assert 0 <= loss.item() <= 2


def test_the_frame_with_the_larger_gamma_counts() -> None:
    frames = pictures(2, 1, 2, 20, 20)
    weights = torch.zeros(1, 2, 10, 10, dtype=torch.float64)
    weights[:, 1] = 1
    mine, other = (
        weighted_ssim_loss(frames[:, [k]], frames, weights, luminance=True).item() for k in (1, 0)
    )
    assert mine == pytest.approx(0, abs=1e-12)
    assert other > 0.5


def test_without_luminance_brightness_is_free() -> None:
    frames = pictures(3, 1, 2, 20, 20) * 0.5
    fused = frames.mean(1, keepdim=True)
    weights = even(frames)
    for luminance, free in ((False, True), (True, False)):
        one, two = (
            weighted_ssim_loss(fused + offset, frames, weights, luminance=luminance).item()
            for offset in (0.0, 0.3)
        )
        assert (abs(one - two) < 1e-12) == free


def test_module_takes_colour_and_equals_the_function() -> None:
    fused, frames = pictures(4, 2, 3, 18, 15), pictures(5, 2, 2, 3, 18, 15)
    x = luma(frames).squeeze(2)
    want = weighted_ssim_loss(luma(fused), x, gamma(x, "ve"), luminance=False)
    assert torch.equal(WeightedSsimLoss("ve", luminance=False)(fused, frames), want)


def test_a_batch_is_the_mean_of_its_pictures() -> None:
    fused, frames = pictures(6, 3, 3, 16, 16), pictures(7, 3, 2, 3, 16, 16)
    loss = WeightedSsimLoss()
    alone = [loss(f, x).item() for f, x in zip(fused.split(1), frames.split(1), strict=True)]
    assert loss(fused, frames).item() == pytest.approx(sum(alone) / 3)


@pytest.mark.parametrize("luminance", [False, True])
def test_float32_is_enough(luminance: bool) -> None:
    frames = (pictures(8, 2, 3, 3, 40, 40) * 1.6).clamp(0, 1)
    frames[..., :20] = 1  # clipped: flat and bright
    fused = frames.mean(1)
    loss = WeightedSsimLoss("vd", luminance)
    want = loss(fused, frames).item()
    assert loss(fused.float(), frames.float()).item() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("luminance", [False, True])
def test_gradients_are_right(luminance: bool) -> None:
    frames = pictures(9, 1, 2, 13, 12)
    weights = gamma(frames, "vd").requires_grad_()
    fused = pictures(10, 1, 1, 13, 12).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f, g: weighted_ssim_loss(f, frames, g, luminance=luminance), (fused, weights)
    )


def test_wrong_shapes_are_refused() -> None:
    frames, fused = torch.zeros(2, 2, 12, 12), torch.zeros(2, 1, 12, 12)
    with pytest.raises(ValueError, match=r"gamma must be \(2, 2, 2, 2\)"):
        weighted_ssim_loss(fused, frames, torch.zeros(2, 2, 12, 12), luminance=True)
    for wrong in (fused[:1], torch.zeros(2, 3, 12, 12), torch.zeros(2, 1, 12, 13), fused[0]):
        with pytest.raises(ValueError, match="a fusion is"):
            weighted_ssim_loss(wrong, frames, even(frames), luminance=True)
    with pytest.raises(ValueError, match="at least two frames"):
        weighted_ssim_loss(fused, frames[:, :1], even(frames), luminance=True)
    with pytest.raises(ValueError, match="11 px at least, not 10 x 12"):
        weighted_ssim_loss(fused[:, :, 2:], frames[:, :, 2:], even(frames), luminance=True)
    with pytest.raises(ValueError, match="no gamma 'x'"):
        WeightedSsimLoss("x")
