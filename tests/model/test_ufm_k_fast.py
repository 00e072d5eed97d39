# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import pyramids, ufm_k_fast, zoo
from model.fusion_model import TensorStack
from model.metrics import mef_ssim
from model.tiles import fuse
from model.ufm_k import UfmK
from model.ufm_k_fast import FastUfmK, blend_details
from model.ufm_k_levels import raised


def stirred(seed: int = 0) -> UfmK:
    """A network as if it were trained: no layer at its mild start."""
    torch.manual_seed(seed)
    network = UfmK((4, 6, 8, 8))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval()


def pictures(seed: int, *shape: int) -> torch.Tensor:
    """Noise over something smooth, (..., h, w) in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    *batch, height, width = shape
    coarse = torch.rand((*batch, height // 8 + 2, width // 8 + 2), generator=generator)
    smooth = torch.nn.functional.interpolate(
        coarse.reshape(1, -1, *coarse.shape[-2:]), size=(height, width), mode="bilinear"
    ).reshape(shape)
    return 0.8 * smooth + 0.2 * torch.rand(shape, generator=generator)


@pytest.fixture
def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled, as on other devices than a CPU."""
    for module in (pyramids, ufm_k_fast):
        monkeypatch.setattr(module, "compiles", lambda _: False)


@given(count=st.integers(2, 6), height=st.integers(1, 60), width=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_any_count_and_size_give_a_picture(count: int, height: int, width: int) -> None:
    frames = pictures(height, count, 3, height, width).round()  # clipped all over
    fused = fuse(FastUfmK(stirred(1)), TensorStack(frames))
    assert fused.shape == (3, height, width)
    assert 0 <= fused.min() <= fused.max() <= 1


@pytest.mark.parametrize(
    ("count", "height", "width", "tile_px"),
    [(2, 300, 413, 64), (3, 261, 600, 128), (5, 41, 77, 16), (2, 7, 3, 8)],
)
def test_tiles_agree_with_the_whole_picture(
    count: int, height: int, width: int, tile_px: int
) -> None:
    model = FastUfmK(stirred(2))
    stack = TensorStack(pictures(width, count, 3, height, width))
    whole = fuse(model, stack, 1024)
    assert fuse(model, stack, tile_px) == pytest.approx(whole, abs=3e-6)


def test_halo_is_needed() -> None:
    model = FastUfmK(stirred(2))
    stack = TensorStack(pictures(3, 2, 3, 200, 200))
    whole = fuse(model, stack, 256)
    model.halo_px = 8
    assert (fuse(model, stack, 64) - whole).abs().max() > 1e-4


def test_blocks_of_the_first_look_agree_with_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = stirred(3)
    stack = TensorStack(pictures(4, 3, 3, 700, 530))
    with torch.inference_mode():
        whole = network.look(stack)
        monkeypatch.setattr("model.ufm_k._BLOCK_PX", 64)
        monkeypatch.setattr("model.ufm_k._PART_PX", 16)
        parts = network.look(stack)
    assert parts.frames == pytest.approx(whole.frames, abs=1e-6)
    assert parts.scores == pytest.approx(whole.scores, abs=1e-5)
    assert parts.blend == pytest.approx(whole.blend, abs=1e-5)


def test_level_three_is_that_of_the_full_form() -> None:
    network = stirred(4)
    stack = TensorStack(pictures(5, 3, 3, 330, 470))
    with torch.inference_mode():
        assert network.look(stack).blend == pytest.approx(network.prepare(stack).coarse, abs=1e-5)


def test_compiled_loops_do_what_torch_does(by_torch: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FastUfmK(stirred(5))
    stack = TensorStack(pictures(6, 3, 3, 301, 452))
    slow = fuse(model, stack)
    monkeypatch.undo()
    assert fuse(model, stack) == pytest.approx(slow, abs=1e-5)


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_first_look_at_a_frame_is_the_same_in_float64(height: int, width: int, seed: int) -> None:
    frame = pictures(seed, 3, height, width)
    compiled, plain = raised(frame, 3), raised(frame.double(), 3)
    scale = plain.abs().amax((-1, -2), keepdim=True).clamp(min=1)
    assert (compiled / scale) == pytest.approx((plain / scale).float(), abs=1e-5)


def test_order_of_frames_does_not_matter() -> None:
    model = FastUfmK(stirred(6))
    frames = pictures(7, 5, 3, 190, 200)
    other = fuse(model, TensorStack(frames[[3, 0, 4, 1, 2]]))
    assert other == pytest.approx(fuse(model, TensorStack(frames)), abs=2e-6)


def test_threads_do_not_change_a_byte() -> None:
    model = FastUfmK(stirred(7))
    stack = TensorStack(pictures(8, 2, 3, 500, 300))
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            results.append(fuse(model, stack, 256))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[1], results[2])
    assert results[0] == pytest.approx(results[1], abs=1e-6)


def test_a_frame_that_is_not_preferred_leaves_no_trace() -> None:
    frames = pictures(9, 2, 3, 200, 240)
    smaller = pyramids.reduce(frames)
    preference = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, *smaller.shape[2:])
    blend, lifted = blend_details(frames, smaller, preference, smaller[0])
    assert blend == pytest.approx(frames[0], abs=1e-6)
    assert torch.equal(lifted[0], torch.ones(200, 240))


def test_of_frames_wanted_alike_the_one_with_energy_is_seen() -> None:
    sharp = pictures(10, 1, 3, 200, 200)
    frames = torch.cat([sharp, torch.full_like(sharp, 0.9)])
    smaller = pyramids.reduce(frames)
    preference = torch.full((2, *smaller.shape[2:]), 0.5)
    blend, _ = blend_details(frames, smaller, preference, torch.zeros_like(smaller[0]))
    details = sharp[0] - pyramids.expand(smaller[0], (200, 200))
    assert blend == pytest.approx(details, abs=0.02)


def test_zoo_makes_the_fast_form_of_models_that_have_one() -> None:
    for name in zoo.names():
        model = zoo.load(name)
        assert (zoo.fast_form(model) is not model) == (name in zoo.WITH_FAST_FORM)


@pytest.mark.parametrize("name", ["mef_ma2015/Cave", "sice_1024/train_11", "mef_misc/ColorChecker"])
def test_little_is_lost_on_real_stacks(shared: Path, name: str) -> None:
    files = sorted(
        path
        for path in (shared / "data" / name).iterdir()
        if path.suffix.lower() in (".png", ".jpg") and not path.stem.startswith("Label")
    )[:3]
    frames = [np.ascontiguousarray(cv2.imread(str(file))[..., ::-1]) for file in files]
    planes = np.stack([frame.transpose(2, 0, 1) for frame in frames]).astype(np.float32) / 255
    model = zoo.load("ufm_k")
    results = [
        fuse(one, TensorStack(torch.from_numpy(planes))).mul(255).round().byte()
        for one in (model, zoo.fast_form(model))
    ]
    full, fast = (
        mef_ssim.score(frames, result.permute(1, 2, 0).contiguous().numpy()).values["gray_ms3"]
        for result in results
    )
    assert full is not None
    assert fast is not None
    assert fast > full - 0.004
