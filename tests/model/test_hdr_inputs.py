# SPDX-License-Identifier: Apache-2.0
"""Networks that begin with a merge of followed frames, and what they begin with."""

from __future__ import annotations

import json

import pytest
import torch

from model.fusion_model import TensorStack
from model.hdr_inputs import brightest, first_guess, shown
from model.hdr_network import HdrNetwork
from model.merge import Merge
from model.objectives import build_objective
from model.radiance import inverse_mu_law, mu_law
from model.tiles import fuse
from model.weights_file import pack_weights
from model.zoo import trained
from tests.model.tiny_hdr import Build, afunet, ahdrnet, flexhdr, seeded, stacks

EACH = pytest.mark.parametrize("build", [flexhdr, afunet, ahdrnet])


def moved(count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames in which something moved, the same as followed, and their times."""
    frames, times = stacks(1, count, 40, 56)
    shot = frames.clone()
    for k in range(count):
        if k != (count - 1) // 2:
            shot[:, k] = frames[:, k].roll(3, -1)
    return shot, frames, times


def untrained(build: Build) -> HdrNetwork:
    """Its corrections are none."""
    network = seeded(build, start="followed")
    network._begin()
    return network


def together(shot: torch.Tensor, aligned: torch.Tensor, times: torch.Tensor) -> TensorStack:
    return TensorStack(torch.cat([shot[0], aligned[0]]), tuple(times[0].tolist()) * 2)


@EACH
def test_it_begins_with_the_guess(build: Build) -> None:
    shot, aligned, times = moved()
    with torch.no_grad():
        made = untrained(build)(shot, times, aligned=aligned)
    guess = inverse_mu_law(first_guess(shot, aligned, times, 1, "gamma"))
    assert torch.allclose(made, guess * brightest(times, 1), atol=1e-4)


@EACH
def test_tiles_agree_with_the_whole(build: Build) -> None:
    shot, aligned, times = moved()
    network = seeded(build, start="followed")
    for name, parameter in network.named_parameters():
        if "tail" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        whole = network(shot, times, aligned=aligned)[0]
        guess = inverse_mu_law(first_guess(shot, aligned, times, 1, "gamma"))[0] * 4
    assert (whole - guess).abs().max() > 1e-3  # it does correct
    stack = together(shot, aligned, times)
    for tile_px in (1024, 24):
        assert (fuse(network, stack, tile_px) - whole).abs().max() < 1e-3


@EACH
def test_every_frame_is_wanted_twice(build: Build) -> None:
    shot, _, times = moved()
    network = seeded(build, start="followed")
    with pytest.raises(ValueError, match="optical flow"):
        network(shot, times)
    with pytest.raises(ValueError, match="every frame twice"):
        network.prepare(TensorStack(shot[0], tuple(times[0].tolist())))
    objective = build_objective({"name": network.name, "start": "followed"}, {"name": "mu_l1"})
    assert set(objective.needs) == {"times_s", "label", "aligned"}


@EACH
def test_weights_know_how_they_begin(build: Build) -> None:
    for options in ({}, {"start": "followed"}):
        network = seeded(build, **options)
        facts = {"network": network.name, "options": json.dumps(network.options)}
        again = trained(pack_weights(network.state_dict(), facts))
        assert isinstance(again, HdrNetwork)
        assert again.follows is bool(options)
    assert "start" not in seeded(build).options  # as it was before there was a choice
    with pytest.raises(ValueError, match="start"):
        seeded(build, start="merge")


def test_the_guess_is_the_merge_where_the_reference_tells_enough() -> None:
    shot, aligned, times = moved(5)
    merged = fuse(Merge(), TensorStack(aligned[0], tuple(times[0].tolist())), 1024)
    merged = mu_law((merged / brightest(times, 2)[0]).clamp(0, 1))
    guess = first_guess(shot, aligned, times, 2, "gamma")[0]
    enough = shot[0, 2] <= 0.9
    assert 0.1 < enough.float().mean() < 1
    assert torch.allclose(guess[enough], merged[enough], atol=1e-6)
    assert bool((guess >= merged - 1e-6).all())


def test_the_guess_knows_the_light_that_flow_lost() -> None:
    shot, aligned, times = moved()
    burnt = shot[:, 1] >= 1
    assert bool(burnt.any())
    # Flow found nothing: in the place of the darker frame stands the reference, re-exposed.
    lost = aligned.clone()
    lost[:, 0] = (aligned[:, 1] ** 2.2 / 4) ** (1 / 2.2)
    guess = inverse_mu_law(first_guess(aligned, lost, times, 1, "gamma"))
    truth = shown(aligned, times, "gamma")[:, 0]
    assert torch.allclose(guess[burnt], truth[burnt].clamp(min=0.25), atol=1e-3)
