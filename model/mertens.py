# SPDX-License-Identifier: Apache-2.0
"""Exposure fusion after T. Mertens, J. Kautz and F. Van Reeth, Pacific Graphics 2007.

The classical baseline. Every pixel of every frame is weighed by its contrast, its saturation and
how well it is exposed; the frames' Laplacian pyramids are blended under the Gaussian pyramids of
the weights (P. Burt and T. Adelson 1983) and the blend is collapsed.

Pyramids reach over the whole picture, which a tile does not see. So the work is split at level
:data:`COARSE_LEVEL`: ``prepare`` runs through the picture in blocks to collect that level of all
pyramids (1/64 of the pixels), blends and collapses it and all above into one coarse picture, the
context. ``fuse_tile`` builds the finer levels of its tile and adds the coarse picture to them.
The result is that of the undivided method, in memory that depends on the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from model.fusion_model import StackPixels, Tile
from model.tiles import TileArea, tile_areas

__all__ = ["COARSE_LEVEL", "Mertens"]

COARSE_LEVEL = 3
"""The pyramid level that ``prepare`` works at; one more would double the halo of every tile."""

_BLOCK_PX = 512
"""Side of the blocks in which ``prepare`` runs through the picture."""

_LUMA = tuple(torch.tensor([0.114, 0.587, 0.299]).tolist())
_WELL_EXPOSED_SIGMA = 0.2  # section 3.1 of the paper
_ONE_255TH = torch.tensor(1 / 255).item()  # in float32, as all constants here
_ONE_THIRD = torch.tensor(1 / 3).item()
_LEAST_WEIGHT = 1e-12  # so that pixels without any merit in all frames are averaged


@dataclass(frozen=True, kw_only=True)
class MertensContext:
    """What a tile must know of the whole picture.

    ``coarse`` (3, h, w) is the blend of all levels from ``level`` up, at that level's size;
    ``has_colour`` is False where every frame is grey.
    """

    coarse: torch.Tensor
    level: int
    has_colour: bool


class Mertens:
    """Exposure fusion of K >= 2 frames; a fixed formula without weights to train.

    The exponents say how much each measure counts; 0 switches it off. The defaults are those of
    OpenCV's ``createMergeMertens()``, with which results agree: contrast and saturation, without
    the paper's third measure, well-exposedness (``exposure=1`` adds it). Unlike there, a stack
    that is grey throughout is weighed without saturation, which would be zero everywhere.

    Args:
        device: Where to compute.
        contrast: Exponent of the absolute Laplacian of the luminance.
        saturation: Exponent of the standard deviation over the channels.
        exposure: Exponent of the Gaussian of every channel's distance from 0.5.
    """

    name: str = "mertens"
    output: Literal["fusion", "radiance"] = "fusion"
    align_px: int = 2**COARSE_LEVEL
    # A result pixel sees 2 + 4 px of level 2 on its way down, that sees 8 px of level 3, which
    # sees 2 + 4 + 8 px of weights, which see 1 px of luminance.
    halo_px: int = 29

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        contrast: float = 1.0,
        saturation: float = 1.0,
        exposure: float = 0.0,
    ) -> None:
        if min(contrast, saturation, exposure) < 0:
            raise ValueError("the exponents of the weights must not be negative")
        self.device = torch.device(device)
        self._contrast = contrast
        self._saturation = saturation
        self._exposure = exposure

    def prepare(self, stack: StackPixels) -> MertensContext:
        """Blend the levels that reach further than a tile, in blocks of bounded size."""
        depth = min(stack.height, stack.width).bit_length() - 1  # OpenCV's: int(log2(shorter))
        level = min(COARSE_LEVEL, depth)
        size = (_at_level(stack.height, level), _at_level(stack.width, level))
        frames = torch.empty(stack.count, 3, *size, device=self.device)
        weights = torch.empty(stack.count, 1, *size, device=self.device)
        has_colour = any(_has_colour(pixels) for _, pixels in self._blocks(stack))
        for area, pixels in self._blocks(stack):
            rows, cols = (_slice_at_level(part, level) for part in (area.rows, area.cols))
            inner = tuple(_slice_at_level(part, level) for part in area.inner)
            weight = self._weights(pixels, has_colour)
            for k in range(stack.count):
                frames[k, :, rows, cols] = _reduce_times(pixels[k], level)[:, *inner]
                weights[k, :, rows, cols] = _reduce_times(weight[k], level)[:, *inner]
        coarse = _blend(frames, weights, depth - level)
        return MertensContext(coarse=coarse, level=level, has_colour=has_colour)

    def fuse_tile(self, tile: Tile, context: MertensContext) -> torch.Tensor:
        """(3, h, w) in 0..1: the tile's finer levels on top of the coarse picture."""
        height, width = tile.pixels.shape[2:]
        rows, cols = (
            _slice_at_level(slice(start, start + size), context.level)
            for start, size in ((tile.top, height), (tile.left, width))
        )
        weights = self._weights(tile.pixels, context.has_colour)
        coarse = context.coarse[:, rows, cols]
        return _blend(tile.pixels, weights, context.level, coarse).clamp_(0, 1)

    def _blocks(self, stack: StackPixels) -> Iterable[tuple[TileArea, torch.Tensor]]:
        reach = 2 * (2**COARSE_LEVEL - 1) + 1  # of a Gaussian pyramid, and of the Laplacian
        for area in tile_areas(
            stack.height,
            stack.width,
            tile_px=_BLOCK_PX,
            halo_px=reach,
            align_px=self.align_px,
        ):
            yield area, stack.tile(area.outer_rows, area.outer_cols).to(self.device)

    def _weights(self, frames: torch.Tensor, has_colour: bool) -> torch.Tensor:
        """(K, 1, h, w), sum 1 over K, of (K, 3, h, w)."""
        weights = torch.empty_like(frames[:, :1])
        for frame, weight in zip(frames, weights[:, 0], strict=True):
            scaled = _scaled(frame)
            weight.fill_(1.0)
            if self._contrast:
                weight.mul_(_power(_contrast(scaled), self._contrast))
            if self._saturation and has_colour:
                weight.mul_(_power(_saturation(scaled), self._saturation))
            if self._exposure:
                weight.mul_(_power(_well_exposedness(scaled), self._exposure))
            weight.add_(_LEAST_WEIGHT)
        return weights.div_(weights.sum(0, keepdim=True))


# The measures, in OpenCV's order of operations and with its roundings: where all frames lack
# contrast or colour, the weights are nothing but rounding errors, which still exceed
# _LEAST_WEIGHT. One rounding a step makes them the same for any tile and on any device.


def _scaled(frame: torch.Tensor) -> torch.Tensor:
    """The frame as OpenCV makes it of 0..255; differs by a rounding at most."""
    return frame.mul(255).mul_(_ONE_255TH)


def _contrast(scaled: torch.Tensor) -> torch.Tensor:
    """|Laplacian| of the luminance, (h, w), mirrored at the borders."""
    luma = scaled[1] * _LUMA[1]
    for channel in (2, 0):
        # Float64 in between stands for a fused multiply-add.
        luma = (scaled[channel].double().mul_(_LUMA[channel])).add_(luma).float()
    height, width = luma.shape
    padded = luma.new_empty(height + 2, width + 2)
    padded[1:-1, 1:-1] = luma
    padded[0], padded[-1] = padded[min(2, height)], padded[max(height - 1, 1)]
    padded[:, 0], padded[:, -1] = padded[:, min(2, width)], padded[:, max(width - 1, 1)]
    laplacian = padded[:-2, 1:-1] + padded[1:-1, :-2]
    laplacian.sub_(luma.mul_(4)).add_(padded[1:-1, 2:]).add_(padded[2:, 1:-1])
    return laplacian.abs_()


def _saturation(scaled: torch.Tensor) -> torch.Tensor:
    """Deviation over the channels, (h, w): the root of the summed squares."""
    mean = (scaled[0] + scaled[1]).add_(scaled[2]).mul_(_ONE_THIRD)
    return (scaled - mean).square_().sum(0).sqrt_()


def _well_exposedness(frame: torch.Tensor) -> torch.Tensor:
    """Product over the channels of a Gaussian around 0.5, (h, w)."""
    distance = (frame - 0.5).square_().sum(0)
    return distance.mul_(-1 / (2 * _WELL_EXPOSED_SIGMA**2)).exp_()


def _power(measure: torch.Tensor, exponent: float) -> torch.Tensor:
    return measure if exponent == 1 else measure.pow_(exponent)


def _has_colour(frames: torch.Tensor) -> bool:
    return not torch.equal(frames[:, :2], frames[:, 1:])


# Pyramids.


def _blend(
    frames: torch.Tensor,
    weights: torch.Tensor,
    levels: int,
    top: torch.Tensor | None = None,
) -> torch.Tensor:
    """Blend ``levels`` Laplacian levels of (K, 3, h, w) under (K, 1, h, w) and collapse them.

    What they stand on is ``top``, or else the blend of the Gaussian level above them.
    """
    height, width = frames.shape[2:]
    details = [
        frames.new_zeros(3, _at_level(height, level), _at_level(width, level))
        for level in range(levels)
    ]
    above = frames.new_zeros(3, _at_level(height, levels), _at_level(width, levels))
    for frame, weight in zip(frames, weights, strict=True):
        for detail in details:
            smaller = _reduce(frame)
            expanded = _expand(smaller, detail.shape[1:])
            detail.addcmul_(weight, torch.sub(frame, expanded, out=expanded))
            frame, weight = smaller, _reduce(weight)
        if top is None:
            above.addcmul_(weight, frame)
    result = above if top is None else top
    for detail in reversed(details):
        result = detail.add_(_expand(result, detail.shape[1:]))
    return result


def _at_level(size: int, level: int) -> int:
    """Pixels that are left of ``size`` after halving it ``level`` times, rounded up."""
    return (size + (1 << level) - 1) >> level


def _slice_at_level(part: slice, level: int) -> slice:
    return slice(part.start >> level, _at_level(part.stop, level))


def _reduce_times(picture: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        picture = _reduce(picture)
    return picture


def _reduce(picture: torch.Tensor) -> torch.Tensor:
    """Smooth (..., h, w) with [1 4 6 4 1] / 16 and drop every second pixel, mirrored borders."""
    return _reduce_along(_reduce_along(picture, -2), -1)


def _reduce_along(x: torch.Tensor, axis: int) -> torch.Tensor:
    size = x.shape[axis]
    if size == 1:
        return x.clone()
    even = _every_second(x, axis, 0)
    odd = _every_second(x, axis, 1)
    count, pairs = even.shape[axis], odd.shape[axis]
    result = even * 0.375
    result.narrow(axis, 0, pairs).add_(odd, alpha=0.25)
    result.narrow(axis, 1, count - 1).add_(odd.narrow(axis, 0, count - 1), alpha=0.25)
    result.narrow(axis, 1, count - 1).add_(even.narrow(axis, 0, count - 1), alpha=0.0625)
    result.narrow(axis, 0, count - 1).add_(even.narrow(axis, 1, count - 1), alpha=0.0625)
    first, last = result.select(axis, 0), result.select(axis, -1)
    first.add_(odd.select(axis, 0), alpha=0.25)
    first.add_(even.select(axis, min(1, count - 1)), alpha=0.0625)
    if size % 2:
        last.add_(odd.select(axis, -1), alpha=0.25)
        last.add_(even.select(axis, -2), alpha=0.0625)
    else:
        last.add_(even.select(axis, -1), alpha=0.0625)
    return result


def _every_second(x: torch.Tensor, axis: int, first: int) -> torch.Tensor:
    return x[..., first::2, :] if axis == -2 else x[..., first::2]


def _expand(picture: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Undo :func:`_reduce` as far as that goes: (..., h, w) to ``size``, 2 h - 1 or 2 h each.

    Zeros between the pixels, then twice the same filter; mirrored at the top and left, while the
    last pixel is repeated at the bottom and right (as OpenCV does).
    """
    return _expand_along(_expand_along(picture, -1, size[1]), -2, size[0])


def _expand_along(x: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    count = x.shape[axis]
    shape = list(x.shape)
    shape[axis] = size
    result = x.new_empty(shape)
    even = _every_second(result, axis, 0)
    odd = _every_second(result, axis, 1)
    torch.mul(x, 0.75, out=even)
    even.narrow(axis, 1, count - 1).add_(x.narrow(axis, 0, count - 1), alpha=0.125)
    even.narrow(axis, 0, count - 1).add_(x.narrow(axis, 1, count - 1), alpha=0.125)
    even.select(axis, 0).add_(x.select(axis, min(1, count - 1)), alpha=0.125)
    even.select(axis, -1).add_(x.select(axis, -1), alpha=0.125)
    between = odd.narrow(axis, 0, count - 1)
    torch.add(x.narrow(axis, 0, count - 1), x.narrow(axis, 1, count - 1), out=between)
    between.mul_(0.5)
    if size == 2 * count:
        odd.select(axis, -1).copy_(x.select(axis, -1))
    return result
