# SPDX-License-Identifier: Apache-2.0
"""What the training loop relies on: a loss with gradients everywhere, figures that are the
metric's, a sheet to look at, weights that build the same network again."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from model.fusion_model import TensorStack
from model.fusion_scores import to_8bit_gray
from model.fusion_terms import LOSSES
from model.luma import luma
from model.mertens import Mertens
from model.metrics.mef_ssim import score
from model.networks import build_network
from model.objectives import FusionObjective, build_objective
from model.tiles import fuse

TINY = {"name": "ufm", "width": 0.0625}
TABLES = [
    {"name": "weighted_ssim"},
    {"name": "weighted_ssim", "gamma": "e", "luminance": False},
    {"name": "mef_ssim"},
    {"name": "mef_ssim", "color": 0.5, "anchor": 2.0},
    {"name": "learned_gamma", "luminance": False},
]


def stacks(count: int = 2, frames: int = 2, side: int = 48, seed: int = 0) -> torch.Tensor:
    """(count, frames, 3, side, side): a smooth scene with texture, exposed and clipped."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    scene = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    scene = scene + 0.15 * torch.rand(count, 3, side, side, generator=generator)
    light = torch.logspace(-1.5, 0.8, frames, base=2).reshape(1, -1, 1, 1, 1)
    return (scene.unsqueeze(1) * light).clamp(0, 1)


def objective(loss: dict | None = None, seed: int = 0) -> FusionObjective:
    torch.manual_seed(seed)
    made = build_objective(TINY, loss or {"name": "mef_ssim"})
    assert isinstance(made, FusionObjective)
    return made


def pixels(x: torch.Tensor):
    """(H, W, 3) uint8."""
    return (x * 255).round().byte().permute(1, 2, 0).numpy()


def test_every_loss_is_tried_here():
    assert {table["name"] for table in TABLES} == set(LOSSES)


@pytest.mark.parametrize("loss", TABLES)
def test_a_step_is_finite_and_every_parameter_learns(loss):
    made = objective(loss)
    rate = torch.optim.Adam(made.network.parameters(), lr=1e-2)
    # The attention starts at zero, so that its features learn from the second step on.
    for _ in range(2):
        rate.zero_grad()
        step = made.step({"frames": stacks()})
        step.loss.backward()
        rate.step()
    assert torch.isfinite(step.loss)
    assert step.loss.shape == ()
    for name, parameter in made.network.named_parameters():
        # Batch normalisation takes a bias before it away again.
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    learning = [p.grad.abs().sum() > 0 for p in made.network.parameters()]
    assert sum(learning) > 0.9 * len(learning)


@pytest.mark.parametrize("loss", TABLES)
def test_parts_are_plain_figures_that_explain_the_loss(loss):
    step = objective(loss).step({"frames": stacks()})
    assert all(part.shape == () and not part.requires_grad for part in step.parts.values())
    weights = {name: loss.get(name, 1.0) for name in step.parts}
    total = sum(weights[name] * part for name, part in step.parts.items())
    torch.testing.assert_close(step.loss.detach(), total)


def test_terms_that_weigh_nothing_are_not_there():
    assert set(objective().step({"frames": stacks()}).parts) == {"mef_ssim"}


def test_the_anchor_is_nothing_where_the_fusion_is_as_bright_as_mertens():
    frames = stacks(1)
    mertens = fuse(Mertens(), TensorStack(frames[0])).unsqueeze(0)
    terms = objective({"name": "mef_ssim", "anchor": 1.0}).network.terms
    assert terms(mertens, frames)["anchor"][1] == 0
    darker = terms(mertens * 0.8, frames)["anchor"][1]
    torch.testing.assert_close(darker, 0.2 * luma(mertens).mean())


def test_training_makes_the_loss_smaller():
    made = objective()
    rate = torch.optim.Adam(made.network.parameters(), lr=1e-2)
    batch = {"frames": stacks(2)}
    losses = []
    for _ in range(25):
        rate.zero_grad()
        step = made.step(batch)
        step.loss.backward()
        rate.step()
        losses.append(step.loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_figures_are_those_of_the_metric():
    made = objective()
    made.network.eval()
    frames = stacks(3, side=60)
    figures = made.evaluate({"frames": frames})
    assert made.headline in figures
    assert all(values.shape == (3,) for values in figures.values())
    with torch.no_grad():
        fused = made.network.fusion(frames).fused
    for index, stack in enumerate(frames):
        eight = [pixels(frame) for frame in stack]
        variants = ("gray_ms3", "color_8x8_adaptive_lum")
        ours = score(eight, pixels(fused[index]), variants).values
        rounded = (stack * 255).round() / 255
        mertens = fuse(Mertens(), TensorStack(rounded))
        theirs = score(eight, pixels(mertens), variants).values
        for name, wanted in (
            ("gray_ms3", ours["gray_ms3"]),
            ("color", ours["color_8x8_adaptive_lum"]),
            ("gray_ms3_mertens", theirs["gray_ms3"]),
            ("color_mertens", theirs["color_8x8_adaptive_lum"]),
        ):
            assert figures[name][index].item() == pytest.approx(wanted, abs=2e-6), name


def test_figures_of_known_patches_are_the_same_again():
    made = objective()
    made.network.eval()
    frames = stacks(3)
    first = made.evaluate({"frames": frames})
    second = made.evaluate({"frames": frames.flip(0)})
    for name, values in first.items():
        torch.testing.assert_close(second[name].flip(0), values)


class _Fixed(torch.nn.Module):
    """A network that gives what it is told to."""

    name, min_frames, max_frames, options = "fixed", 2, None, {}

    def __init__(self, fused):
        super().__init__()
        self.fused = fused

    def forward(self, frames):
        from model.fusion_network import Fusion

        even = frames.new_full((*frames.shape[:2], 1, *frames.shape[3:]), 1 / frames.shape[1])
        return Fusion(self.fused, even)


def test_chroma_shift_sees_colour_and_not_brightness():
    frames = stacks(1, side=44)
    rounded = (frames * 255).round() / 255
    mertens = (fuse(Mertens(), TensorStack(rounded[0])) * 255).round() / 255

    def shift(fused: torch.Tensor) -> float:
        made = FusionObjective(_Fixed(fused.unsqueeze(0)), LOSSES["mef_ssim"]())
        return made.evaluate({"frames": frames})["chroma_shift"].item()

    middle = mertens * 0.5 + 0.2
    base = shift(middle)
    assert shift(mertens) == 0
    assert shift(middle + 10 / 255) == pytest.approx(base, abs=0.5)
    blue = middle.clone()
    blue[2] += 20 / 255
    # 20 levels of blue are 10 of Cb and 1.6 of Cr.
    assert abs(shift(blue) - base) <= 5.9
    assert shift(blue) != pytest.approx(base, abs=0.5)


def test_grey_is_rounded_as_the_metric_rounds_it():
    from model.metrics.strips import gray

    picture = torch.rand(3, 20, 20).mul(255).round() / 255
    grey = (to_8bit_gray(picture) * 255).round().int().numpy()
    assert (grey == gray(pixels(picture))).all()


def test_patches_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="44"):
        objective().evaluate({"frames": stacks(side=40)})


def test_the_sheet_shows_frames_fusions_and_weights():
    made = objective()
    made.network.eval()
    sheet = made.picture({"frames": stacks(6, side=48)})
    rows, columns, gap = 4, 5, 6
    assert sheet.shape == (3, rows * (48 + gap) + gap, columns * (48 + gap) + gap)
    assert sheet.min() >= 0
    assert sheet.max() <= 1


def test_the_export_builds_the_same_network():
    made = objective({"name": "learned_gamma"}, seed=3)
    made.network.eval()
    state, facts = made.export()
    network = build_network(facts["network"], json.loads(json.dumps(facts["options"])))
    network.load_state_dict(state)
    network.eval()
    frames = stacks()
    with torch.no_grad():
        torch.testing.assert_close(network(frames).fused, made.network.fusion(frames).fused)
    # What ships is the network alone, and no longer tied to the one in training.
    before = {name: value.clone() for name, value in state.items()}
    made.step({"frames": frames}).loss.backward()
    torch.optim.SGD(made.network.parameters(), lr=1.0).step()
    assert all(torch.equal(state[name], value) for name, value in before.items())


def test_a_wrapper_may_stand_in_the_networks_place():
    made = objective()
    made.network.eval()
    plain_figures = made.evaluate({"frames": stacks()})
    wrapped = copy.copy(made)
    wrapped.network = torch.optim.swa_utils.AveragedModel(made.network)
    wrapped.network.eval()
    figures = wrapped.evaluate({"frames": stacks()})
    for name, values in plain_figures.items():
        torch.testing.assert_close(figures[name], values)
    assert wrapped.frames == (2, 2)
    assert wrapped.export()[0].keys() == made.export()[0].keys()
    wrapped.step({"frames": stacks()})


@pytest.mark.parametrize("loss", TABLES)
def test_gradients_come_through_a_data_parallel_wrapper(loss):
    from torch import distributed

    frames = stacks()
    alone = objective(loss)
    alone.step({"frames": frames}).loss.backward()
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        made = objective(loss)
        made.network = torch.nn.parallel.DistributedDataParallel(made.network)
        for _ in range(2):  # the second would complain of parameters that the first left out
            made.network.zero_grad()
            made.step({"frames": frames}).loss.backward()
        gradients = [p.grad for p in made.network.module.parameters()]
    finally:
        distributed.destroy_process_group()
    # Batch normalisation's running means have moved, which training does not look at.
    for parameter, gradient in zip(alone.network.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_reduced_precision_ends_before_the_loss():
    frames = stacks()
    made = objective({"name": "weighted_ssim"})
    made.network.eval()
    exact = made.step({"frames": frames})
    with torch.autocast("cpu", torch.bfloat16):
        reduced = made.step({"frames": frames})
    assert reduced.loss.dtype == torch.float32
    torch.testing.assert_close(reduced.loss, exact.loss, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("network", "loss", "word"),
    [
        ({"name": "nope"}, {"name": "mef_ssim"}, "ufm"),
        ({"width": 1}, {"name": "mef_ssim"}, "network.name"),
        (TINY | {"depth": 3}, {"name": "mef_ssim"}, "width"),
        (TINY | {"width": "x"}, {"name": "mef_ssim"}, "width"),
        (TINY, {}, "loss.name"),
        (TINY, {"name": "nope"}, "weighted_ssim"),
        (TINY, {"name": "mef_ssim", "gamma": "v"}, "anchor"),
        (TINY, {"name": "mef_ssim", "color": -1}, "color"),
        (TINY, {"name": "mef_ssim", "anchor": float("inf")}, "anchor"),
        (TINY, {"name": "mef_ssim", "color": True}, "color"),
        (TINY, {"name": "weighted_ssim", "gamma": "x"}, "vd"),
        (TINY, {"name": "weighted_ssim", "luminance": 1}, "luminance"),
    ],
)
def test_what_cannot_be_built_is_refused_and_says_what_can(network, loss, word):
    with pytest.raises(ValueError, match=word):
        build_objective(network, loss)
