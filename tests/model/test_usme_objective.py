# SPDX-License-Identifier: Apache-2.0
"""USME-HDR in training. What all objectives promise is tried in ``test_hdr_objectives``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.objectives import build_objective
from model.radiance import to_radiance
from model.usme_objective import UsmeObjective
from tests.model.tiny_hdr import stacks

USME = {"name": "usme", "width": 4, "light_width": 4, "hidden": 6}


def batch(count: int = 2, side: int = 24) -> dict[str, torch.Tensor]:
    frames, times = stacks(count, 3, side, side)
    truth = to_radiance(frames, times, 1)[:, 0]
    return {
        "frames": frames,
        "times_s": times,
        "color": truth,
        "label": truth,
        "mask": torch.ones(count, 1, side, side),
        "aligned": frames,
    }


def objective(network: dict[str, Any] | None = None, **loss: Any) -> UsmeObjective:
    torch.manual_seed(0)
    made = build_objective(network or USME, {"name": "usme", **loss})
    assert isinstance(made, UsmeObjective)
    return made


def test_it_learns_from_three_frames_and_pseudo_labels() -> None:
    made = objective()
    assert made.needs == ("times_s", "color", "aligned")
    assert made.frames == (3, 3)
    assert made.headline == "psnr_color"
    assert set(made.step(batch()).parts) == {"low", "high", "preserve", "expand", "aware"}


@pytest.mark.parametrize("left_out", ["low", "high", "preserve", "expand", "aware"])
def test_every_term_can_be_left_out(left_out: str) -> None:
    whole, less = objective().step(batch()), objective(**{left_out: 0.0}).step(batch())
    assert set(whole.parts) - set(less.parts) == {left_out}
    assert less.loss < whole.loss


def test_weights_are_the_papers() -> None:
    step = objective().step(batch())
    counts = {"low": 2, "high": 2, "preserve": 4, "expand": 1, "aware": 1}
    total = sum(counts[name] * part for name, part in step.parts.items())
    torch.testing.assert_close(step.loss.detach(), total)


def test_exposures_may_be_compared_by_their_light() -> None:
    shown, light = (objective(compare=how).step(batch()).parts for how in ("display", "light"))
    assert shown["low"] != light["low"]
    assert torch.equal(shown["expand"], light["expand"])


def test_the_perceptual_term_needs_weights() -> None:
    with pytest.raises(ValueError, match="vgg_weights"):
        objective(perceptual=1.0)
    with pytest.raises(ValueError, match="must be above 0"):
        objective(low=0, high=0, preserve=0, expand=0, aware=0)


def test_figures_tell_of_exposures_and_of_what_needs_no_network() -> None:
    made = objective()
    made.network.eval()
    known = batch()
    figures = made.evaluate(known)
    for name in ("psnr_color", "psnr_low", "psnr_high", "psnr_low_gain", "psnr_high_gain"):
        assert figures[name].shape == (2,)
        assert bool((figures[name] <= 60).all())
    assert {"fit", "psnr_mu", "psnr_mu_middle", "psnr_mu_curve"} <= set(figures)
    blind = made.evaluate({name: value for name, value in known.items() if name != "label"})
    assert set(figures) - set(blind) == {
        "psnr_mu",
        "psnr_l",
        "ssim_mu",
        "ssim_l",
        "psnr_mu_middle",
        "psnr_mu_curve",
    }


def test_truth_has_no_say() -> None:
    made = objective()
    made.network.eval()
    known = batch()
    other = known | {"label": torch.rand_like(known["label"])}
    assert made.step(known).loss == made.step(other).loss
    figures = [made.evaluate(one) for one in (known, other)]
    assert torch.equal(*(one[made.headline] for one in figures))
    assert not torch.equal(*(one["psnr_mu"] for one in figures))


def test_a_network_without_virtual_exposures_is_refused() -> None:
    ahdrnet = {"name": "ahdrnet", "width": 6, "growth": 3, "layers": 1}
    with pytest.raises(ValueError, match="makes no virtual exposures"):
        build_objective(ahdrnet, {"name": "usme"})


def test_the_network_may_learn_from_truth_as_well() -> None:
    made = build_objective(USME, {"name": "mu_l1"})
    assert bool(made.step(batch()).loss.isfinite())
