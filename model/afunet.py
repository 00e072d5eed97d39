# SPDX-License-Identifier: Apache-2.0
"""AFUNet: alignment and fusion take turns, stage after stage, as the steps of an optimiser would.

After X. Liu et al., "AFUNet: cross-iterative alignment-fusion synergy for HDR reconstruction via
deep unfolding paradigm", ICCV 2025 (arXiv 2506.23537). Each stage aligns the two other frames with
the reference by attention within windows, refines all three together, lets channels attend to each
other, and takes a step towards the fused features.

Channel attention looks at every pixel. For photographs its matrices, a few numbers a stage, are
worked out beforehand, of the whole picture or of a sample of it where that is large, and are the
context of all tiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import nn

from model.attention import ChannelCross, SwinBlock, WindowCross, mlp
from model.fusion_model import StackPixels
from model.hdr_inputs import Start, padded
from model.hdr_network import HdrNetwork, Reconstruction
from model.layers import Tail
from model.option_checks import whole
from model.radiance import Response

__all__ = ["AfuNet"]

_CROSS_HEADS = 2
_JOINT_HEADS = 4
_DROP = 0.1
_DROP_CROSS_STEPS = 6  # the rate rises to _DROP in so many stages
_SAMPLE_PX = 192  # side of a crop
_SAMPLES = 9
_HALO_PX = 48

Matrices = tuple[torch.Tensor, torch.Tensor]
"""Channel attention of a stage, (heads, c, c) or (B, heads, c, c): of the darker, the brighter
frame."""


class AfuNet(HdrNetwork):
    """The three-frame network.

    A pixel looks at ever fainter traces of what is far away; beyond :attr:`halo_px` they are below
    what anybody could see.

    Args:
        width: Channels of each frame's features, a multiple of 4.
        stages: How often alignment and fusion take turns.
        depth: Blocks that refine all three frames, in each stage.
        window: Side of an attention window, an even number of px.
        response: How frames are linearised.
        start: What the result begins with.

    Raises:
        ValueError: An option has an impossible value.
    """

    name: ClassVar[str] = "afunet"
    min_frames: ClassVar[int] = 3
    max_frames: ClassVar[int | None] = 3
    halo_px: int = _HALO_PX

    def __init__(
        self,
        width: int = 24,
        stages: int = 4,
        depth: int = 5,
        window: int = 8,
        response: Response = "gamma",
        start: Start = "nothing",
    ) -> None:
        sizes = {
            "width": whole("width", width, least=4),
            "stages": whole("stages", stages),
            "depth": whole("depth", depth),
            "window": whole("window", window, least=2),
        }
        super().__init__(sizes, response=response, start=start)
        if width % 4 or window % 2:
            raise ValueError(
                f"width must be a multiple of 4 and window of 2, not {width} and {window}"
            )
        self.align_px = window
        self.shallow = nn.ModuleList(_conv(self.entering, width) for _ in range(3))
        self.norm = nn.LayerNorm(3 * width)
        self.stages = nn.ModuleList(
            _Stage(width, depth, window, stage=stage, stages=stages) for stage in range(stages)
        )
        self.skip = _conv(width, width)
        self.tail = Tail(width, padding_mode="reflect")
        self.apply(_start)
        self._begin()

    def _reconstruct(
        self,
        inputs: torch.Tensor,
        reference: int,
        alignment: Literal["features", "radiance"] | None,
        facts: Any,
    ) -> Reconstruction:
        given = cast(Sequence[Matrices] | None, facts)
        return Reconstruction(self._run(inputs, reference, given=given)[0])

    def _run(
        self,
        inputs: torch.Tensor,
        reference: int,
        *,
        given: Sequence[Matrices] | None = None,
        pooled: bool = False,
    ) -> tuple[torch.Tensor, list[Matrices]]:
        """The picture, and the channel attention of each stage.

        Args:
            inputs: (B, 3, entering, H, W).
            reference: Index of the frame whose moment is shown.
            given: Channel attention to be used in place of these pictures' own.
            pooled: All pictures are parts of one and share their channel attention.
        """
        darker, brighter = (k for k in range(3) if k != reference)
        order = (darker, reference, brighter)
        maps = [conv(inputs[:, k]) for conv, k in zip(self.shallow, order, strict=True)]
        tokens = self.norm(torch.cat(maps, 1).movedim(1, -1))
        dark, start, bright = tokens.chunk(3, -1)
        x = start
        used: list[Matrices] = []
        for index, stage in enumerate(self.stages):
            matrices = None if given is None else given[index]
            x, dark, bright, own = stage(x, dark, start, bright, matrices, pooled)
            used.append(own)
        return self.tail(x.movedim(-1, 1) + self.skip(maps[1])), used

    def _facts(
        self, stack: StackPixels, times_s: torch.Tensor, reference: int
    ) -> tuple[Matrices, ...]:
        parts = _sample(stack.height, stack.width, self.align_px)
        crops = torch.stack([stack.tile(rows, cols).to(self.device) for rows, cols in parts])
        frames, aligned = self._halves(crops)
        times_s = times_s.expand(len(crops), -1)
        inputs = padded(self._inputs(frames, times_s, reference, aligned), self.align_px)
        _, used = self._run(inputs, reference, pooled=True)
        return tuple(used)


class _Stage(nn.Module):
    """One turn: alignment with the reference, refinement, channel attention, a step of fusion.

    Features are (B, H, W, width).
    """

    def __init__(self, width: int, depth: int, window: int, *, stage: int, stages: int) -> None:
        super().__init__()
        self.degrade = nn.ModuleList(mlp(width, 2 * width, width) for _ in range(2))
        drop = _DROP * min(stage / (_DROP_CROSS_STEPS - 1), 1)
        self.align = nn.ModuleList(
            WindowCross(width, _CROSS_HEADS, window, drop=drop) for _ in range(2)
        )
        last = max(stages * depth - 1, 1)
        self.refine = nn.ModuleList(
            SwinBlock(
                3 * width,
                _JOINT_HEADS,
                window,
                shift=window // 2 * (block % 2),
                drop=_DROP * (stage * depth + block) / last,
            )
            for block in range(depth)
        )
        self.refined = _conv(3 * width, 3 * width)
        self.cross = nn.ModuleList(ChannelCross(width, _CROSS_HEADS) for _ in range(2))
        self.observe = mlp(width, 2 * width, width)
        self.invert = mlp(width, 2 * width, width)
        self.steps = nn.Parameter(torch.full((2,), 0.5))
        self.fuse = mlp(3 * width, 2 * width, width)

    def forward(
        self,
        x: torch.Tensor,
        dark: torch.Tensor,
        start: torch.Tensor,
        bright: torch.Tensor,
        given: Matrices | None,
        pooled: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Matrices]:
        """The fused features, both others' aligned ones, and the channel attention.

        Args:
            x: Fused features so far.
            dark: Aligned features of the darker frame so far; likewise ``bright``.
            start: The reference's features.
            given: See :meth:`AfuNet._run`; likewise ``pooled``.
        """
        dark, bright = (
            align(degrade(x), other)
            for align, degrade, other in zip(self.align, self.degrade, (dark, bright), strict=True)
        )
        joint = torch.cat([dark, x, bright], -1)
        refined = joint
        for block in self.refine:
            refined = block(refined)
        joint = joint + self.refined(refined.movedim(-1, 1)).movedim(1, -1)
        dark_refined, residual, bright_refined = joint.chunk(3, -1)
        sides, used = [], []
        for index, (cross, other) in enumerate(
            zip(self.cross, (dark_refined, bright_refined), strict=True)
        ):
            attention = None if given is None else given[index]
            side, attention = cross(x, other, attention, pooled)
            sides.append(side + x)
            used.append(attention)
        seen = self.observe(start) + self.steps[0] * sides[0] + self.steps[1] * sides[1]
        x = self.fuse(torch.cat([sides[0], self.invert(seen), sides[1]], -1)) + residual
        return x, dark, bright, (used[0], used[1])


def _conv(entering: int, leaving: int) -> nn.Conv2d:
    return nn.Conv2d(entering, leaving, 3, padding=1, padding_mode="reflect")


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _sample(height: int, width: int, align_px: int) -> list[tuple[slice, slice]]:
    """Evenly spread parts of a picture, all of one size; a small picture is one part."""
    if height * width <= _SAMPLES * _SAMPLE_PX**2:
        return [(slice(0, height), slice(0, width))]
    side_y, side_x = min(height, _SAMPLE_PX), min(width, _SAMPLE_PX)
    down = round(math.sqrt(_SAMPLES * height / width))
    down = min(max(down, 1), _SAMPLES, -(-height // side_y))
    right = min(_SAMPLES // down, -(-width // side_x))

    def spread(size: int, side: int, count: int) -> list[slice]:
        halves = range(0, 2 * count - 1, 2) if count > 1 else (1,)  # a single one: in the middle
        gaps = 2 * max(count - 1, 1)
        starts = [(size - side) * k // gaps // align_px * align_px for k in halves]
        return [slice(start, start + side) for start in starts]

    return [
        (rows, cols)
        for rows in spread(height, side_y, down)
        for cols in spread(width, side_x, right)
    ]
