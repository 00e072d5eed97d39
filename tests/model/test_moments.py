# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.moments import Window

WINDOWS = (Window.box(1), Window.box(4), Window.box(11), Window.gaussian(11, 1.5))


def weights(window: Window) -> torch.Tensor:
    taps = torch.tensor(window.taps, dtype=torch.float64)
    return torch.outer(taps, taps) / window.mass


@given(
    window=st.sampled_from(WINDOWS),
    height=st.integers(11, 16),
    width=st.integers(11, 16),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_moments_equal_those_of_each_window_alone(
    window: Window, height: int, width: int, seed: int
) -> None:
    x, y = torch.rand(2, 2, height, width, dtype=torch.float64, generator=generator(seed))
    kernel = weights(window)
    mean, covariance, variance = window.mean(x), window.covariance(x, y), window.variance(x)
    valid = (2, height - window.size + 1, width - window.size + 1)
    assert mean.shape == covariance.shape == variance.shape == valid
    for i in range(0, valid[1], 2):
        for j in range(0, valid[2], 3):
            here = (0, slice(i, i + window.size), slice(j, j + window.size))
            mx, my = (kernel * x[here]).sum(), (kernel * y[here]).sum()
            assert mean[0, i, j] == pytest.approx(mx.item(), abs=1e-13)
            want = (kernel * (x[here] - mx) * (y[here] - my)).sum()
            assert covariance[0, i, j] == pytest.approx(want.item(), abs=1e-13)
            want = (kernel * (x[here] - mx) ** 2).sum()
            assert variance[0, i, j] == pytest.approx(want.item(), abs=1e-13)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("window", WINDOWS)
def test_weights_sum_to_one(window: Window) -> None:
    assert weights(window).sum().item() == pytest.approx(1.0, abs=1e-14)


def test_flat_whole_numbers_have_exactly_no_box_variance() -> None:
    x = torch.full((3, 20, 20), 253.0, dtype=torch.float64)
    assert torch.equal(Window.box(11).variance(x), torch.zeros(3, 10, 10, dtype=torch.float64))


def test_known_totals_change_nothing() -> None:
    window = Window.gaussian(5, 1.0)
    x, y = torch.rand(2, 3, 9, 9, generator=generator(0))
    assert torch.equal(
        window.covariance(x, y), window.covariance(x, y, window.total(x), window.total(y))
    )


@pytest.mark.parametrize(
    "window", [Window.box(3), Window.gaussian(3, 0.8), Window((0.5, 0.25, 0.125), 0.765625)]
)
def test_gradients_are_right(window: Window) -> None:
    x, y = (
        torch.rand(2, 5, 6, dtype=torch.float64, generator=generator(s), requires_grad=True)
        for s in (1, 2)
    )
    assert torch.autograd.gradcheck(lambda a, b: window.covariance(a, b), (x, y))
    assert torch.autograd.gradcheck(lambda a: window.variance(a), (x,))
    assert torch.autograd.gradgradcheck(lambda a, b: window.covariance(a, b), (x, y))


def test_float32_stays_float32() -> None:
    assert Window.gaussian(11, 1.5).variance(torch.rand(12, 12)).dtype == torch.float32


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Window.box(0)
    with pytest.raises(ValueError, match="sigma > 0"):
        Window.gaussian(11, 0)
    with pytest.raises(ValueError, match="too few"):
        Window.box(11).mean(torch.zeros(10, 30))
