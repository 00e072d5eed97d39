# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from model.losses.selfhdr import agreement, color_stage_loss, structure_stage_losses
from model.radiance import inverse_mu_law

SIZE = (1, 3, 4, 4)


def level(value: float) -> torch.Tensor:
    """A flat radiance that the mu-law makes ``value`` of."""
    return inverse_mu_law(torch.full(SIZE, value, dtype=torch.float64))


def test_radiances_agree_up_to_a_threshold_of_the_channels_mean() -> None:
    one, two = level(0.5), level(0.5 + 4.9 / 255)
    assert bool(agreement(one, two, most=5 / 255).all())
    assert torch.equal(agreement(one, two, most=5 / 255), agreement(two, one, most=5 / 255))
    assert not agreement(one, level(0.5 + 5.1 / 255), most=5 / 255).any()
    two = one.clone()
    two[:, 0] = level(0.5 + 14 / 255)[:, 0]  # one channel of three
    assert bool(agreement(one, two, most=5 / 255).all())
    assert agreement(one, two, most=5 / 255).shape == (1, 1, 4, 4)


def test_what_the_reference_cannot_tell_is_no_disagreement() -> None:
    nothing = torch.zeros(SIZE, dtype=torch.float64)
    assert bool(agreement(level(0.2), level(0.9), most=5 / 255, weights=nothing).all())


def test_first_stage_trusts_the_reference_in_the_middle_and_the_blend_at_the_ends() -> None:
    color, reference = level(0.6), level(0.5)  # apart: something moved
    middle = torch.full(SIZE, 0.5, dtype=torch.float64)
    made = level(0.4)
    to_color, to_reference = structure_stage_losses(made, color, reference, middle)
    assert to_color == 0
    assert to_reference.item() == pytest.approx(0.1)
    white = torch.ones(SIZE, dtype=torch.float64)
    to_color, to_reference = structure_stage_losses(made, color, reference, white)
    assert to_color.item() == pytest.approx(0.2)
    assert to_reference == 0


def test_invalid_places_of_the_blend_are_left_out() -> None:
    white = torch.ones(SIZE, dtype=torch.float64)
    valid = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    valid[..., :2] = 1
    to_color, _ = structure_stage_losses(level(0.4), level(0.6), level(0.5), white, valid)
    assert to_color.item() == pytest.approx(0.1)
    loss = color_stage_loss(level(0.4), level(0.6), level(0.6), valid)
    assert loss.item() == pytest.approx(0.1)


def test_second_stage_takes_colour_where_the_labels_agree() -> None:
    made, color = level(0.3), level(0.5)
    assert color_stage_loss(made, color, level(0.5 + 9 / 255)).item() == pytest.approx(0.2)
    assert color_stage_loss(made, color, level(0.5 + 11 / 255)) == 0


def test_gradients_reach_the_result_alone() -> None:
    torch.manual_seed(0)
    made, color, other = (torch.rand(SIZE, dtype=torch.float64, requires_grad=True) for _ in "123")
    display = torch.rand(SIZE, dtype=torch.float64)

    def both(x: torch.Tensor) -> torch.Tensor:
        parts = structure_stage_losses(x, color.detach(), other.detach(), display)
        return parts[0] + 4 * parts[1] + color_stage_loss(x, color.detach(), color.detach())

    assert math.isfinite(both(made).item())
    assert torch.autograd.gradcheck(both, made)
    agreement(made, other, most=1.0)
    assert not agreement(made, other, most=1.0).requires_grad
