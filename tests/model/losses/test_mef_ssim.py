# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.losses.mef_ssim import (
    ColorMefSsimLoss,
    MefSsimLoss,
    color_mef_ssim,
    color_mef_ssim_loss,
    mef_ssim,
    mef_ssim_loss,
)
from model.luma import luma
from model.metrics.mef_ssim import score
from model.metrics.mef_ssim_gray import combine_scales
from tests.model.metrics import literal_mef_ssim as literal


def stacks(seed: int, batch: int, count: int, height: int, width: int) -> torch.Tensor:
    """(B, K, 3, H, W) float64 in whole 8-bit steps: texture, a gradient, flat, clipped."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, 1, 3, height, width, dtype=torch.float64, generator=generator)
    scene = 0.4 * scene + 0.6 * torch.linspace(0, 1, width)
    scene[..., : height // 3, : width // 3] = 0.5
    gains = torch.linspace(0.4, 2.2, count, dtype=torch.float64).reshape(count, 1, 1, 1)
    return (scene * gains).clamp(0, 1).mul(255).round().div(255)


def array(picture: torch.Tensor) -> np.ndarray:
    """(3, H, W) in 0..1 as (H, W, 3) uint8."""
    return picture.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def gray_of(x: torch.Tensor) -> torch.Tensor:
    """Pictures (..., 3, H, W) made grey, so that their luma is a whole 8-bit step as well."""
    return x[..., :1, :, :].expand(x.shape)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 5),
    height=st.integers(44, 70),
    width=st.integers(44, 70),
)
@settings(max_examples=10, deadline=None)
def test_grey_agrees_with_the_metric(seed: int, count: int, height: int, width: int) -> None:
    frames = gray_of(stacks(seed, 1, count, height, width))
    fused = gray_of(stacks(seed + 1, 1, 2, height, width)[:, 0]).mul(0.5) + frames[:, 0] * 0.5
    fused = fused.mul(255).round().div(255)
    want = score([array(x) for x in frames[0]], array(fused[0])).values["gray_ms3"]
    x, y = frames[:, :, 0], fused[:, :1]
    assert mef_ssim(y, x).item() == pytest.approx(want, abs=1e-10)
    assert mef_ssim(y.float(), x.float()).item() == pytest.approx(want, abs=1e-5)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 5),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
)
@settings(max_examples=10, deadline=None)
def test_colour_agrees_with_the_metric(seed: int, count: int, height: int, width: int) -> None:
    frames = stacks(seed, 1, count, height, width)
    fused = stacks(seed + 1, 1, 2, height, width)[:, 0]
    variant = "color_8x8_adaptive_lum"
    want = score([array(x) for x in frames[0]], array(fused[0]), [variant]).values[variant]
    assert color_mef_ssim(fused, frames).item() == pytest.approx(want, abs=1e-10)
    coarse = color_mef_ssim(fused.float(), frames.float()).item()
    assert coarse == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(44, 47), (45, 44)])
def test_luma_need_not_be_whole(height: int, width: int) -> None:
    frames = luma(stacks(3, 1, 2, height, width)).squeeze(2)
    fused = frames.mean(1, keepdim=True)
    xs, y = [x.numpy() * 255 for x in frames[0]], fused[0, 0].numpy() * 255
    scales = []
    for _ in range(3):
        scales.append(float(literal.gray_map(xs, y).mean()))
        xs, y = [literal.halved(x) for x in xs], literal.halved(y)
    assert mef_ssim(fused, frames).item() == pytest.approx(combine_scales(scales), abs=1e-9)


@pytest.mark.parametrize("name", ["Arno", "Office", "Tower"])
def test_float32_is_enough_for_photographs(shared: Path, name: str) -> None:
    files = sorted(
        p for p in (shared / "data" / "mef_ma2015" / name).iterdir() if p.suffix != ".txt"
    )
    pictures = []
    for file in files:
        with Image.open(file) as image:
            pictures.append(np.array(image.convert("RGB"))[:200, :260])
    frames = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[None].double() / 255
    fused = frames.mean(1)
    want = mef_ssim(luma(fused), luma(frames).squeeze(2)).item()
    coarse = mef_ssim(luma(fused.float()), luma(frames.float()).squeeze(2)).item()
    assert coarse == pytest.approx(want, abs=1e-5)
    want = color_mef_ssim(fused, frames).item()
    assert color_mef_ssim(fused.float(), frames.float()).item() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("loss", [MefSsimLoss(), ColorMefSsimLoss()])
def test_a_fusion_that_equals_its_frames_costs_nothing(loss: torch.nn.Module) -> None:
    frames = stacks(4, 2, 2, 48, 50)[:, :1].expand(2, 3, 3, 48, 50)
    assert loss(frames[:, 0], frames).item() == pytest.approx(0, abs=1e-6)


def test_flat_pictures_have_a_finite_gradient() -> None:
    frames = torch.tensor([0.0, 1.0])[None, :, None, None].expand(1, 2, 44, 44)
    fused = torch.full((1, 1, 44, 44), 0.5, requires_grad=True)
    loss = mef_ssim_loss(fused, frames)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert fused.grad is not None
    assert bool(fused.grad.isfinite().all())


def test_upside_down_is_the_worst_and_finite() -> None:
    frames = gray_of(stacks(5, 1, 2, 50, 50))[:, :, 0]
    fused = (1 - frames[:, :1]).requires_grad_()
    result = mef_ssim(fused, frames)
    result.sum().backward()
    assert 0 < result.item() < 0.1
    assert fused.grad is not None
    assert bool(fused.grad.isfinite().all())


def test_module_takes_colour_and_equals_the_function() -> None:
    frames = stacks(6, 2, 3, 44, 46)
    fused = frames.mean(1)
    want = mef_ssim_loss(luma(fused), luma(frames).squeeze(2))
    assert torch.equal(MefSsimLoss()(fused, frames), want)
    assert torch.equal(ColorMefSsimLoss()(fused, frames), color_mef_ssim_loss(fused, frames))


def test_pictures_of_a_batch_do_not_know_each_other() -> None:
    frames = stacks(7, 3, 2, 45, 44)
    fused = frames[:, 0]
    for function in (
        color_mef_ssim,
        lambda y, x: mef_ssim(luma(y), luma(x).squeeze(2)),
    ):
        together = function(fused, frames)
        assert together.shape == (3,)
        alone = [
            function(y, x).item() for y, x in zip(fused.split(1), frames.split(1), strict=True)
        ]
        assert together.tolist() == pytest.approx(alone)


@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_order_of_frames_does_not_matter(data: st.DataObject) -> None:
    frames = stacks(8, 1, 4, 44, 44)
    order = list(data.draw(st.permutations(range(4))))
    fused = frames.mean(1)
    for loss in (MefSsimLoss(), ColorMefSsimLoss()):
        assert loss(fused, frames[:, order]).item() == pytest.approx(loss(fused, frames).item())


def test_gradients_are_right() -> None:
    frames = stacks(9, 2, 3, 44, 45)
    fused = (frames.mean(1) * 0.8 + 0.1).requires_grad_()
    x = luma(frames).squeeze(2)
    # Projected on random directions: picture by picture would take a minute.
    assert torch.autograd.gradcheck(lambda y: mef_ssim(luma(y), x), (fused,), fast_mode=True)
    small, few = frames[..., :10, :9], fused.detach()[..., :10, :9].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: color_mef_ssim(y, small), (few,))


def test_only_the_fusion_gets_a_gradient() -> None:
    frames = stacks(10, 1, 2, 44, 44).requires_grad_()
    fused = frames.detach().mean(1).requires_grad_()
    (MefSsimLoss()(fused, frames) + ColorMefSsimLoss()(fused, frames)).backward()
    assert fused.grad is not None
    assert fused.grad.abs().max() > 0
    assert frames.grad is None


def test_too_small_or_mismatched_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="44 px at least, not 43 x 60"):
        mef_ssim(torch.zeros(1, 1, 43, 60), torch.zeros(1, 2, 43, 60))
    with pytest.raises(ValueError, match="8 px at least, not 8 x 7"):
        color_mef_ssim(torch.zeros(1, 3, 8, 7), torch.zeros(1, 2, 3, 8, 7))
    with pytest.raises(ValueError, match=r"\(B, K, H, W\)"):
        mef_ssim(torch.zeros(1, 1, 44, 44), torch.zeros(1, 2, 3, 44, 44))
    with pytest.raises(ValueError, match=r"\(B, K, 3, H, W\)"):
        color_mef_ssim(torch.zeros(2, 3, 44, 44), torch.zeros(1, 2, 3, 44, 44))
