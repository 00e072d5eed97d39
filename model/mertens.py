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

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from model.fusion_model import StackPixels, Tile
from model.pyramids import expand, reduce, reduce_times, size_at, slice_at
from model.tiles import TileArea, tile_areas

__all__ = ["COARSE_LEVEL", "Mertens", "MertensContext"]

COARSE_LEVEL = 3
"""The pyramid level that ``prepare`` works at; one more would double the halo of every tile."""

_BLOCK_PX = 512
"""Side of the blocks in which ``prepare`` runs through the picture."""


def _float32(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float32))


# Red and blue are swapped, because OpenCV's Mertens takes its input for RGB while its users hand
# it the BGR that cv2.imread gives them. Nobody sees the difference but who compares pixels.
_LUMA = (_float32(0.114), _float32(0.587), _float32(0.299))
_WELL_EXPOSED_SIGMA = 0.2  # section 3.1 of the paper
_ONE_255TH = _float32(1 / 255)
_ONE_THIRD = _float32(1 / 3)
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
    OpenCV's ``createMergeMertens()``: contrast and saturation, without the paper's third measure,
    well-exposedness (``exposure=1`` adds it). Results agree with OpenCV's on frames as
    ``cv2.imread`` gives them, clipped to 0..1. Unlike there, a stack that is grey throughout is
    weighed without saturation, which would be rounding noise everywhere.

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
        size = (size_at(stack.height, level), size_at(stack.width, level))
        frames = torch.empty(stack.count, 3, *size, device=self.device)
        weights = torch.empty(stack.count, 1, *size, device=self.device)
        has_colour = any(_has_colour(pixels) for _, pixels in self._blocks(stack))
        for area, pixels in self._blocks(stack):
            rows, cols = (slice_at(part, level) for part in (area.rows, area.cols))
            inner = tuple(slice_at(part, level) for part in area.inner)
            weight = self._weights(pixels, has_colour)
            for k in range(stack.count):
                frames[k, :, rows, cols] = reduce_times(pixels[k], level)[:, *inner]
                weights[k, :, rows, cols] = reduce_times(weight[k], level)[:, *inner]
        coarse = _blend(frames, weights, depth - level)
        return MertensContext(coarse=coarse, level=level, has_colour=has_colour)

    def fuse_tile(self, tile: Tile, context: MertensContext) -> torch.Tensor:
        """(3, h, w) in 0..1: the tile's finer levels on top of the coarse picture."""
        height, width = tile.pixels.shape[2:]
        rows, cols = (
            slice_at(slice(start, start + size), context.level)
            for start, size in ((tile.top, height), (tile.left, width))
        )
        weights = self._weights(tile.pixels, context.has_colour)
        coarse = context.coarse[:, rows, cols]
        return _blend(tile.pixels, weights, context.level, coarse).clamp_(0, 1)

    def weights(self, frames: torch.Tensor) -> torch.Tensor:
        """How much each frame of a whole picture counts: (K, 1, H, W), sum 1 over K.

        Args:
            frames: (K, 3, H, W) in 0..1.
        """
        return self._weights(frames, _has_colour(frames))

    def _blocks(self, stack: StackPixels) -> Iterator[tuple[TileArea, torch.Tensor]]:
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
# _LEAST_WEIGHT. One rounding a step (no ``alpha=``, no convolution) makes them the same for any
# tile and on any device.


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
    return (scaled - mean).square().sum(0).sqrt()


def _well_exposedness(frame: torch.Tensor) -> torch.Tensor:
    """Product over the channels of a Gaussian around 0.5, (h, w)."""
    distance = (frame - 0.5).square_().sum(0)
    return distance.mul_(-1 / (2 * _WELL_EXPOSED_SIGMA**2)).exp_()


def _power(measure: torch.Tensor, exponent: float) -> torch.Tensor:
    return measure if exponent == 1 else measure.pow(exponent)


def _has_colour(frames: torch.Tensor) -> bool:
    return not torch.equal(frames[:, :2], frames[:, 1:])


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
        frames.new_zeros(3, size_at(height, level), size_at(width, level))
        for level in range(levels)
    ]
    above = frames.new_zeros(3, size_at(height, levels), size_at(width, levels))
    for frame, weight in zip(frames, weights, strict=True):
        for detail in details:
            smaller = reduce(frame)
            expanded = expand(smaller, detail.shape[1:])
            detail.addcmul_(weight, torch.sub(frame, expanded, out=expanded))
            frame, weight = smaller, reduce(weight)
        if top is None:
            above.addcmul_(weight, frame)
    result = above if top is None else top
    for detail in reversed(details):
        result = detail.add_(expand(result, detail.shape[1:]))
    return result
