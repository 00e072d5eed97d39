# SPDX-License-Identifier: Apache-2.0
"""UFM-K in a small part of the time: the network above, the classical rule below.

The network weighs the levels of the pyramid from the third up, just as in the full form
(:mod:`model.ufm_k`). The three finest levels, nearly all of the pixels, are blended under weights
of their own kind: how much the network prefers a frame at level 3, lifted bilinearly, times the
frame's local energy at the level itself (P. Burt and R. Kolczynski 1993). So edges are decided
where they are seen sharply, and which exposure suits a place where it can be judged.

On a CPU, compiled loops do the levels below the third; elsewhere torch does the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from model import pyramid_kernels as kernels
from model.fusion_model import StackPixels, Tile
from model.luma import luma
from model.metrics.strips import in_strips
from model.pyramids import compiles, expand, lift, reduce, slice_at
from model.ufm_k import UfmK
from model.ufm_k_levels import LEAST_ENERGY, local_mean

__all__ = ["FastUfmK", "FastUfmKContext", "blend_details"]

_LEVEL = 3
"""The network's finest level."""


@dataclass(frozen=True, kw_only=True)
class FastUfmKContext:
    """What a tile must know of the whole picture, all of level 3: the blend of it and all above,
    (3, h, w), how much each frame is preferred, (K, h, w), sum 1, and the frames, (K, 3, h, w)."""

    coarse: torch.Tensor
    preference: torch.Tensor
    frames: torch.Tensor


class FastUfmK:
    """A ``FusionModel`` that uses a trained :class:`UfmK` at reduced size."""

    name: str = "ufm_k"
    output: Literal["fusion", "radiance"] = "fusion"
    align_px: int = 2**_LEVEL
    # A result pixel sees 1 px of level 1, that 1 px of level 2, which sees 2 px of energy; details
    # of level 2 are made of 2 px of level 1 and 2 px of the frames.
    halo_px: int = 24

    def __init__(self, network: UfmK) -> None:
        self.network = network

    @property
    def device(self) -> torch.device:
        return self.network.device

    def prepare(self, stack: StackPixels) -> FastUfmKContext:
        """Run the network on level 3 and above.

        Raises:
            ValueError: The stack has a single frame.
        """
        look = self.network.look(stack)
        return FastUfmKContext(
            coarse=look.blend[0],
            preference=look.scores[0, :, 0].softmax(0),
            frames=look.frames[0],
        )

    def fuse_tile(self, tile: Tile, context: FastUfmKContext) -> torch.Tensor:
        """(3, h, w) in 0..1: the tile's finer levels on top of the context."""
        height, width = tile.pixels.shape[2:]
        rows, cols = (
            slice_at(slice(start, start + size), _LEVEL)
            for start, size in ((tile.top, height), (tile.left, width))
        )
        blend = context.coarse[:, rows, cols].contiguous()
        preference = context.preference[:, rows, cols].contiguous()
        smallest = context.frames[..., rows, cols].contiguous()
        levels = [tile.pixels]
        for _ in range(_LEVEL - 1):
            levels.append(reduce(levels[-1]))
        for finer, smaller in zip(reversed(levels), [smallest, *levels[:0:-1]], strict=True):
            blend, preference = blend_details(
                finer, smaller, preference, blend, last=finer is tile.pixels
            )
        return blend.clamp_(0, 1)


def blend_details(
    frames: torch.Tensor,
    smaller: torch.Tensor,
    preference: torch.Tensor,
    above: torch.Tensor,
    *,
    last: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add a level's details, weighed by preference times local energy, to the blend above.

    Args:
        frames: (K, 3, H, W) float32 in 0..1, the Gaussian level of each frame.
        smaller: (K, 3, h, w), the next one.
        preference: (K, h, w), at least 0 and not 0 for all; lifted bilinearly.
        above: (3, h, w), the blend of all levels above.
        last: Nobody asks for the preference any more.

    Returns:
        The blend (3, H, W) and the lifted preference (K, H, W), which is empty if ``last``.
    """
    count, _, height, width = frames.shape
    if compiles(frames):
        out = frames.new_empty(3, height, width)
        lifted = frames.new_empty(count, 0 if last else height, width)
        entering = [_array(x) for x in (frames, smaller, preference, above)]
        leaving = lifted.numpy(), out.numpy()
        in_strips(
            height,
            lambda start, stop: kernels.blend_rows(*entering, *leaving, start, stop),
        )
        return out, lifted
    lifted = lift(preference, (height, width))
    details = frames - expand(smaller, (height, width))
    local = local_mean(luma(details).mul_(255).square_())
    weights = lifted.unsqueeze(1) * local.add_(LEAST_ENERGY)
    mixed = (weights * details).sum(0) / weights.sum(0)
    return expand(above, (height, width)) + mixed, lifted[:, : 0 if last else height]


def _array(x: torch.Tensor) -> NDArray[np.float32]:
    return x.contiguous().numpy()
