# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.fusion_model import TensorStack
from model.mertens import Mertens
from model.tiles import fuse


def tensor_stack(frames: list[np.ndarray]) -> TensorStack:
    """RGB frames (H, W, 3) uint8 as a stack."""
    planes = [torch.from_numpy(frame.transpose(2, 0, 1).astype(np.float32)) for frame in frames]
    return TensorStack(torch.stack(planes) / 255)


def fused(
    frames: list[np.ndarray], model: Mertens | None = None, tile_px: int = 1024
) -> np.ndarray:
    """(H, W, 3) float32."""
    return fuse(model or Mertens(), tensor_stack(frames), tile_px).numpy().transpose(1, 2, 0)


def opencv(frames: list[np.ndarray], weights: tuple[float, float, float] = (1, 1, 0)) -> np.ndarray:
    """What OpenCV makes of the frames when it is given them as cv2.imread reads them."""
    merge = cv2.createMergeMertens(*weights)
    result = merge.process([frame[..., ::-1].astype(np.float32) for frame in frames])
    return result.clip(0, 1)[..., ::-1]


def scene(seed: int, count: int, height: int, width: int) -> list[np.ndarray]:
    """A coloured, noisy scene at ``count`` exposures, clipped at both ends."""
    rng = np.random.default_rng(seed)
    light = rng.random((height, width, 3)) * np.linspace(0.05, 1, width)[None, :, None]
    return [
        np.rint((light * 2.0**k).clip(0, 1) * 255).astype(np.uint8)
        for k in np.linspace(-1, 3, count)
    ]


@given(
    count=st.integers(2, 9),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_agrees_with_opencv_at_any_size(count: int, height: int, width: int, seed: int) -> None:
    frames = scene(seed, count, height, width)
    # Where two exposures have no contrast at all OpenCV lets rounding errors decide, and makes
    # them differently in the last columns of rows that do not fill its vector registers.
    assert np.median(abs(fused(frames) - opencv(frames))) < 1e-5
    if width % 8 < 4:
        assert fused(frames) == pytest.approx(opencv(frames), abs=1e-4)


@pytest.mark.parametrize("weights", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (2, 0.5, 1)])
def test_each_measure_agrees_with_opencv(weights: tuple[float, float, float]) -> None:
    frames = scene(3, 3, 64, 96)
    contrast, saturation, exposure = weights
    model = Mertens(contrast=contrast, saturation=saturation, exposure=exposure)
    assert fused(frames, model) == pytest.approx(opencv(frames, weights), abs=1e-4)


REAL = [
    *(f"mef_ma2015/{name}" for name in ("Arno", "Cave", "Mask", "Office", "Tower", "Venice")),
    *(f"exif_stacks/{name}" for name in ("frobisher_001", "lighthouse", "stack_room")),
    *(f"mefb/{name}" for name in ("Igloo", "Preschool", "tianchi", "Memorial")),
]


@pytest.mark.parametrize("name", REAL)
def test_agrees_with_opencv_on_real_stacks(shared: Path, name: str) -> None:
    files = sorted(p for p in (shared / "data" / name).iterdir() if p.suffix != ".txt")
    frames = [cv2.imread(str(file))[..., ::-1] for file in files]
    difference = abs(fused(frames) - opencv(frames))
    assert difference.max() < 1 / 255
    assert np.mean(difference > 1e-4) < 0.002


@given(
    count=st.integers(2, 4),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    tile_px=st.integers(1, 100),
)
@settings(max_examples=25, deadline=None)
def test_every_tile_size_gives_the_same_picture(
    count: int, height: int, width: int, tile_px: int
) -> None:
    frames = scene(height, count, height, width)
    assert fused(frames, tile_px=tile_px) == pytest.approx(fused(frames, tile_px=4096), abs=1e-5)


def test_prepare_works_in_blocks() -> None:
    class Watched(TensorStack):
        largest = 0

        def tile(self, rows: slice, cols: slice) -> torch.Tensor:
            part = super().tile(rows, cols)
            Watched.largest = max(Watched.largest, part.shape[2] * part.shape[3])
            return part

    frames = scene(1, 2, 600, 1300)
    stack = Watched(tensor_stack(frames).pixels)
    tiled = fuse(Mertens(), stack, 256).numpy().transpose(1, 2, 0)
    assert Watched.largest <= 544 * 544
    difference = abs(tiled - opencv(frames))
    assert difference[:, :-64].max() < 1e-4


@given(count=st.integers(2, 9), height=st.integers(1, 70), width=st.integers(1, 70))
@settings(max_examples=20, deadline=None)
def test_identical_frames_return_themselves(count: int, height: int, width: int) -> None:
    frame = scene(width, 2, height, width)[1]
    assert fused([frame] * count) == pytest.approx(frame / 255, abs=2e-6)


def test_order_of_frames_does_not_matter() -> None:
    frames = scene(5, 4, 50, 60)
    assert fused(frames) == pytest.approx(fused(frames[::-1]), abs=1e-5)


def test_grey_stacks_are_fused_by_contrast() -> None:
    frames = [frame[..., 1] for frame in scene(6, 3, 64, 64)]
    want = cv2.createMergeMertens().process([frame.astype(np.float32) for frame in frames])
    result = fused([np.repeat(frame[..., None], 3, 2) for frame in frames])
    for channel in range(3):
        assert result[..., channel] == pytest.approx(want.clip(0, 1), abs=1e-4)


def test_result_is_a_picture() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.choice([0, 255], (33, 47, 3)).astype(np.uint8) for _ in range(3)]
    result = fused(frames)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1


def test_negative_exponents_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Mertens(contrast=-1)
