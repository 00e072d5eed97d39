# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.fusion_model import TensorStack
from model.tiles import fuse
from model.ufm import Encoder, Ufm

ENCODERS: tuple[Encoder, ...] = ("gray", "rgb")


def small(seed: int = 0, **options: object) -> Ufm:
    """A narrow network as if it were trained: its statistics are not those of a fresh one."""
    torch.manual_seed(seed)
    network = Ufm(width=0.05, **options)  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.02, 0.2)
    return network.eval()


def stacks(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_full_width_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        counts = {
            width: sum(p.numel() for p in Ufm(width).parameters()) for width in (1.0, 0.5, 0.25)
        }
    assert counts[1.0] == 17_638_402
    assert counts[1.0] / counts[0.5] == pytest.approx(4, rel=0.01)
    assert counts[0.5] / counts[0.25] == pytest.approx(4, rel=0.01)


def test_no_layer_is_narrower_than_four_channels() -> None:
    convolutions = [m for m in Ufm(0.001).modules() if isinstance(m, torch.nn.Conv2d)]
    assert {m.out_channels for m in convolutions[:-1]} == {4}


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    encoder=st.sampled_from(ENCODERS),
    skips=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_any_size_gives_a_picture_and_weights(
    height: int, width: int, encoder: Encoder, skips: bool
) -> None:
    frames = stacks(height, 2, 2, 3, height, width).round()  # clipped all over
    with torch.no_grad():
        fused, weights, _ = small(1, encoder=encoder, skips=skips)(frames)
    assert fused.shape == (2, 3, height, width)
    assert weights.shape == (2, 2, 1, height, width)
    assert 0 <= fused.min() <= fused.max() <= 1
    assert 0 <= weights.min() <= weights.max() <= 1
    assert weights.sum(1) == pytest.approx(torch.ones(2, 1, height, width), abs=1e-6)
    assert fused == pytest.approx((weights * frames).sum(1), abs=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "tile_px"), [(91, 333, 40), (260, 31, 64), (70, 118, 16)]
)
def test_tiles_agree_with_the_whole_picture(
    encoder: Encoder, skips: bool, height: int, width: int, tile_px: int
) -> None:
    # In float64, as the depth of a network that was never trained amplifies rounding.
    stack = TensorStack(stacks(width, 2, 3, height, width).double())
    network = small(2, encoder=encoder, skips=skips).double()
    whole = fuse(network, stack, 4096)
    assert whole.std() > 0.05
    assert fuse(network, stack, tile_px) == pytest.approx(whole, abs=1e-6)


def test_halo_is_how_far_a_pixel_looks() -> None:
    network = Ufm(width=0.05).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
            torch.nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    network.head.weight.data[1] = -1  # type: ignore[index]
    farthest = 0
    with torch.no_grad():
        still = network(torch.zeros(1, 2, 3, 8, 256)).weights
        for column in range(120, 128):
            frames = torch.zeros(1, 2, 3, 8, 256)
            frames[..., column] = 1
            moved = (network(frames).weights != still).any(1).any(-2).flatten().nonzero()
            farthest = max(farthest, int((moved - column).abs().max()))
    assert farthest == network.halo_px


def test_stacks_of_a_batch_do_not_know_each_other() -> None:
    network = small(3).double()
    frames = stacks(5, 3, 2, 3, 24, 37).double()
    with torch.no_grad():
        together = network(frames).fused
        alone = torch.cat([network(one).fused for one in frames.split(1)])
    assert together == pytest.approx(alone, abs=1e-6)


def test_grey_encoder_ignores_colour_of_the_same_luma() -> None:
    frames = stacks(6, 1, 2, 3, 16, 16) * 0.5
    colored = frames.clone()
    colored[:, :, 0] += 0.114
    colored[:, :, 2] -= 0.299
    with torch.no_grad():
        for encoder, same in (("gray", True), ("rgb", False)):
            network = small(4, encoder=encoder)
            one, two = network(frames).weights, network(colored).weights
            assert torch.allclose(one, two, atol=1e-5) == same


@pytest.mark.parametrize("skips", [False, True])
def test_every_parameter_is_trained(skips: bool) -> None:
    network = small(5, skips=skips).train()
    network(stacks(7, 2, 2, 3, 30, 20)).fused.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    weights = [p.grad for n, p in network.named_parameters() if n.endswith("0.weight")]
    assert all(grad is not None and grad.abs().max() > 0 for grad in weights)


def test_reduced_precision_keeps_the_picture_whole() -> None:
    network = small(6)
    frames = stacks(8, 1, 2, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        fused, weights, _ = network(frames)
    assert fused.dtype == weights.dtype == torch.float32
    assert weights.sum(1) == pytest.approx(torch.ones(1, 1, 32, 32), abs=1e-6)


def test_what_cannot_be_fused_is_refused() -> None:
    network = small()
    with pytest.raises(ValueError, match="ufm fuses exactly 2 frames, not 3"):
        network(torch.zeros(1, 3, 3, 8, 8))
    with pytest.raises(ValueError, match="exactly 2 frames, not 3"):
        fuse(network, TensorStack(torch.zeros(3, 3, 8, 8)))
    with pytest.raises(ValueError, match=r"\(B, K, 3, H, W\)"):
        network(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"call eval\(\)"):
        fuse(network.train(), TensorStack(torch.zeros(2, 3, 8, 8)))
