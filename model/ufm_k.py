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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from model.fusion_model import StackPixels, Tile
from model.fusion_network import Fusion, FusionNetwork
from model.luma import luma
from model.pyramids import expand, size_at, slice_at
from model.tiles import TileArea, tile_areas
from model.ufm_k_block import Block
from model.ufm_k_levels import (
    WELL_EXPOSED_SIGMA,
    Gaussian,
    Level,
    laplacian_levels,
    lowest,
    measured,
    next_level,
    raised,
)

__all__ = ["CoarseLook", "UfmK", "UfmKContext"]

_COARSE_LEVEL = 3
"""The pyramid level up to which a tile works on its own."""
_BLOCK_PX = 768
_REACH_PX = 32  # how far a pixel of level 3 looks when the pyramids are built
_PART_PX = 160  # side of the parts of levels 3 and 4 that are worked on one by one
_SIGHT_PX = 8  # how far a pixel looks within its level


@dataclass(frozen=True, kw_only=True)
class UfmKContext:
    """What a tile must know of the whole picture: the blend of all levels from the third up,
    (1, 3, h, w), and the network's state there, (1, K, C, h, w)."""

    coarse: torch.Tensor
    state: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class CoarseLook:
    """All of level 3: the blend of it and all above, (1, 3, h, w); what the network says of each
    frame, before its local energy counts, (1, K, 1, h, w); and the frames, (1, K, 3, h, w)."""

    blend: torch.Tensor
    scores: torch.Tensor
    frames: torch.Tensor


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
            Block(own, upper, second=index > 0)
            for index, (own, upper) in enumerate(zip(widths, above, strict=True))
        )
        self.top = Block(widths[-1], None, second=True)
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
        levels, top = laplacian_levels(lowest(frames), depth)
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
        levels, top = laplacian_levels(self._coarse(stack), depth - _COARSE_LEVEL)
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
        levels, _ = laplacian_levels(lowest(tile.pixels.unsqueeze(0)), _COARSE_LEVEL)
        coarse, state = context.coarse[..., rows, cols], context.state[..., rows, cols]
        blend, _, _ = self._descend(levels, 0, coarse, state, coarse)
        return blend[0].clamp(0, 1)

    def look(self, stack: StackPixels) -> CoarseLook:
        """What the network makes of level 3 and above; it takes the larger ones in parts.

        Raises:
            ValueError: The stack has a single frame.
        """
        self.check_count(stack.count)
        depth = _depth(stack.height, stack.width)
        coarse = self._coarse(stack)
        upper = next_level(coarse)
        levels, top = laplacian_levels(upper, depth - _COARSE_LEVEL - 1)
        blend, state, weights = self._top(top)
        number = _COARSE_LEVEL + 1
        blend, state, _ = self._descend(levels[1:], number + 1, blend, state, weights)
        if levels:
            blend, state, _ = self._in_parts(number, upper, blend, state)
        blend, _, scores = self._in_parts(_COARSE_LEVEL, coarse, blend, state, keeps_state=False)
        return CoarseLook(blend=blend, scores=scores, frames=coarse.frames)

    def _in_parts(
        self,
        number: int,
        level: Gaussian,
        blend: torch.Tensor,
        state: torch.Tensor,
        *,
        keeps_state: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Add one level part by part: the blend, the state (or an empty one) and the scores."""
        height, width = level.energy.shape[3:]
        result = blend.new_empty(1, 3, height, width)
        channels = self.options["widths"][min(number, _COARSE_LEVEL)]
        states = state.new_empty(
            *state.shape[:2], channels, *((height, width) if keeps_state else (0, 0))
        )
        scores = level.energy.new_empty(level.energy.shape)
        for area in tile_areas(height, width, tile_px=_PART_PX, halo_px=_SIGHT_PX, align_px=2):
            (own,), _ = laplacian_levels(level.part(area.outer_rows, area.outer_cols), 1)
            above = (..., slice_at(area.outer_rows, 1), slice_at(area.outer_cols, 1))
            inner, core = (..., *area.inner), (..., area.rows, area.cols)
            mixed, made, _, wanted = self._step(number, own, blend[above], state[above])
            result[core], scores[core] = mixed[inner], wanted[inner]
            if keeps_state:
                states[core] = made[inner]
        return result, states, scores

    def _coarse(self, stack: StackPixels) -> Gaussian:
        """The third Gaussian level of the whole picture."""
        size = (size_at(stack.height, _COARSE_LEVEL), size_at(stack.width, _COARSE_LEVEL))
        whole = torch.empty(stack.count, 6, *size, device=self.device)

        @torch.inference_mode()
        def work(area: TileArea) -> None:
            rows, cols = (slice_at(part, _COARSE_LEVEL) for part in (area.rows, area.cols))
            inner = tuple(slice_at(part, _COARSE_LEVEL) for part in area.inner)
            pixels = stack.tile(area.outer_rows, area.outer_cols).to(self.device)
            for frame, place in zip(pixels, whole, strict=True):
                place[:, rows, cols] = raised(frame, _COARSE_LEVEL)[:, *inner]

        areas = tile_areas(
            stack.height,
            stack.width,
            tile_px=_BLOCK_PX,
            halo_px=_REACH_PX,
            align_px=self.align_px,
        )
        at_once = torch.get_num_threads() if self.device.type == "cpu" else 1
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(work, areas))
        planes = whole.unsqueeze(0)
        return Gaussian(planes[:, :, :3], planes[:, :, 5:], planes[:, :, 3:4], planes[:, :, 4:5])

    def _top(self, top: Gaussian) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The blend that the levels stand on, the first state, and the weights of the blend."""
        brightness = luma(top.frames)
        centred = brightness - brightness.mean((-1, -2), keepdim=True)
        measures, _ = measured(top, centred)
        state, scores, _ = self.top(measures, None)
        distance = (brightness - 0.5).square() / (2 * WELL_EXPOSED_SIGMA**2)
        pull = self.exposedness[0 if top.frames.shape[1] == 2 else 1]
        weights = (scores - pull * distance).softmax(1)
        return (weights * top.frames).sum(1), state, weights

    def _descend(
        self,
        levels: Sequence[Level],
        finest: int,
        blend: torch.Tensor,
        state: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Add levels to a blend, coarsest first; ``levels[0]`` is level ``finest``."""
        for offset in reversed(range(len(levels))):
            blend, state, weights, _ = self._step(finest + offset, levels[offset], blend, state)
        return blend, state, weights

    def _step(
        self, number: int, level: Level, blend: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Add one level: the blend, the state, the weights, and the scores without the energy."""
        index = min(number, len(self.levels) - 1)
        state, scores, keep = self.levels[index](level.measures, state)
        weights = (scores + self.strictness[index] * level.activity).softmax(1)
        details = keep * (weights * level.details).sum(1)
        return expand(blend, details.shape[-2:]) + details, state, weights, scores


def _depth(height: int, width: int) -> int:
    """Levels of the pyramid: until 2 to 4 pixels are left, but at least those with own layers."""
    return max(min(height, width).bit_length() - 2, _COARSE_LEVEL + 1)
