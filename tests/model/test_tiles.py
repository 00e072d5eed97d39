# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.fusion_model import StackPixels, TensorStack, Tile
from model.tiles import fuse, fuse_tiles, tile_areas


class Neighbourhood:
    """Looks exactly ``halo_px`` far: the largest value around each pixel of the mean frame."""

    name: str = "neighbourhood"
    output: Literal["fusion", "radiance"] = "fusion"
    device = torch.device("cpu")

    def __init__(self, halo_px: int, align_px: int) -> None:
        self.halo_px = halo_px
        self.align_px = align_px
        self.tiles: list[Tile] = []

    def prepare(self, stack: StackPixels) -> float:
        return 0.5

    def fuse_tile(self, tile: Tile, context: Any) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.tiles.append(tile)
        side = 2 * self.halo_px + 1
        mean = tile.pixels.mean(0, keepdim=True)
        return torch.nn.functional.max_pool2d(mean, side, 1, self.halo_px)[0] * context


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile_px=st.integers(1, 80),
    halo_px=st.integers(0, 9),
    align_px=st.sampled_from((1, 2, 8)),
)
@settings(max_examples=60, deadline=None)
def test_every_tile_size_gives_the_same_picture(
    height: int, width: int, tile_px: int, halo_px: int, align_px: int
) -> None:
    pixels = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    model = Neighbourhood(halo_px, align_px)
    result = fuse(model, TensorStack(pixels), tile_px)
    side = 2 * halo_px + 1
    want = torch.nn.functional.max_pool2d(pixels.mean(0, keepdim=True), side, 1, halo_px)[0] * 0.5
    assert torch.equal(result, want)
    for tile in model.tiles:
        assert tile.top % align_px == tile.left % align_px == 0
        assert (tile.image_height, tile.image_width) == (height, width)
        assert max(tile.pixels.shape[2:]) <= max(tile_px, align_px) + 2 * (halo_px + align_px)


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    tile_px=st.integers(1, 90),
    halo_px=st.integers(0, 40),
    align_px=st.sampled_from((1, 4, 8, 32)),
)
@settings(max_examples=100, deadline=None)
def test_cores_cover_each_pixel_once(
    height: int, width: int, tile_px: int, halo_px: int, align_px: int
) -> None:
    seen = torch.zeros(height, width, dtype=torch.int)
    for area in tile_areas(height, width, tile_px=tile_px, halo_px=halo_px, align_px=align_px):
        seen[area.rows, area.cols] += 1
        for core, outer, size in (
            (area.rows, area.outer_rows, height),
            (area.cols, area.outer_cols, width),
        ):
            assert core.start % align_px == outer.start % align_px == 0
            assert outer.start == 0 or core.start - outer.start >= halo_px
            assert outer.stop == size or outer.stop - core.stop >= halo_px
            assert outer.stop == size or outer.stop % align_px == 0
    assert bool((seen == 1).all())


def test_inference_mode_does_not_leak_to_the_caller() -> None:
    stack = TensorStack(torch.rand(2, 3, 20, 20))
    for _ in fuse_tiles(Neighbourhood(1, 1), stack, 8):
        assert not torch.is_inference_mode_enabled()


def test_wrong_use_is_refused() -> None:
    model = Neighbourhood(1, 1)
    with pytest.raises(ValueError, match="at least two frames, not 1"):
        fuse(model, TensorStack(torch.rand(1, 3, 8, 8)))
    with pytest.raises(ValueError, match="tile_px must be at least 1"):
        fuse(model, TensorStack(torch.rand(2, 3, 8, 8)), 0)
    with pytest.raises(ValueError, match="0 x 8 pixels"):
        fuse(model, TensorStack(torch.rand(2, 3, 0, 8)))
    with pytest.raises(ValueError, match="align_px >= 1"):
        fuse(Neighbourhood(1, 0), TensorStack(torch.rand(2, 3, 8, 8)))


def test_a_model_that_returns_the_wrong_shape_is_named() -> None:
    class Wrong(Neighbourhood):
        def fuse_tile(self, tile: Tile, context: Any) -> torch.Tensor:
            return tile.pixels[0, :, 1:]

    with pytest.raises(ValueError, match=r"neighbourhood made \(3, 7, 8\)"):
        fuse(Wrong(1, 1), TensorStack(torch.rand(2, 3, 8, 8)))
