# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.losses.gammas import gamma
from model.losses.learned_gamma import LearnedGamma
from model.losses.weighted_ssim import weighted_ssim_loss


def frames(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def trained(scale: float) -> LearnedGamma:
    """As training might leave it; the larger ``scale``, the surer it is."""
    torch.manual_seed(0)
    module = LearnedGamma()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return module


def test_training_starts_at_the_handcrafted_gamma() -> None:
    x = frames(1, 2, 3, 30, 25)
    assert LearnedGamma()(x).detach() == pytest.approx(gamma(x, "vd"), abs=1e-6)


@given(
    count=st.integers(2, 6),
    height=st.integers(11, 30),
    width=st.integers(11, 30),
    scale=st.sampled_from((0.3, 30.0)),
)
@settings(max_examples=15, deadline=None)
def test_gamma_is_a_partition_of_one_that_cannot_collapse(
    count: int, height: int, width: int, scale: float
) -> None:
    x = frames(height, 2, count, height, width)
    with torch.no_grad():
        result = trained(scale)(x)
    assert result.shape == (2, count, height - 10, width - 10)
    assert result.sum(1) == pytest.approx(torch.ones_like(result[:, 0]), abs=1e-5)
    change = result.log() - gamma(x, "vd").log()
    assert (change.amax(1) - change.amin(1)).max() <= math.log(16) + 1e-4


def test_it_learns_something() -> None:
    x = frames(2, 1, 2, 30, 30)
    with torch.no_grad():
        assert (trained(1.0)(x) - gamma(x, "vd")).abs().max() > 0.05


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_frames_in_another_order_keep_their_gammas(data: st.DataObject) -> None:
    x = frames(3, 1, 4, 20, 24)
    order = list(data.draw(st.permutations(range(4))))
    module = trained(0.5)
    with torch.no_grad():
        assert module(x[:, order]) == pytest.approx(module(x)[:, order], abs=1e-5)


def test_pictures_of_a_batch_do_not_know_each_other() -> None:
    x = frames(4, 3, 2, 20, 20)
    module = trained(0.5)
    with torch.no_grad():
        alone = torch.cat([module(one) for one in x.split(1)])
        assert module(x) == pytest.approx(alone, abs=1e-5)


def test_every_parameter_is_trained() -> None:
    x = frames(5, 1, 2, 24, 24)
    module = trained(0.5)
    weighted_ssim_loss(x[:, :1], x, module(x), luminance=False).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or name == "key.bias", name


def test_gradients_are_right() -> None:
    module = trained(0.5).double()
    x = frames(6, 1, 2, 14, 13).double()
    parameters = tuple(module.parameters())
    assert torch.autograd.gradcheck(lambda *_: module(x), parameters, fast_mode=True)


def test_too_small_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        LearnedGamma()(torch.zeros(1, 2, 10, 11))
