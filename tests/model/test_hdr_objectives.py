# SPDX-License-Identifier: Apache-2.0
"""What the training loop relies on, for networks that make radiance."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch

from model.hdr_network import HdrNetwork, shown
from model.hdr_objectives import HdrObjective, SelfHdrObjective, fidelity
from model.hdr_terms import LOSSES
from model.metrics.fidelity import radiance_fidelity
from model.networks import build_network
from model.objectives import build_objective
from tests.model.tiny_hdr import stacks

FLEXHDR = {"name": "flexhdr", "width": 8, "growth": 2, "layers": 1, "iterations": 2, "reach_px": 16}
AFUNET = {"name": "afunet", "width": 4, "stages": 1, "depth": 2}
AHDRNET = {"name": "ahdrnet", "width": 6, "growth": 3, "layers": 1}
USME = {"name": "usme", "width": 4, "light_width": 4, "hidden": 6}
TABLES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (FLEXHDR, {"name": "mu_l1", "photometric": 1.0}),
    (FLEXHDR, {"name": "mu_l1", "photometric": 0.5, "aligned": "radiance"}),
    (AFUNET, {"name": "mu_l1", "fft": 0.005}),
    (AHDRNET, {"name": "selfhdr_structure"}),
    (AHDRNET, {"name": "selfhdr_color"}),
    (USME, {"name": "usme", "low": 2.0, "high": 2.0, "preserve": 4.0}),
]
EACH = pytest.mark.parametrize(("network", "loss"), TABLES)


def batch(count: int = 2, frames: int = 3, side: int = 24) -> dict[str, torch.Tensor]:
    shots, times = stacks(count, frames, side, side)
    middle = (frames - 1) // 2
    most = float(times[0, middle] / times[0].amin())
    label = shown(shots, times, "gamma").amax(1) * most
    return {
        "frames": shots,
        "times_s": times,
        "label": label,
        "color": label * 1.02,
        "structure": label * 0.98,
        "mask": torch.ones(count, frames, side, side),
        "aligned": shots,
    }


def objective(network: dict[str, Any], loss: dict[str, Any], seed: int = 0) -> HdrObjective:
    torch.manual_seed(seed)
    made = build_objective(network, loss)
    assert isinstance(made, HdrObjective)
    return made


def test_every_loss_is_tried_here() -> None:
    assert {loss["name"] for _, loss in TABLES} == set(LOSSES)


@EACH
def test_a_step_is_finite_and_every_parameter_learns(
    network: dict[str, Any], loss: dict[str, Any]
) -> None:
    made = objective(network, loss)
    step = made.step(batch())
    step.loss.backward()  # type: ignore[no-untyped-call]
    assert step.loss.shape == ()
    assert bool(torch.isfinite(step.loss))
    for name, parameter in made.network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    learning = [bool(p.grad.any()) for p in made.network.parameters() if p.grad is not None]
    assert sum(learning) > 0.9 * len(learning)


@EACH
def test_parts_are_plain_figures_that_explain_the_loss(
    network: dict[str, Any], loss: dict[str, Any]
) -> None:
    made = objective(network, loss)
    step = made.step(batch())
    weights = {"reference": 4.0} | {n: loss.get(n, 1.0) for n in step.parts if n != "reference"}
    assert all(part.shape == () and not part.requires_grad for part in step.parts.values())
    total = sum(weights[name] * part for name, part in step.parts.items())
    torch.testing.assert_close(step.loss.detach(), total)


@EACH
def test_training_makes_the_loss_smaller(network: dict[str, Any], loss: dict[str, Any]) -> None:
    made = objective(network, loss)
    rate = torch.optim.Adam(made.network.parameters(), lr=1e-2)
    known = batch(1)
    losses = []
    for _ in range(12):
        rate.zero_grad()
        step = made.step(known)
        step.loss.backward()  # type: ignore[no-untyped-call]
        rate.step()
        losses.append(step.loss.item())
    assert losses[-1] < 0.8 * losses[0]


@EACH
def test_gradients_come_through_a_data_parallel_wrapper(
    network: dict[str, Any], loss: dict[str, Any]
) -> None:
    from torch import distributed

    known = batch()

    def gradients(made: HdrObjective, rounds: int) -> list[torch.Tensor | None]:
        for _ in range(rounds):  # the second would complain of parameters that the first left out
            torch.manual_seed(1)  # of the noise and of what is dropped
            made.network.zero_grad()
            made.step(known).loss.backward()  # type: ignore[no-untyped-call]
        return [parameter.grad for parameter in made.network.parameters()]

    alone = gradients(objective(network, loss), 1)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        made = objective(network, loss)
        made.network = torch.nn.parallel.DistributedDataParallel(made.network)
        wrapped = gradients(made, 2)
    finally:
        distributed.destroy_process_group()
    for one, two in zip(alone, wrapped, strict=True):
        torch.testing.assert_close(one, two)


def test_figures_are_those_of_the_metric_in_the_published_scale() -> None:
    made = objective(AHDRNET, {"name": "mu_l1"})
    made.network.eval()
    known = batch()
    figures = made.evaluate(known)
    assert made.headline in figures
    network = made._trained.hdr
    with torch.no_grad():
        radiance = network(known["frames"], known["times_s"])
    for index in range(2):
        ours, truth = (x[index].permute(1, 2, 0).numpy() / 4 for x in (radiance, known["label"]))
        wanted = radiance_fidelity(ours, truth.clip(0, 1))
        for name in ("psnr_mu", "psnr_l", "ssim_mu", "ssim_l"):
            assert figures[name][index].item() == pytest.approx(getattr(wanted, name), abs=1e-3)


def test_what_no_frame_can_tell_is_not_asked_for() -> None:
    made = objective(AHDRNET, {"name": "mu_l1"})
    known = batch()
    known["label"] = known["label"].clamp(max=4)
    beyond = known | {"label": torch.where(known["label"] >= 3.9, 900.0, known["label"])}
    most = known | {"label": torch.where(known["label"] >= 3.9, 4.0, known["label"])}
    assert made.step(beyond).loss == made.step(most).loss


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_reference_may_be_another_one(count: int) -> None:
    made = objective(FLEXHDR, {"name": "mu_l1"})
    made.network.eval()
    known = batch(2, count)
    plain = made.step(known).loss
    middle = (count - 1) // 2
    asked = made.step(known | {"reference": torch.full((2,), middle)}).loss
    assert asked == plain
    other = count - 1
    ratio = (known["times_s"][:, other] / known["times_s"][:, middle])[:, None, None, None]
    moved = known | {"reference": torch.full((2,), other), "label": known["label"] * ratio}
    assert made.step(moved).loss != plain
    assert made.evaluate(moved)["psnr_mu"].isfinite().all()
    with pytest.raises(ValueError, match="one reference"):
        made.step(known | {"reference": torch.tensor([0, 1])})


def test_ground_truth_has_no_say_without_supervision() -> None:
    for loss in ({"name": "selfhdr_structure"}, {"name": "selfhdr_color", "noise_255ths": 0.0}):
        made = objective(AHDRNET, loss)
        assert isinstance(made, SelfHdrObjective)
        made.network.eval()
        known = batch()
        other = known | {"label": torch.rand_like(known["label"])}
        blind = {name: value for name, value in known.items() if name != "label"}
        assert made.step(known).loss == made.step(other).loss == made.step(blind).loss
        figures = [made.evaluate(b) for b in (known, other, blind)]
        assert torch.equal(figures[0]["fit"], figures[1]["fit"])
        assert torch.equal(figures[0]["fit"], figures[2]["fit"])
        assert not torch.equal(figures[0]["psnr_mu"], figures[1]["psnr_mu"])
        assert set(figures[2]) == {made.headline}
        losses = [made.step({n: v[k : k + 1] for n, v in known.items()}).loss for k in range(2)]
        wanted = [-20 * torch.log10(loss).item() for loss in losses]
        assert figures[0]["fit"].tolist() == pytest.approx(wanted, abs=1e-4)


def test_the_second_stage_adds_noise_to_the_reference_in_training_alone() -> None:
    made = objective(AHDRNET, {"name": "selfhdr_color", "noise_255ths": 8.0})
    made.network.eval()
    known = batch()
    kept = {name: value.clone() for name, value in known.items()}
    torch.manual_seed(0)
    assert made.step(known).loss != made.step(known).loss
    assert torch.equal(made.evaluate(known)["fit"], made.evaluate(known)["fit"])
    assert all(torch.equal(known[name], value) for name, value in kept.items())


def test_places_where_the_blend_does_not_hold_are_left_out() -> None:
    made = objective(AHDRNET, {"name": "selfhdr_structure"})
    known = batch()
    known["color"] = shown(known["frames"], known["times_s"], "gamma")[:, 1] * 4
    half = known | {"mask": known["mask"].clone()}
    half["mask"][:, 2, :, :12] = 0  # of one frame of three
    whole, part = (made.step(b).parts["color"] for b in (known, half))
    assert 0 < part < whole
    assert made.step(half | {"mask": half["mask"] * 0}).parts["color"] == 0


@EACH
def test_the_sheet_shows_frames_target_and_result(
    network: dict[str, Any], loss: dict[str, Any]
) -> None:
    made = objective(network, loss)
    made.network.eval()
    sheet = made.picture(batch(6))
    rows, columns, side, gap = 4, 8 if network is USME else 6, 24, 6
    assert sheet.shape == (3, rows * (side + gap) + gap, columns * (side + gap) + gap)
    assert 0 <= sheet.min() <= sheet.max() <= 1


@pytest.mark.parametrize("network", [FLEXHDR, AFUNET, AHDRNET])
def test_the_export_builds_the_same_network(network: dict[str, Any]) -> None:
    made = objective(network, {"name": "mu_l1"}, seed=3)
    made.network.eval()
    state, facts = made.export()
    again = build_network(facts["network"], json.loads(json.dumps(facts["options"])))
    assert isinstance(again, HdrNetwork)
    again.load_state_dict(state)
    again.eval()
    known = batch()
    with torch.no_grad():
        frames, times = known["frames"], known["times_s"]
        assert torch.equal(again(frames, times), made._trained.hdr(frames, times))
    assert made.frames == (again.min_frames, again.max_frames)
    assert made.least_px == 11


def test_a_wrapper_may_stand_in_the_networks_place() -> None:
    made = objective(*TABLES[0])
    made.network.eval()
    known = batch()
    wrapped = copy.copy(made)
    wrapped.network = torch.optim.swa_utils.AveragedModel(made.network)
    wrapped.network.eval()
    assert torch.equal(wrapped.evaluate(known)["psnr_mu"], made.evaluate(known)["psnr_mu"])
    assert wrapped.frames == (2, None)
    assert wrapped.export()[0].keys() == made.export()[0].keys()


@EACH
def test_reduced_precision_ends_before_the_loss(
    network: dict[str, Any], loss: dict[str, Any]
) -> None:
    made = objective(network, loss)
    made.network.eval()
    known = batch()
    torch.manual_seed(0)
    exact = made.step(known).loss
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = made.step(known).loss
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(reduced, exact, atol=0.01, rtol=0.02)


def test_missing_times_and_labels_are_named() -> None:
    made = objective(AHDRNET, {"name": "mu_l1"})
    known = batch()
    with pytest.raises(ValueError, match="no times_s and no label"):
        made.step({"frames": known["frames"]})
    second = objective(AHDRNET, {"name": "selfhdr_color"})
    with pytest.raises(ValueError, match="no structure"):
        second.step({name: known[name] for name in ("frames", "times_s", "color")})


@pytest.mark.parametrize(
    ("network", "loss", "word"),
    [
        (AHDRNET, {"name": "mef_ssim"}, "mu_l1, selfhdr_structure"),
        ({"name": "ufm"}, {"name": "mu_l1"}, "mef_ssim"),
        (AHDRNET, {"name": "mu_l1", "photometric": 1.0}, "flexhdr"),
        (FLEXHDR | {"flow": False}, {"name": "mu_l1", "photometric": 1.0}, "flow"),
        (FLEXHDR, {"name": "mu_l1", "aligned": "maps"}, "features, radiance"),
        (FLEXHDR, {"name": "mu_l1", "fft": -1}, "fft"),
        (FLEXHDR, {"name": "mu_l1", "perceptual": 1e-3}, "vgg_weights"),
        (FLEXHDR, {"name": "mu_l1", "gamma": 1}, "photometric"),
        (AHDRNET, {"name": "selfhdr_color", "structure": 0.0}, "ghosts"),
        (AHDRNET, {"name": "selfhdr_structure", "reference": True}, "reference"),
    ],
)
def test_what_cannot_be_built_is_refused_and_says_what_can(
    network: dict[str, Any], loss: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        build_objective(network, loss)


def test_recipes_are_checked_without_memory() -> None:
    with torch.device("meta"):
        for network in ("flexhdr", "afunet", "ahdrnet"):
            build_objective({"name": network}, {"name": "mu_l1", "fft": 0.005})


def test_figures_of_a_good_guess_are_better() -> None:
    label = batch()["label"].clamp(0, 4) / 4
    near, far = (fidelity((label + shift).clamp(0, 1), label) for shift in (0.001, 0.1))
    for name in near:
        assert bool((near[name] > far[name]).all())
