# SPDX-License-Identifier: Apache-2.0
"""UFM-K: any number of exposures in, a weight map for each frame and each pyramid level out.

An unsupervised fusion network of our own, for brackets of two to many frames. Frames go through
one shared encoder and learn of each other through a maximum over the frames alone, so their order
and number do not matter. The network runs down the frames' Laplacian pyramids (P. Burt and T.
Adelson 1983) from the coarsest level to the finest. At every level it is handed six measures of
each frame and what it made of the level above, and answers with weights (a softmax over the
frames, as in arXiv 2510.21815) under which that level's details are blended, and with a factor
that tones the details down where they would leave the displayable range. One set of layers serves
all levels from the fourth on, so the pyramid is as deep as the picture asks for.

The scores start from the classical rule that the frame with the most local energy wins (P. Burt
and R. Kolczynski 1993); training sets how strict that rule is and learns what to add to it.

A tile sees levels 0 to 2. All that lies above is worked out once for the whole picture, in
blocks of bounded size, and is the context (compare ``model.mertens``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch.nn import functional

from model.fusion_model import StackPixels, Tile
from model.fusion_network import Fusion, FusionNetwork
from model.luma import luma
from model.pyramids import expand, reduce, size_at, slice_at
from model.tiles import TileArea, tile_areas

__all__ = ["UfmK", "UfmKContext"]

_MEASURES = 6
_COARSE_LEVEL = 3
"""The pyramid level up to which a tile works on its own."""
_BLOCK_PX = 512
_REACH_PX = 48  # how far a pixel of level 3 looks when the pyramids are built
_WELL_EXPOSED_SIGMA = 0.2  # Mertens, Kautz and Van Reeth 2007, section 3.1
_LEAST_ENERGY = 0.05  # of 8-bit steps squared: below it is rounding
_SLOPE = 0.1  # of the leaky rectifiers
_KEEP = 3.0  # details start with a factor of sigmoid(3) = 0.95


@dataclass(frozen=True)
class _Gaussian:
    """A Gaussian level of a batch: ``frames`` (B, K, 3, h, w) in 0..1; the energy of all finer
    details, the share of well-exposed pixels and the saturation, (B, K, 1, h, w), smoothed like
    the frames."""

    frames: torch.Tensor
    energy: torch.Tensor
    exposed: torch.Tensor
    saturation: torch.Tensor


@dataclass(frozen=True)
class _Level:
    """A Laplacian level: ``details`` (B, K, 3, h, w), ``measures`` (B, K, 6, h, w) and the log of
    the local energy of the details, (B, K, 1, h, w)."""

    details: torch.Tensor
    measures: torch.Tensor
    activity: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class UfmKContext:
    """What a tile must know of the whole picture: the blend of all levels from the third up,
    (1, 3, h, w), and the network's state there, (1, K, C, h, w)."""

    coarse: torch.Tensor
    state: torch.Tensor


class UfmK(FusionNetwork):
    """The K-frame network; a ``FusionModel`` as well, for pictures of any size.

    Args:
        widths: Channels at levels 0, 1, 2 and at all above.
        exposedness: How strongly the level that the pyramid stands on goes for the frame in which
            a place is neither dark nor bright, for two frames and for more; 0 leaves that to the
            network. Not trained: the more, the flatter the whole picture, which no crop of
            training shows. Of two frames often neither is well exposed, so they need less of it.

    Raises:
        ValueError: There are not four widths, or one is not positive, or ``exposedness`` is
            not two numbers of at least 0.
    """

    name: ClassVar[str] = "ufm_k"
    output: Literal["fusion", "radiance"] = "fusion"
    align_px: int = 2**_COARSE_LEVEL
    halo_px: int = 64

    def __init__(
        self,
        widths: Sequence[int] = (8, 16, 24, 32),
        exposedness: Sequence[float] = (0.14, 0.69),
    ) -> None:
        widths = [int(width) for width in widths]
        exposedness = [float(pull) for pull in exposedness]
        super().__init__({"widths": widths, "exposedness": exposedness})
        if len(widths) != _COARSE_LEVEL + 1 or min(widths) < 1:
            raise ValueError(f"widths are four positive numbers of channels, not {widths}")
        if len(exposedness) != 2 or not all(0 <= pull < math.inf for pull in exposedness):
            raise ValueError(f"exposedness is two numbers of at least 0, not {exposedness}")
        above = [*widths[1:], widths[-1]]
        self.levels = torch.nn.ModuleList(
            _Block(own, upper, second=index > 0)
            for index, (own, upper) in enumerate(zip(widths, above, strict=True))
        )
        self.top = _Block(widths[-1], None, second=True)
        self.strictness = torch.nn.Parameter(torch.ones(len(widths)))
        self.exposedness = exposedness

    def forward(self, frames: torch.Tensor) -> Fusion:
        """Fuse (B, K, 3, H, W), K >= 2, in any order, H and W at least 1.

        Raises:
            ValueError: The stacks are of another shape.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"stacks are (B, K, 3, H, W), not {tuple(frames.shape)}")
        self.check_count(frames.shape[1])
        depth = _depth(*frames.shape[3:])
        levels, top = _levels(_finest(frames), depth)
        blend, state, weights = self._top(top)
        blend, _, weights = self._descend(levels, 0, blend, state, weights)
        fused = blend.clamp(0, 1)
        return Fusion(fused, weights, (blend - fused).abs().mean((1, 2, 3)))

    def prepare(self, stack: StackPixels) -> UfmKContext:
        """Work out all levels that reach further than a tile.

        Raises:
            ValueError: The stack has a single frame.
        """
        self.check_count(stack.count)
        depth = _depth(stack.height, stack.width)
        levels, top = _levels(self._coarse(stack), depth - _COARSE_LEVEL)
        blend, state, weights = self._top(top)
        blend, state, _ = self._descend(levels, _COARSE_LEVEL, blend, state, weights)
        return UfmKContext(coarse=blend, state=state)

    def fuse_tile(self, tile: Tile, context: UfmKContext) -> torch.Tensor:
        """(3, h, w) in 0..1: the tile's finer levels on top of the context."""
        height, width = tile.pixels.shape[2:]
        rows, cols = (
            slice_at(slice(start, start + size), _COARSE_LEVEL)
            for start, size in ((tile.top, height), (tile.left, width))
        )
        levels, _ = _levels(_finest(tile.pixels.unsqueeze(0)), _COARSE_LEVEL)
        coarse, state = context.coarse[..., rows, cols], context.state[..., rows, cols]
        blend, _, _ = self._descend(levels, 0, coarse, state, coarse)
        return blend[0].clamp(0, 1)

    def _coarse(self, stack: StackPixels) -> _Gaussian:
        """The third Gaussian level of the whole picture."""
        size = (size_at(stack.height, _COARSE_LEVEL), size_at(stack.width, _COARSE_LEVEL))
        whole = _Gaussian(
            *(torch.empty(1, stack.count, n, *size, device=self.device) for n in (3, 1, 1, 1))
        )
        for area, pixels in self._blocks(stack):
            rows, cols = (slice_at(part, _COARSE_LEVEL) for part in (area.rows, area.cols))
            top, left = (slice_at(part, _COARSE_LEVEL) for part in area.inner)
            _, part = _levels(_finest(pixels.unsqueeze(0)), _COARSE_LEVEL)
            whole.frames[..., rows, cols] = part.frames[..., top, left]
            whole.energy[..., rows, cols] = part.energy[..., top, left]
            whole.exposed[..., rows, cols] = part.exposed[..., top, left]
            whole.saturation[..., rows, cols] = part.saturation[..., top, left]
        return whole

    def _blocks(self, stack: StackPixels) -> Iterator[tuple[TileArea, torch.Tensor]]:
        for area in tile_areas(
            stack.height,
            stack.width,
            tile_px=_BLOCK_PX,
            halo_px=_REACH_PX,
            align_px=self.align_px,
        ):
            yield area, stack.tile(area.outer_rows, area.outer_cols).to(self.device)

    def _top(self, top: _Gaussian) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The blend that the levels stand on, the first state, and the weights of the blend."""
        brightness = luma(top.frames)
        centred = brightness - brightness.mean((-1, -2), keepdim=True)
        measures, _ = _measures(top, centred)
        state, scores, _ = self.top(measures, None)
        distance = (brightness - 0.5).square() / (2 * _WELL_EXPOSED_SIGMA**2)
        pull = self.exposedness[0 if top.frames.shape[1] == 2 else 1]
        weights = (scores - pull * distance).softmax(1)
        return (weights * top.frames).sum(1), state, weights

    def _descend(
        self,
        levels: Sequence[_Level],
        finest: int,
        blend: torch.Tensor,
        state: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Add levels to a blend, coarsest first; ``levels[0]`` is level ``finest``."""
        for offset in reversed(range(len(levels))):
            level = levels[offset]
            index = min(finest + offset, len(self.levels) - 1)
            state, scores, keep = self.levels[index](level.measures, state)
            scores = scores + self.strictness[index] * level.activity
            weights = scores.softmax(1)
            details = keep * (weights * level.details).sum(1)
            blend = expand(blend, details.shape[-2:]) + details
        return blend, state, weights


class _Block(torch.nn.Module):
    """One level: measures and the state above in; a state, scores and a factor for details out.

    (B, K, 6, h, w) and (B, K, C', h', w') become (B, K, C, h, w), (B, K, 1, h, w) and
    (B, 1, h, w) in 0..1. The top block has no state above it and keeps everything.
    """

    def __init__(self, width: int, above: int | None, *, second: bool) -> None:
        super().__init__()

        def three_by_three(entering: int) -> torch.nn.Conv2d:
            return torch.nn.Conv2d(entering, width, 3, padding=1, padding_mode="replicate")

        self.first = three_by_three(_MEASURES)
        self.own = torch.nn.Conv2d(width, width, 1)
        self.others = torch.nn.Conv2d(width, width, 1, bias=False)
        self.above = None if above is None else torch.nn.Conv2d(above, width, 1, bias=False)
        self.second = three_by_three(width) if second else None
        self.score = torch.nn.Conv2d(width, 1, 1)
        self.keep = None if above is None else torch.nn.Conv2d(width, 1, 1)
        # Training starts from the classical rule.
        for layer, bias in ((self.score, 0.0), (self.keep, _KEEP)):
            if layer is not None and layer.bias is not None:
                torch.nn.init.zeros_(layer.weight)
                torch.nn.init.constant_(layer.bias, bias)

    def forward(
        self, measures: torch.Tensor, state: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        stacks = measures.shape[:2]
        height, width = measures.shape[-2:]
        x = _rectify(self.first(measures.flatten(0, 1)))
        most = x.view(*stacks, *x.shape[1:]).amax(1)
        x = self.own(x).view(*stacks, *most.shape[1:]) + self.others(most).unsqueeze(1)
        x = x.flatten(0, 1)
        if self.above is not None and state is not None:
            # Mixing channels and resizing commute; in this order it costs a quarter.
            above = self.above(state.flatten(0, 1))
            above = functional.interpolate(above, scale_factor=2, mode="bilinear")
            x = x + above[..., :height, :width]
        x = _rectify(x)
        if self.second is not None:
            x = x + _rectify(self.second(x))
        scores = self.score(x).view(*stacks, 1, height, width)
        x = x.view(*stacks, *x.shape[1:])
        keep = x.new_ones(()) if self.keep is None else self.keep(x.amax(1)).sigmoid()
        return x, scores, keep


def _rectify(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _depth(height: int, width: int) -> int:
    """Levels of the pyramid: until 2 to 4 pixels are left, but at least those with own layers."""
    return max(min(height, width).bit_length() - 2, _COARSE_LEVEL + 1)


def _finest(frames: torch.Tensor) -> _Gaussian:
    distance = (luma(frames) - 0.5).square_()
    exposed = distance.mul_(-1 / (2 * _WELL_EXPOSED_SIGMA**2)).exp_()
    saturation = frames.amax(-3, keepdim=True) - frames.amin(-3, keepdim=True)
    return _Gaussian(frames, torch.zeros_like(exposed), exposed, saturation)


@torch.no_grad()
def _levels(bottom: _Gaussian, count: int) -> tuple[list[_Level], _Gaussian]:
    """``count`` Laplacian levels from ``bottom`` on, finest first, and what is left above."""
    levels: list[_Level] = []
    here = bottom
    for _ in range(count):
        smaller = reduce(here.frames)
        details = here.frames - expand(smaller, here.frames.shape[-2:])
        own = luma(details)
        measures, activity = _measures(here, own)
        levels.append(_Level(details, measures, activity))
        energy = here.energy + own.mul(255).square_()
        here = _Gaussian(smaller, *map(reduce, (energy, here.exposed, here.saturation)))
    return levels, here


@torch.no_grad()
def _measures(here: _Gaussian, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The six measures of a level and, (B, K, 1, h, w), the log of its local energy.

    Args:
        own: Luma of the level's details, (B, K, 1, h, w).
    """
    squared = own.mul(255).square_()
    padded = functional.pad(squared.flatten(0, 1), (2, 2, 2, 2), "replicate")
    local = functional.avg_pool2d(padded, 5, 1).view_as(squared)
    activity = local.add_(_LEAST_ENERGY).log_()
    texture = (here.energy + squared).add_(_LEAST_ENERGY).log_()
    # Scaled to about -1..1.
    measures = torch.cat(
        [
            luma(here.frames).mul_(2).sub_(1),
            own * 8,
            activity * 0.2,
            texture.mul_(0.2),
            here.exposed * 2 - 1,
            here.saturation * 2,
        ],
        2,
    )
    return measures, activity
