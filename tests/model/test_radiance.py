# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from model.radiance import mu_law


def test_mu_law_keeps_the_ends_and_lifts_the_shadows() -> None:
    values = mu_law(torch.tensor([0.0, 0.01, 1.0, 2.0], dtype=torch.float64))
    want = [math.log(1 + 5000 * x) / math.log(5001) for x in (0.0, 0.01, 1.0, 2.0)]
    assert values.tolist() == pytest.approx(want, abs=1e-12)
    assert values.tolist()[0] == 0
    assert values.tolist()[2] == 1


def test_mu_law_has_a_gradient_at_zero() -> None:
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    mu_law(x).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(5000 / math.log(5001))
