# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from model.radiance import (
    RESPONSES,
    Response,
    blend_weights,
    encode,
    exposure_ratios,
    inverse_mu_law,
    linearise,
    mu_law,
    to_radiance,
    triangle_weights,
)

CODES = torch.linspace(0, 1, 1001, dtype=torch.float64)


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


def test_the_inverse_takes_the_mu_law_back() -> None:
    linear = torch.cat([CODES, torch.tensor([4.0, 60.0], dtype=torch.float64)])
    assert inverse_mu_law(mu_law(linear)) == pytest.approx(linear, rel=1e-12, abs=1e-15)


def test_responses_are_their_formulas() -> None:
    for code in CODES[::50].tolist():
        value = torch.tensor(code, dtype=torch.float64)
        low, high = code / 12.92, ((code + 0.055) / 1.055) ** 2.4
        srgb = low if code <= 0.04045 else high
        assert linearise(value, "srgb").item() == pytest.approx(srgb, abs=1e-15)
        assert linearise(value).item() == pytest.approx(math.pow(code, 2.2), abs=1e-15)


@pytest.mark.parametrize("response", RESPONSES)
def test_encoding_takes_linearising_back_and_clips(response: Response) -> None:
    # The two halves of the sRGB curve are published with a gap of some 1e-8 between them.
    assert encode(linearise(CODES, response), response) == pytest.approx(CODES, abs=1e-6)
    beyond = encode(torch.tensor([-0.5, 0.0, 1.0, 7.0]), response)
    assert beyond.tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)


@pytest.mark.parametrize("response", RESPONSES)
def test_frames_of_a_static_scene_show_one_radiance(response: Response) -> None:
    generator = torch.Generator().manual_seed(1)
    radiance = torch.rand(2, 3, 5, 7, generator=generator, dtype=torch.float64)
    times = torch.tensor([[0.01, 0.04, 0.3], [1.0, 0.5, 2.0]], dtype=torch.float64)
    ratios = times / times[:, 1:2]
    frames = torch.empty(2, 3, 3, 5, 7, dtype=torch.float64)
    for b in range(2):
        for k in range(3):
            frames[b, k] = encode(radiance[b] * ratios[b, k], response)
    shown = to_radiance(frames, times, 1, response)
    open_ = frames < 0.999
    assert torch.allclose(
        shown[open_], radiance.unsqueeze(1).expand_as(shown)[open_], rtol=1e-6, atol=1e-9
    )
    # Where a frame is saturated it says no more than that it was at least so bright.
    assert bool((shown <= radiance.unsqueeze(1) + 1e-9).all())


def test_units_of_the_times_cancel() -> None:
    times = torch.tensor([1 / 250, 1 / 60, 1 / 15])
    assert exposure_ratios(times, 1)[1] == 1
    assert torch.allclose(exposure_ratios(times, 2), exposure_ratios(times * 1000, 2))


def test_triangle_trusts_the_middle() -> None:
    want = [0, 0.5, 1, 0.5, 0]
    assert triangle_weights(torch.tensor([0, 0.25, 0.5, 0.75, 1])).tolist() == want


def test_shares_are_the_published_ones_and_add_up() -> None:
    shares = blend_weights(CODES)
    for index, z in enumerate(CODES.tolist()):
        want = (0.0, 2 * z, 1 - 2 * z) if z < 0.5 else (2 * z - 1, 2 - 2 * z, 0.0)
        assert tuple(share[index].item() for share in shares) == pytest.approx(want, abs=1e-12)
    assert torch.allclose(sum(shares), torch.ones_like(CODES))  # type: ignore[arg-type]
    assert torch.equal(shares.middle, triangle_weights(CODES))


def test_unknown_responses_are_refused() -> None:
    for function in (linearise, encode):
        with pytest.raises(ValueError, match="gamma, srgb"):
            function(torch.zeros(1), "log")  # type: ignore[arg-type]
