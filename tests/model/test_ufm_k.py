# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.fusion_model import TensorStack
from model.tiles import fuse
from model.ufm_k import UfmK


def stirred(seed: int = 0, spread: float = 0.15) -> UfmK:
    """A network as if it were trained: no layer at its mild start."""
    torch.manual_seed(seed)
    network = UfmK((4, 6, 8, 8))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return network.eval()


def pictures(seed: int, *shape: int) -> torch.Tensor:
    """Noise over something smooth, so that all levels have details."""
    generator = torch.Generator().manual_seed(seed)
    *batch, height, width = shape
    coarse = torch.rand((*batch, height // 8 + 1, width // 8 + 1), generator=generator)
    smooth = torch.nn.functional.interpolate(
        coarse.reshape(1, -1, *coarse.shape[-2:]), size=(height, width), mode="bilinear"
    ).reshape(shape)
    return 0.8 * smooth + 0.2 * torch.rand(shape, generator=generator)


@given(
    count=st.integers(2, 6),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
@settings(max_examples=25, deadline=None)
def test_any_count_and_size_give_a_picture_and_weights(count: int, height: int, width: int) -> None:
    frames = pictures(height, 2, count, 3, height, width).round()  # clipped all over
    with torch.no_grad():
        fused, weights, excess = stirred(1)(frames)
    assert fused.shape == (2, 3, height, width)
    assert weights.shape == (2, count, 1, height, width)
    assert 0 <= fused.min() <= fused.max() <= 1
    assert weights.sum(1) == pytest.approx(torch.ones(2, 1, height, width), abs=1e-6)
    assert excess is not None
    assert bool((excess >= 0).all())


@pytest.mark.parametrize(
    ("count", "height", "width", "tile_px"),
    [(2, 300, 413, 64), (3, 261, 600, 128), (5, 41, 77, 16), (2, 1, 1, 8), (2, 7, 3, 8)],
)
def test_tiles_agree_with_the_whole_picture(
    count: int, height: int, width: int, tile_px: int
) -> None:
    network = stirred(2)
    frames = pictures(width, count, 3, height, width)
    with torch.no_grad():
        whole = network(frames[None]).fused[0]
    assert fuse(network, TensorStack(frames), tile_px) == pytest.approx(whole, abs=2e-6)


def test_halo_is_needed() -> None:
    network = stirred(2, spread=0.5)
    frames = pictures(3, 2, 3, 200, 200)
    whole = fuse(network, TensorStack(frames), 256)
    network.halo_px = 8
    assert (fuse(network, TensorStack(frames), 64) - whole).abs().max() > 1e-4


def test_order_of_frames_does_not_matter() -> None:
    network = stirred(3)
    frames = pictures(4, 1, 5, 3, 65, 90)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        one, other = network(frames), network(frames[:, order])
    assert other.fused == pytest.approx(one.fused, abs=1e-6)
    assert other.weights == pytest.approx(one.weights[:, order], abs=1e-6)


def test_stacks_of_a_batch_do_not_know_each_other() -> None:
    network = stirred(4)
    frames = pictures(5, 3, 2, 3, 48, 37)
    with torch.no_grad():
        together = network(frames).fused
        alone = torch.cat([network(one).fused for one in frames.split(1)])
    assert together == pytest.approx(alone, abs=1e-6)


def test_equal_frames_come_back_when_nothing_is_toned_down() -> None:
    network = stirred(5)
    for block in network.levels:
        torch.nn.init.zeros_(block.keep.weight)  # type: ignore[union-attr]
        torch.nn.init.constant_(block.keep.bias, 100.0)  # type: ignore[union-attr]
    frame = pictures(6, 1, 1, 3, 70, 51)
    with torch.no_grad():
        fused, _, excess = network(frame.expand(1, 3, 3, 70, 51))
    assert fused == pytest.approx(frame[:, 0], abs=1e-5)
    assert float(excess) == pytest.approx(0, abs=1e-6)


def test_fresh_network_prefers_the_frame_with_details() -> None:
    torch.manual_seed(0)
    sharp = pictures(7, 1, 1, 3, 64, 64)
    flat = torch.full_like(sharp, 0.9)
    with torch.no_grad():
        weights = UfmK()(torch.cat([sharp, flat], 1)).weights
    assert float(weights[:, 0].mean()) > 0.99


def test_every_parameter_is_trained() -> None:
    network = UfmK((3, 4, 5, 6)).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    frames = pictures(8, 2, 3, 3, 50, 40)
    for _ in range(2):  # the heads start at zero and hide what is behind them from one step
        optimiser.zero_grad()
        fused, _, excess = network(frames)
        (fused.square().mean() + excess.mean()).backward()
        optimiser.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        if not name.endswith("score.bias"):  # softmax does not see what all frames share
            assert parameter.grad.abs().max() > 0, name


def test_float64_agrees_with_float32() -> None:
    network = stirred(6)
    frames = pictures(9, 1, 3, 3, 90, 66)
    with torch.no_grad():
        single = network(frames).fused
        double = network.double()(frames.double()).fused
    assert single.double() == pytest.approx(double, abs=1e-4)


def test_what_cannot_be_fused_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames, not 1"):
        stirred()(torch.zeros(1, 1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"\(B, K, 3, H, W\)"):
        stirred()(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="four positive"):
        UfmK((8, 8))
    with pytest.raises(ValueError, match="four positive"):
        UfmK((8, 0, 8, 8))
    with pytest.raises(ValueError, match="exposedness"):
        UfmK(exposedness=(0.1, -1))


def test_less_pull_towards_middle_grey_keeps_more_of_what_is_bright_and_dark() -> None:
    dark, bright = torch.full((3, 64, 64), 0.1), torch.full((3, 64, 64), 0.55)
    frames = torch.stack([dark, bright]).unsqueeze(0)
    with torch.no_grad():
        brightness = [
            float(UfmK(exposedness=(pull, 0)).eval()(frames).fused.mean()) for pull in (0, 5)
        ]
    assert brightness == [pytest.approx(0.325, abs=0.01), pytest.approx(0.55, abs=0.01)]
