# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from model.losses.usme import exposure_aware_loss, exposure_loss, exposure_steps
from model.radiance import inverse_mu_law

SIZE = (1, 3, 4, 4)


def flat(value: float) -> torch.Tensor:
    return torch.full(SIZE, value, dtype=torch.float64)


def level(value: float) -> torch.Tensor:
    """A flat picture that the mu-law makes ``value`` of."""
    return inverse_mu_law(flat(value))


def test_exposures_are_compared_after_the_mu_law() -> None:
    same = level(0.3)
    loss = exposure_loss(level(0.8), level(0.7), same, same, flat(0.5))
    assert loss.item() == pytest.approx(0.1)


def test_a_real_exposure_that_shows_something_else_teaches_nothing() -> None:
    made, wanted = level(0.8), level(0.7)
    middle, white = flat(0.5), flat(1.0)
    light, reference = level(0.5), level(0.5 + 6 / 255)
    assert exposure_loss(made, wanted, light, reference, middle) == 0
    # Where the reference is burnt out it cannot tell, and there the exposure is all there is.
    assert exposure_loss(made, wanted, light, reference, white).item() == pytest.approx(0.1)
    close = level(0.5 + 4 / 255)
    assert exposure_loss(made, wanted, light, close, middle).item() == pytest.approx(0.1)


def test_places_that_could_not_be_followed_are_left_out() -> None:
    valid = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    valid[..., :1] = 1
    same, white = level(0.3), flat(1.0)
    loss = exposure_loss(level(0.8), level(0.4), same, same, white, valid)
    assert loss.item() == pytest.approx(0.1)
    loss = exposure_aware_loss(level(0.8), level(0.4), flat(0.5), valid)
    assert loss.item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("brightness", "counts"),
    [(0.0, 0), (0.04, 0), (0.06, 0.1), (0.11, 1), (0.5, 1), (0.89, 1), (0.94, 0.1), (0.96, 0)],
)
def test_pixels_count_by_how_well_they_are_exposed(brightness: float, counts: float) -> None:
    frame = flat(brightness)
    assert exposure_steps(frame).shape == (1, 1, 4, 4)
    assert exposure_steps(frame)[0, 0, 0, 0].item() == pytest.approx(counts)
    loss = exposure_aware_loss(level(0.6), level(0.4), frame)
    assert loss.item() == pytest.approx(0.2 * counts)
    frame = torch.stack([flat(brightness)[0, 0] + shift for shift in (0.0, 0.02, -0.02)])[None]
    assert exposure_steps(frame)[0, 0, 0, 0].item() == pytest.approx(counts)  # the channels' mean
