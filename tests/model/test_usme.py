# SPDX-License-Identifier: Apache-2.0
"""USME-HDR: radiance out of one frame. What it has in common with other networks is tried in
``test_hdr_networks``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.fusion_model import TensorStack
from model.hdr_network import VirtualExposures
from model.networks import build_network
from model.radiance import to_radiance
from model.tiles import fuse
from model.usme import DEFAULT_EV, Usme, Usme3, blend_virtual, curved, gained
from model.usme_light import ESTIMATORS
from tests.model.tiny_hdr import seeded, stacks, usme

SWITCHES: list[dict[str, Any]] = [
    {"light_map": False},
    {"light_feature": False},
    {"ratio": False},
    {"light_map": False, "light_feature": False, "ratio": False},
    {"from_gain": True},
    *({"estimator": name} for name in ESTIMATORS if name != "learned"),
]


@pytest.mark.parametrize("options", SWITCHES, ids=str)
def test_every_part_can_be_left_out_or_exchanged(options: dict[str, Any]) -> None:
    network = seeded(usme, **options)
    frames, times = stacks(1, 3, 61, 77)
    with torch.no_grad():
        whole = network(frames, times)[0]
    assert whole.shape == (3, 61, 77)
    assert bool(((whole >= 0) & (whole <= 4)).all())
    tiled = fuse(network, TensorStack(frames[0], tuple(times[0].tolist())), 24)
    assert (tiled - whole).abs().max() < 1e-4
    again = build_network("usme", network.options)
    again.load_state_dict(network.state_dict())
    network.train()
    network(*stacks(2, 3, 32, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("options", [{"ratio": False}, {}], ids=["without", "with"])
def test_the_ratio_decides_how_dark_and_bright_exposures_are(options: dict[str, Any]) -> None:
    network = seeded(usme, **options)
    frames, times = stacks(1, 3, 24, 24)
    with torch.no_grad():
        near = network.reconstruct(frames, times).exposures
        far = network.reconstruct(frames, times ** torch.tensor([1.2, 1.0, 0.8])).exposures
    assert near is not None
    assert far is not None
    same = torch.equal(near.darker, far.darker), torch.equal(near.brighter, far.brighter)
    assert same == ((True, True) if options else (False, False))


def test_only_the_reference_is_looked_at() -> None:
    network = seeded(usme)
    frames, times = stacks(2, 3, 24, 24)
    others = frames.clone()
    others[:, [0, 2]] = torch.rand_like(others[:, [0, 2]])
    with torch.no_grad():
        assert torch.equal(network(frames, times), network(others, times))


@pytest.mark.parametrize("ev", [None, 1.0, 3.0])
def test_a_frame_alone_gets_exposures_so_many_stops_away(ev: float | None) -> None:
    network = seeded(usme)
    assert isinstance(network, Usme)
    stops = DEFAULT_EV if ev is None else ev
    if ev is not None:
        network.ev = ev
    frames, _ = stacks(1, 3, 40, 56)
    times = torch.tensor([[2.0**-stops, 1.0, 2.0**stops]])
    alone = TensorStack(frames[0, 1:2])
    with torch.no_grad():
        wanted = network(frames, times)[0]
        assert torch.allclose(network(frames[:, 1:2], torch.ones(1, 1))[0], wanted, atol=1e-5)
    assert torch.allclose(fuse(network, alone, 24), wanted, atol=1e-4)


def test_three_channels_do_without_the_linear_frame() -> None:
    torch.manual_seed(0)
    made = Usme3(width=4, light_width=4, hidden=6).eval()
    assert made.light is not None
    assert made.light.map is not None
    assert made.light.map.out_channels == 3
    frames, times = stacks(1, 3, 17, 9)
    with torch.no_grad():
        assert made(frames, times).shape == (1, 3, 17, 9)
    assert build_network("usme3", made.options).name == "usme3"


def test_corrections_of_the_gain_begin_close_to_it() -> None:
    torch.manual_seed(0)
    frames, times = stacks(1, 3, 32, 32)
    network = Usme(width=4, light_width=4, hidden=6, from_gain=True).eval()
    for net in (network.darker, network.brighter):
        torch.nn.init.zeros_(net.head.weight)
        torch.nn.init.constant_(net.head.bias, 0.0)  # type: ignore[arg-type]
    with torch.no_grad():
        made = network.reconstruct(frames, times).exposures
        ratios = network.ratios(times, 1)
    assert made is not None
    for ours, ratio in zip(made, ratios, strict=True):
        assert torch.allclose(ours, gained(frames[:, 1], ratio), atol=1 / 500)


def test_real_exposures_of_a_static_scene_give_its_radiance_back() -> None:
    frames, times = stacks(2, 3, 20, 20)
    light = to_radiance(frames, times, 1)
    ratios = times / times[:, 1:2]
    made = blend_virtual(
        frames[:, 1], VirtualExposures(frames[:, 0], frames[:, 2]), ratios[:, 0], ratios[:, 2]
    )
    known = (frames[:, 0] < 1) & (frames[:, 1] > 0)
    assert torch.allclose((made * 4)[known], light[:, 0][known], atol=1e-5)


def test_gain_adds_no_range_and_a_power_does() -> None:
    frame = torch.linspace(0, 1, 32).expand(1, 3, 4, 32)
    low, high = torch.tensor([0.25]), torch.tensor([4.0])
    plain = VirtualExposures(gained(frame, low), gained(frame, high))
    assert blend_virtual(frame, plain, low, high).max() == pytest.approx(0.25)
    bent = VirtualExposures(curved(frame, low), curved(frame, high))
    assert blend_virtual(frame, bent, low, high).max() == pytest.approx(1.0)
    middle = torch.full((1, 3, 1, 1), 0.5)
    assert torch.allclose(curved(middle, low), gained(middle, low), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0}, "width must be"),
        ({"width": 3}, "width must be an even number"),
        ({"light_map": 1}, "light_map must be true or false"),
        ({"estimator": "guess"}, "estimator must be one of"),
        ({"response": "log"}, "response must be one of"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Usme(**options)
