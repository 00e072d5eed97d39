# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from model.flexhdr import FlexHdr
from model.flexhdr_parts import PoolFusion, trust, warp
from model.fusion_model import TensorStack
from model.tiles import fuse
from tests.model.tiny_hdr import flexhdr, seeded, stacks

PARTS = (
    "flow",
    "exposure_uncertainty",
    "alignment_uncertainty",
    "attention",
    "multi_stage_pooling",
)


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_order_of_the_other_frames_does_not_matter(count: int) -> None:
    frames, times = stacks(1, count, 19, 24)
    network = seeded(flexhdr)
    with torch.no_grad():
        for reference in {0, count // 2, count - 1}:
            wanted = network(frames, times, reference)
            assert wanted.shape == (1, 3, 19, 24)
            order = [count - 1 - k for k in range(count)]
            moved = order.index(reference)
            got = network(frames[:, order], times[:, order], moved)
            assert got == pytest.approx(wanted, abs=1e-5)


def test_a_frame_given_twice_changes_nothing() -> None:
    frames, times = stacks(1, 3, 24, 24)
    network = seeded(flexhdr)
    twice = [0, 0, 1, 2, 2]
    with torch.no_grad():
        wanted = network(frames, times, 1)
        got = network(frames[:, twice], times[:, twice], 2)
    assert got == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("off", PARTS)
def test_each_part_can_be_left_out(off: str) -> None:
    frames, times = stacks(1, 3, 110, 40)
    whole, less = seeded(flexhdr), seeded(flexhdr, **{off: False})
    assert less.options[off] is False
    if off != "alignment_uncertainty" or less.options["attention"]:
        count = {n: sum(p.numel() for p in n.parameters()) for n in (whole, less)}
        assert count[less] < count[whole]
    with torch.no_grad():
        radiance = less(frames, times)[0]
        assert not torch.allclose(radiance, whole(frames, times)[0], atol=1e-4)
    stack = TensorStack(frames[0], tuple(times[0].tolist()))
    assert (fuse(less, stack, 40) - radiance).abs().max() < 1e-4
    less.train()(frames[..., :32, :32], times).mean().backward()
    assert all(p.grad is not None for p in less.parameters())


def test_the_bare_network_still_works() -> None:
    network = seeded(flexhdr, **dict.fromkeys(PARTS, False))
    frames, times = stacks(1, 5, 16, 16)
    with torch.no_grad():
        assert bool(network(frames, times).isfinite().all())


def test_pooling_is_a_convolution_beside_the_maximum() -> None:
    torch.manual_seed(0)
    pool = PoolFusion(3, 4, pooled=True)
    x = torch.rand(2, 5, 3, 6, 7)
    both = torch.cat([x, x.amax(1, keepdim=True).expand_as(x)], 2)
    with torch.no_grad():
        wanted = torch.stack([pool.conv(both[:, k]) for k in range(5)], 1)
        assert torch.allclose(pool(x), wanted, atol=1e-6)


def test_trust_rises_stays_and_falls() -> None:
    means = torch.tensor([0, 0.1, 0.2, 0.5, 0.8, 0.9, 1])
    display = means.expand(1, 1, 3, 1, -1)
    found = trust(display, torch.tensor([[[0.2, 0.8]]]))
    want = [0, 0.5, 1, 1, 1, 0.5, 0]
    assert found.flatten().tolist() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (3.0, -2.0), (0.5, 1.25)])
def test_warping_fetches_what_the_flow_points_at(dx: float, dy: float) -> None:
    rows = torch.arange(16, dtype=torch.float64)[:, None].expand(16, 24)
    cols = torch.arange(24, dtype=torch.float64).expand(16, 24)
    x = torch.stack([rows, cols]).expand(1, 1, 2, 16, 24)
    flow = torch.tensor([dx, dy], dtype=torch.float64)[None, None, :, None, None]
    found = warp(x, flow.expand(1, 1, 2, 16, 24))[0, 0]
    assert torch.allclose(found[0], (rows + dy).clamp(0, 15), atol=1e-9)
    assert torch.allclose(found[1], (cols + dx).clamp(0, 23), atol=1e-9)


def test_flow_stays_within_its_reach() -> None:
    network = seeded(flexhdr, reach_px=8)
    assert network.flow is not None  # type: ignore[union-attr]
    torch.nn.init.normal_(network.flow.last.weight, std=50)  # type: ignore[union-attr]
    frames, times = stacks(1, 3, 40, 40)
    with torch.no_grad():
        facts = network.prepare(TensorStack(frames[0], tuple(times[0].tolist()))).facts
    assert 0.5 < facts.flow.abs().max() <= 1


def test_a_fresh_flow_hardly_moves_anything() -> None:
    torch.manual_seed(0)
    network = FlexHdr(width=8, growth=4, layers=1).eval()
    frames, times = stacks(1, 3, 40, 40)
    with torch.no_grad():
        facts = network.prepare(TensorStack(frames[0], tuple(times[0].tolist()))).facts
    assert facts.flow.abs().max() < 0.2
    lower, upper = facts.limits.unbind(-1)
    assert bool(((lower > 0.1) & (lower < 0.25) & (upper > 0.75) & (upper < 0.9)).all())


@pytest.mark.parametrize("kind", ["features", "radiance"])
def test_the_alignment_improves_by_moving_and_not_by_showing_less(kind: str) -> None:
    network = seeded(flexhdr).train()
    frames, times = stacks(2, 3, 24, 32)
    told = network.reconstruct(frames, times, alignment=kind).alignment  # type: ignore[arg-type]
    assert told is not None
    assert told.warped.shape[:2] == (2, 2)
    assert told.confidence.shape == (2, 2, 1, 24, 32)
    assert 0 <= told.confidence.min() <= told.confidence.max() <= 1
    # Maps and confidence are held still: whatever is learned, is learned through the flow.
    assert not told.reference.requires_grad
    assert not told.confidence.requires_grad
    told.warped.sum().backward()
    for name, parameter in network.named_parameters():
        if name.startswith("flow."):
            assert parameter.grad is not None, name
        if name.startswith(("attention.", "merge.")):
            assert parameter.grad is None, name
    kept = FlexHdr(width=4, layers=1, iterations=1).train()
    assert kept.flow is not None
    torch.nn.init.zeros_(kept.flow.last.weight)
    kept.flow.last.requires_grad_(False)
    told = kept.reconstruct(frames, times, alignment=kind).alignment  # type: ignore[arg-type]
    assert told is not None
    told.warped.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in kept.parameters())


def test_a_flow_learns_a_shift_from_the_photometric_loss() -> None:
    from model.losses.hdr import photometric_loss

    torch.manual_seed(0)
    network = FlexHdr(width=8, growth=2, layers=1, iterations=4, reach_px=16).train()
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    scene = functional.interpolate(coarse, size=(48, 48), mode="bicubic").clamp(0.1, 0.9)
    frames = torch.stack([scene[..., 3:35, 8:40], scene[..., 8:40, 8:40]], 1)
    times = torch.ones(4, 2)
    rate = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(16):
        rate.zero_grad()
        told = network.reconstruct(frames, times, 1, alignment="radiance").alignment
        assert told is not None
        loss = photometric_loss(told)
        loss.backward()
        rate.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_halo_is_how_far_a_pixel_looks() -> None:
    """Every part that is on adds what it looks at; none of them is forgotten."""
    for flow, attention, layers in itertools.product((True, False), (True, False), (1, 2)):
        network = FlexHdr(width=4, layers=layers, reach_px=8, flow=flow, attention=attention)
        want = 1 + 9 * flow + 3 * attention + 3 * (layers + 1) + 3
        assert network.halo_px == want
