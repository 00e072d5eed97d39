# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from model import afunet as module
from model.afunet import AfuNet
from model.fusion_model import TensorStack
from model.tiles import fuse
from tests.model.tiny_hdr import afunet, seeded, stacks


def psnr(one: torch.Tensor, two: torch.Tensor) -> float:
    peak = float(two.max())
    return float(10 * torch.log10(peak**2 / (one - two).square().mean()))


def test_parts_have_the_published_sizes() -> None:
    with torch.device("meta"):
        network = AfuNet()

    def count(*parts: torch.nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters())

    stages = list(network.stages)
    assert count(*(s.refine for s in stages), *(s.refined for s in stages)) == 1_050_192
    assert count(*(s.align for s in stages)) == 2 * 12_360
    assert count(*(s.cross for s in stages)) == 2 * 10_184
    assert count(*(s.degrade for s in stages)) == 2 * 9_504
    assert count(*(s.observe for s in stages)) == count(*(s.invert for s in stages)) == 9_504
    assert count(*(s.fuse for s in stages)) == 18_720
    assert count(network.shallow) == 3 * 1_320
    assert (count(network.skip), count(network.tail), count(network.norm)) == (5_208, 651, 144)
    assert sum(s.steps.numel() for s in stages) == 8


def test_a_sample_of_a_large_picture_speaks_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLE_PX", 32)
    frames, times = stacks(1, 3, 110, 120)
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(3))
    frames = (frames + 0.02 * noise).clamp(0, 1)
    network = seeded(afunet)
    stack = TensorStack(frames[0], tuple(times[0].tolist()))
    with torch.no_grad():
        whole = network(frames, times)[0]
        tiled = fuse(network, stack, 64)
    assert (tiled - whole).abs().max() > 1e-6  # it is a sample
    assert psnr(tiled, whole) > 50


def test_samples_are_spread_evenly_and_lie_on_windows() -> None:
    assert module._sample(500, 600, 8) == [(slice(0, 500), slice(0, 600))]
    for height, width in ((1000, 1500), (6000, 4000), (100, 90_000), (5000, 300)):
        parts = module._sample(height, width, 8)
        assert 1 < len(parts) <= 9
        assert len({(r.stop - r.start, c.stop - c.start) for r, c in parts}) == 1
        for rows, cols in parts:
            assert rows.start % 8 == cols.start % 8 == 0
            assert 0 <= rows.start < rows.stop <= height
            assert 0 <= cols.start < cols.stop <= width
        for axis, size in enumerate((height, width)):
            before = min(part[axis].start for part in parts)
            after = size - max(part[axis].stop for part in parts)
            assert abs(before - after) <= 16  # starts are rounded down to windows


def test_far_away_pixels_do_not_matter() -> None:
    network = seeded(afunet, stages=2).double()
    frames, _ = stacks(1, 3, 16, 144)
    moved = frames.clone()
    moved[..., :40] = 1 - moved[..., :40]
    with torch.no_grad():
        inputs = [torch.cat([x**2.2, x], 2).double() for x in (frames, moved)]
        one, used = network._run(inputs[0], 1)  # type: ignore[operator]
        two, _ = network._run(inputs[1], 1, given=used)  # type: ignore[operator]
    difference = (one - two).abs().amax((0, 1, 2))
    assert difference[:40].max() > 1e-2
    assert difference[40 + network.halo_px :].max() < 1e-6
