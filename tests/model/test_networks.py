# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from model.fusion_network import FusionNetwork
from model.networks import NETWORKS, build_network

SMALL: dict[str, dict[str, Any]] = {
    "ufm": {"width": 0.05, "skips": True},
    "ufm_k": {"widths": [3, 4, 5, 6]},
    "flexhdr": {"width": 4, "growth": 2, "layers": 2, "attention": False, "response": "srgb"},
    "afunet": {"width": 4, "stages": 2, "depth": 2, "window": 4},
    "ahdrnet": {"width": 4, "growth": 2, "layers": 2},
    "usme": {"width": 4, "light_width": 3, "hidden": 5, "estimator": "hvi", "from_gain": True},
    "usme3": {"width": 4, "light_width": 3, "hidden": 5, "light_map": False},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_options_build_the_same_network_again(name: str) -> None:
    one = build_network(name, SMALL[name])
    assert one.name == name
    assert one.options.items() >= SMALL[name].items()
    two = build_network(one.name, json.loads(json.dumps(one.options)))
    assert two.options == one.options
    two.load_state_dict(one.state_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(
            torch.cat([p.flatten() for p in build_network(name, SMALL[name]).parameters()])
        )
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_unknown_names_are_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no network 'unet'; choose one of: ufm"):
        build_network("unet", {})
    with pytest.raises(ValueError, match=r"no option 'depth', 'size'; it has: width, encoder"):
        build_network("ufm", {"size": 3, "depth": 1, "width": 1.0})


@pytest.mark.parametrize("width", [0, -1.0, 17, float("nan"), "wide", True, None])
def test_impossible_widths_are_refused(width: object) -> None:
    with pytest.raises(ValueError, match="width"):
        build_network("ufm", {"width": width})


@pytest.mark.parametrize(
    ("option", "value"), [("encoder", "grey"), ("encoder", 3), ("skips", 1), ("skips", "no")]
)
def test_impossible_options_are_refused(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=option):
        build_network("ufm", {option: value})


@pytest.mark.parametrize("name", ["flexhdr", "afunet", "ahdrnet"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "8", 10**9, None])
def test_impossible_channels_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="width must be a whole number"):
        build_network(name, {"width": value})


@pytest.mark.parametrize(
    ("name", "option", "value", "word"),
    [
        ("flexhdr", "flow", 1, "true or false"),
        ("flexhdr", "response", "log", "gamma, srgb"),
        ("flexhdr", "iterations", 0, "whole number"),
        ("flexhdr", "reach_px", 0, "whole number"),
        ("afunet", "width", 6, "multiple of 4"),
        ("afunet", "window", 5, "of 2"),
        ("afunet", "stages", 0, "whole number"),
        ("ahdrnet", "layers", 0, "whole number"),
        ("ahdrnet", "response", None, "gamma, srgb"),
    ],
)
def test_impossible_options_of_radiance_networks_are_refused(
    name: str, option: str, value: object, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        build_network(name, {option: value})


@pytest.mark.parametrize(
    ("least", "most", "wanted"),
    [(2, 2, "exactly 2"), (2, None, "at least 2"), (3, 9, "3 to 9")],
)
def test_wrong_numbers_of_frames_are_refused(least: int, most: int | None, wanted: str) -> None:
    class Some(FusionNetwork):
        name = "some"
        min_frames = least
        max_frames = most

    network = Some({})
    network.check_count(least)
    network.check_count(most or 100)
    for count in {least - 1, (most or 0) + 1}:
        with pytest.raises(ValueError, match=f"some fuses {wanted} frames, not {count}"):
            network.check_count(count)
