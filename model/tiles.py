# SPDX-License-Identifier: Apache-2.0
"""The one tiler, for every model: any photograph, in memory that depends on the tile only.

An image is cut into a grid of cores. Each core is fused together with a halo of its surroundings,
as wide as the model looks (``halo_px``), and the halo of the result is thrown away; so the result
does not depend on the tile's size. Grown rectangles start at multiples of ``align_px``, so that
what a model halves stays in step with the whole image, and end at the image's own borders where
they meet them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from model.fusion_model import FusionModel, StackPixels, Tile

__all__ = ["TileArea", "fuse", "fuse_tiles", "tile_areas"]


@dataclass(frozen=True)
class TileArea:
    """A core (``rows``, ``cols``) and the same grown by the halo (``outer_*``), in image pixels."""

    rows: slice
    cols: slice
    outer_rows: slice
    outer_cols: slice

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the core lies inside the grown rectangle."""
        return (
            slice(self.rows.start - self.outer_rows.start, self.rows.stop - self.outer_rows.start),
            slice(self.cols.start - self.outer_cols.start, self.cols.stop - self.outer_cols.start),
        )


def tile_areas(
    height: int, width: int, *, tile_px: int, halo_px: int, align_px: int
) -> Iterator[TileArea]:
    """The grid over an image, row by row; cores cover every pixel exactly once.

    Args:
        tile_px: Side of a core; rounded down to a multiple of ``align_px``, but at least that.
        halo_px: Least width of the halo, except at the image's borders; rounded up to a multiple
            of ``align_px``.

    Raises:
        ValueError: A size is not positive, or the halo is negative.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be tiled")
    if tile_px < 1:
        raise ValueError(f"tile_px must be at least 1, not {tile_px}")
    if align_px < 1 or halo_px < 0:
        raise ValueError(f"need align_px >= 1 and halo_px >= 0, not {align_px} and {halo_px}")
    side = max(tile_px // align_px, 1) * align_px
    halo = -(-halo_px // align_px) * align_px

    def grown(start: int, size: int) -> tuple[slice, slice]:
        stop = min(start + side, size)
        return slice(start, stop), slice(max(start - halo, 0), min(stop + halo, size))

    for top in range(0, height, side):
        rows, outer_rows = grown(top, height)
        for left in range(0, width, side):
            cols, outer_cols = grown(left, width)
            yield TileArea(rows, cols, outer_rows, outer_cols)


def fuse_tiles(
    model: FusionModel, stack: StackPixels, tile_px: int = 1024
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Fuse a stack tile by tile, row by row.

    Yields:
        The rows and columns of a core and its result (3, h, w), on the model's device.

    Raises:
        ValueError: The stack has fewer than two frames, and the model is not one for single ones,
            or no pixels; ``tile_px`` is not positive, or the model returned something that is not
            (3, h, w).
    """
    if stack.count < 2 and getattr(model, "min_frames", 2) != 1:
        raise ValueError(f"fusing needs at least two frames, not {stack.count}")
    areas = tile_areas(
        stack.height,
        stack.width,
        tile_px=tile_px,
        halo_px=model.halo_px,
        align_px=model.align_px,
    )
    first = next(areas)  # wrong sizes are reported before the model starts to work
    with torch.inference_mode():
        context = model.prepare(stack)
    yield (first.rows, first.cols, _fuse_area(model, stack, first, context))
    for area in areas:
        yield (area.rows, area.cols, _fuse_area(model, stack, area, context))


def fuse(model: FusionModel, stack: StackPixels, tile_px: int = 1024) -> torch.Tensor:
    """Fuse a stack into one picture, (3, H, W) float32 on the CPU.

    Raises:
        ValueError: As :func:`fuse_tiles` does.
    """
    result = torch.empty(3, stack.height, stack.width)
    for rows, cols, part in fuse_tiles(model, stack, tile_px):
        result[:, rows, cols] = part
    return result


# A function of its own, not a block in the generator: inference mode must not leak to the caller
# while the generator is suspended.
@torch.inference_mode()
def _fuse_area(
    model: FusionModel, stack: StackPixels, area: TileArea, context: object
) -> torch.Tensor:
    pixels = stack.tile(area.outer_rows, area.outer_cols).to(model.device)
    tile = Tile(
        pixels=pixels,
        top=area.outer_rows.start,
        left=area.outer_cols.start,
        image_height=stack.height,
        image_width=stack.width,
    )
    result = model.fuse_tile(tile, context)
    if result.shape != (3, *pixels.shape[2:]):
        raise ValueError(
            f"model {model.name} made {tuple(result.shape)} of a tile {tuple(pixels.shape)}; "
            f"(3, {pixels.shape[2]}, {pixels.shape[3]}) was due"
        )
    rows, cols = area.inner
    return result[:, rows, cols]
