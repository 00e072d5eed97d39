# SPDX-License-Identifier: Apache-2.0
"""Maps of how much each frame counts."""

from __future__ import annotations

import pytest
import torch

from model import zoo
from model.fusion_model import TensorStack
from model.merge import Merge
from model.weight_maps import weight_maps


def stack() -> TensorStack:
    """The left half bright, the right half dark, seen with growing exposure."""
    scene = torch.cat([torch.full((3, 24, 20), 1.0), torch.full((3, 24, 20), 0.05)], 2)
    scene = scene * torch.linspace(0.7, 1.0, 24).view(1, 24, 1)
    frames = torch.stack([(scene * 4.0**k).clamp(0, 1) for k in range(3)])
    return TensorStack(frames, (1.0, 4.0, 16.0))


@pytest.mark.parametrize("name", ["mertens", "merge", "ufm_k"])
def test_the_shares_of_all_frames_make_one(name):
    maps = weight_maps(zoo.load(name, "cpu"), stack())
    assert maps.shape == (3, 24, 40)
    assert maps.min() >= 0
    assert torch.allclose(maps.sum(0), torch.ones(24, 40), atol=1e-4)


@pytest.mark.parametrize("name", ["mertens", "merge", "ufm_k"])
def test_dark_places_come_from_brighter_frames(name):
    maps = weight_maps(zoo.load(name, "cpu"), stack())
    order = torch.arange(3.0).view(3, 1, 1)
    mean = (maps * order).sum(0)  # which frame, on average
    assert mean[:, 25:].mean() > mean[:, :15].mean() + 0.5


def test_the_reference_decides_what_a_merge_takes():
    dark, bright = (weight_maps(Merge(reference=k), stack()) for k in (0, 2))
    assert not torch.equal(dark, bright)


def test_the_fast_form_shows_what_its_network_prefers():
    network = zoo.load("ufm_k", "cpu")
    assert torch.equal(weight_maps(zoo.fast_form(network), stack()), weight_maps(network, stack()))


def test_other_models_have_none():
    class Other:
        name = "other"

    assert weight_maps(Other(), stack()) is None
