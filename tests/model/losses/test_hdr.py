# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cmath
import math

import pytest
import torch

from model.hdr_network import Alignment
from model.losses.hdr import (
    compressed,
    fft_l1_loss,
    mu_l1_loss,
    mu_psnr_loss,
    photometric_loss,
)
from model.measures import fidelity


def radiances(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) ** 3


def tone(value: float) -> float:
    return math.log(1 + 5000 * value) / math.log(5001)


@pytest.mark.parametrize("loss", [mu_l1_loss, fft_l1_loss])
def test_equal_radiances_have_no_loss_and_order_does_not_matter(loss) -> None:
    one, two = radiances(2, 3, 8, 9), radiances(2, 3, 8, 9, seed=1)
    assert loss(one, one) == 0
    assert loss(one, two) == pytest.approx(loss(two, one).item())
    assert loss(one, two) > 0


def test_mu_l1_is_its_formula() -> None:
    one, two = radiances(1, 3, 2, 3), radiances(1, 3, 2, 3, seed=1)
    pairs = list(zip(one.flatten().tolist(), two.flatten().tolist(), strict=True))
    wanted = sum(abs(tone(x) - tone(y)) for x, y in pairs) / len(pairs)
    assert mu_l1_loss(one, two).item() == pytest.approx(wanted, rel=1e-12)


def test_psnr_is_what_is_measured() -> None:
    label = radiances(3, 3, 12, 12)
    off = torch.tensor([1.001, 1.01, 1.1])[:, None, None, None]
    ours = label * off
    wanted = fidelity(ours, label)["psnr_mu"].mean()
    assert mu_psnr_loss(ours, label) == pytest.approx(-wanted.item() / 100, rel=1e-3)
    assert mu_psnr_loss(label, label) == pytest.approx(-1)  # as good as it gets: 100 dB
    same = label.clone().requires_grad_()
    mu_psnr_loss(same, label).backward()
    assert same.grad is not None
    assert bool(same.grad.isfinite().all())


def test_values_without_weight_count_in_the_mean_alone() -> None:
    one, two = radiances(2, 3, 4, 6), radiances(2, 3, 4, 6, seed=1)
    weights = torch.zeros(2, 1, 4, 6, dtype=torch.float64)
    weights[..., :3] = 1
    half = mu_l1_loss(one[..., :3], two[..., :3])
    assert mu_l1_loss(one, two, weights) == pytest.approx(half.item() / 2)


def test_negative_radiance_is_black() -> None:
    dark = torch.full((1, 3, 2, 2), -0.5, requires_grad=True)
    assert compressed(dark).abs().max() == 0
    loss = mu_l1_loss(dark, torch.ones(1, 3, 2, 2))
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert dark.grad is not None
    assert bool(dark.grad.isfinite().all())


def test_fft_l1_is_a_slow_transform() -> None:
    one, two = radiances(1, 3, 8, 8), radiances(1, 3, 8, 8, seed=1)
    parts = []
    for channel in range(3):
        difference = compressed(one)[0, channel] - compressed(two)[0, channel]
        for u in range(8):
            for v in range(5):  # half of it: the other mirrors this one
                total = sum(
                    difference[y, x].item() * cmath.exp(-2j * math.pi * (u * y + v * x) / 8)
                    for y in range(8)
                    for x in range(8)
                )
                parts += [abs(total.real), abs(total.imag)]
    assert fft_l1_loss(one, two).item() == pytest.approx(sum(parts) / len(parts), rel=1e-9)


def test_photometric_loss_looks_where_it_is_told_to() -> None:
    reference, warped = radiances(2, 5, 4, 4), radiances(2, 3, 5, 4, 4, seed=1)
    nowhere = torch.zeros(2, 3, 1, 4, 4, dtype=torch.float64)
    assert photometric_loss(Alignment(reference, warped, nowhere)) == 0
    same = reference.unsqueeze(1).expand(-1, 3, -1, -1, -1)
    assert photometric_loss(Alignment(reference, same, nowhere + 1)) == 0
    half = nowhere.clone()
    half[:, 1] = 0.5
    wanted = 0.5 * (reference - warped[:, 1]).abs().mean() / 3
    assert photometric_loss(Alignment(reference, warped, half)) == pytest.approx(wanted.item())


def test_gradients_are_right() -> None:
    one = (0.1 + radiances(1, 3, 4, 5)).requires_grad_()
    two = radiances(1, 3, 4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda x: mu_l1_loss(x, two), one)
    assert torch.autograd.gradcheck(lambda x: fft_l1_loss(x, two), one)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="alike"):
        mu_l1_loss(radiances(1, 3, 4, 4), radiances(1, 3, 4, 5))
    with pytest.raises(ValueError, match="alike"):
        fft_l1_loss(radiances(3, 4, 4), radiances(3, 4, 4))
