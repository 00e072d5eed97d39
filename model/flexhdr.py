# SPDX-License-Identifier: Apache-2.0
"""FlexHDR: any number of frames, any of them the reference, moving or not.

After S. Catley-Chandar et al., "FlexHDR: modelling alignment and exposure uncertainties for
flexible HDR imaging", IEEE TIP 2022 (arXiv 2201.02625). A flow lays every other frame's features on
the reference; how well each frame is exposed and how well it fits there decide what attention lets
through; maxima over the frames are the only place where they meet, so their order and number do not
matter. The paper gives numbers of parameters, no lists of layers: these are ours.

Two things are facts of the whole picture: when a frame counts as well exposed, and the flow, which
is worked out at an eighth of the size over far more than a tile. Both are the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch

from model.flexhdr_parts import Attention, ExposureLimits, FlowNet, Merge, trust, warp
from model.fusion_model import StackPixels, Tile
from model.hdr_inputs import Start, padded
from model.hdr_network import Alignment, HdrNetwork, Reconstruction
from model.layers import apart, conv3x3, piecewise
from model.option_checks import flag, whole
from model.pyramids import size_at, slice_at
from model.radiance import Response, mu_law
from model.tiles import tile_areas

__all__ = ["FlexFacts", "FlexHdr"]

_LEVEL = 3  # the flow's: an eighth
_BLOCK_PX = 512
_BLOCK_REACH_PX = 16  # of what the flow starts from: 1, then three convolutions, each at half


@dataclass(frozen=True, kw_only=True)
class FlexFacts:
    """The whole picture's facts: ``limits`` (1, n, 2) of good exposure, 0..1; ``flow``
    (1, n - 1, 2, h, w) in pixels of an eighth of the size. None where that part is off."""

    limits: torch.Tensor | None
    flow: torch.Tensor | None


class FlexHdr(HdrNetwork):
    """The network for any number of frames. Every part of it can be left out, to see what it does.

    Args:
        width: Channels of features.
        growth: Channels that a dense layer adds.
        layers: Dense layers of each of the three blocks.
        dilation: Of the dense layers.
        iterations: How often the flow is refined.
        reach_px: The longest motion that the flow can follow, and so a part of the halo.
        flow: Lay the other frames on the reference.
        exposure_uncertainty: Count a frame by how well each place is exposed.
        alignment_uncertainty: Tell the attention how far a laid frame is from the reference.
        attention: Let the reference decide what others may add.
        multi_stage_pooling: Let frames learn of each other at every stage, not at the end alone.
        response: How frames are linearised.
        start: What the result begins with; frames as they are then count beside those that were
            laid on the reference, as further ones.

    Raises:
        ValueError: An option has an impossible value.
    """

    name: ClassVar[str] = "flexhdr"
    align_px: int = 2**_LEVEL

    def __init__(
        self,
        width: int = 64,
        growth: int = 32,
        layers: int = 5,
        dilation: int = 1,
        iterations: int = 16,
        reach_px: int = 64,
        flow: bool = True,
        exposure_uncertainty: bool = True,
        alignment_uncertainty: bool = True,
        attention: bool = True,
        multi_stage_pooling: bool = True,
        response: Response = "gamma",
        start: Start = "nothing",
    ) -> None:
        sizes = {
            "width": whole("width", width, least=2),
            "growth": whole("growth", growth),
            "layers": whole("layers", layers),
            "dilation": whole("dilation", dilation),
            "iterations": whole("iterations", iterations),
            "reach_px": whole("reach_px", reach_px),
        }
        parts = {
            "flow": flag("flow", flow),
            "exposure_uncertainty": flag("exposure_uncertainty", exposure_uncertainty),
            "alignment_uncertainty": flag("alignment_uncertainty", alignment_uncertainty),
            "attention": flag("attention", attention),
            "multi_stage_pooling": flag("multi_stage_pooling", multi_stage_pooling),
        }
        super().__init__({**sizes, **parts}, response=response, start=start)
        self.features = conv3x3(6, width)
        self.limits = ExposureLimits(width // 2) if exposure_uncertainty else None
        self.flow = (
            FlowNet(
                2 * width + int(exposure_uncertainty),
                width,
                iterations=iterations,
                reach=reach_px / 2**_LEVEL,
                pooled=multi_stage_pooling,
            )
            if flow
            else None
        )
        self.attention = (
            Attention(
                width,
                trusts=exposure_uncertainty,
                misfit=alignment_uncertainty,
                pooled=multi_stage_pooling,
            )
            if attention
            else None
        )
        self.merge = Merge(width, growth, layers, dilation=dilation, pooled=multi_stage_pooling)
        self.aligns = flow
        self._reach_px = reach_px
        self._begin()

    @property
    def halo_px(self) -> int:
        """The features, the motion that the flow follows, attention and merge."""
        reach = 1 + self.merge.reach_px
        if self.attention is not None:
            reach += self.attention.reach_px
        if self.flow is not None:
            reach += self._reach_px + 1
        return reach

    def _reconstruct(
        self,
        inputs: torch.Tensor,
        reference: int,
        alignment: Literal["features", "radiance"] | None,
        facts: Any,
    ) -> Reconstruction:
        known = cast(FlexFacts | None, facts) or FlexFacts(limits=None, flow=None)
        laid, told = self._laid(inputs, reference, alignment, known)
        return Reconstruction(self.merge(laid), told)

    # A function of its own: what it needs in between is gone before the merge needs more.
    def _laid(
        self,
        inputs: torch.Tensor,
        reference: int,
        alignment: Literal["features", "radiance"] | None,
        known: FlexFacts,
    ) -> tuple[torch.Tensor, Alignment | None]:
        """Features of the reference, then of the others laid on it, as much as may pass,
        (B, n, width, H, W)."""
        features = self._features(inputs)
        trusts = self._trusts(inputs, known.limits)
        others = [k for k in range(inputs.shape[1]) if k != reference]
        own, theirs = features[:, reference], features[:, others]
        their_trusts = None if trusts is None else trusts[:, others].to(theirs.dtype)
        told = None
        if self.flow is not None:
            flow = known.flow
            if flow is None:
                flow = self.flow.refine(self._motion(features, trusts, reference))
            flow = self.flow.enlarged(flow, 2**_LEVEL)
            theirs = warp(theirs, flow)
            if their_trusts is not None:
                their_trusts = warp(their_trusts, flow)
            if alignment is not None:
                told = self._alignment(alignment, inputs, features, trusts, reference, flow)
        let_through = theirs
        if self.attention is not None:
            own_trust = None if trusts is None else trusts[:, reference].to(own.dtype)
            let_through = theirs * self.attention(theirs, own, their_trusts, own_trust)
        if their_trusts is not None:
            let_through = let_through * their_trusts
        return torch.cat([own.unsqueeze(1), let_through], 1), told

    def _inputs(
        self,
        frames: torch.Tensor,
        times_s: torch.Tensor,
        reference: int,
        aligned: torch.Tensor | None,
    ) -> torch.Tensor:
        inputs = super()._inputs(frames, times_s, reference, aligned)
        if not self.follows:
            return inputs
        others = [k for k in range(frames.shape[1]) if k != reference]
        laid, plain = inputs.chunk(2, 2)
        return torch.cat([laid, plain[:, others]], 1)

    def _features(self, inputs: torch.Tensor) -> torch.Tensor:
        return apart(piecewise(self.features, inputs.flatten(0, 1)).relu_(), inputs.shape[1])

    def _trusts(self, inputs: torch.Tensor, limits: torch.Tensor | None) -> torch.Tensor | None:
        """How well each place of each frame is exposed, (B, n, 1, H, W) in 0..1."""
        if self.limits is None:
            return None
        if limits is None:
            limits = self.limits.limits_of(self.limits(inputs).mean((-2, -1)))
        return trust(inputs[:, :, 3:], limits)

    def _motion(
        self, features: torch.Tensor, trusts: torch.Tensor | None, reference: int
    ) -> torch.Tensor:
        """What the flow starts from: every other frame beside the reference, at an eighth."""
        assert self.flow is not None
        others = [k for k in range(features.shape[1]) if k != reference]
        their_trusts = None if trusts is None else trusts[:, others].to(features.dtype)
        motion: torch.Tensor = self.flow(features[:, others], features[:, reference], their_trusts)
        return motion

    def _alignment(
        self,
        kind: Literal["features", "radiance"],
        inputs: torch.Tensor,
        features: torch.Tensor,
        trusts: torch.Tensor | None,
        reference: int,
        flow: torch.Tensor,
    ) -> Alignment:
        """Features and trust are held still: a loss made small by making them small says nothing
        of the flow."""
        maps = features.detach().float() if kind == "features" else self._after_mu_law(inputs)
        others = [k for k in range(inputs.shape[1]) if k != reference]
        still = torch.ones_like(inputs[:, :, :1]) if trusts is None else trusts.detach()
        confidence = still[:, reference, None].expand(-1, len(others), -1, -1, -1)
        if kind == "radiance":  # what another frame cannot show does not fit for that reason
            confidence = confidence * warp(still[:, others], flow.detach())
        return Alignment(maps[:, reference], warp(maps[:, others], flow), confidence)

    def _after_mu_law(self, inputs: torch.Tensor) -> torch.Tensor:
        """What frames show of the radiance, in which one can see how far they are apart."""
        return inputs[:, :, :3] if self.follows else mu_law(inputs[:, :, :3])

    def _facts(self, stack: StackPixels, times_s: torch.Tensor, reference: int) -> FlexFacts:
        limits = self._whole_limits(stack, times_s, reference)
        if self.flow is None:
            return FlexFacts(limits=limits, flow=None)
        size = (size_at(stack.height, _LEVEL), size_at(stack.width, _LEVEL))
        start: torch.Tensor | None = None
        for place, inner, inputs in self._blocks(stack, times_s, reference):
            motion = self._motion(self._features(inputs), self._trusts(inputs, limits), reference)
            if start is None:
                start = motion.new_empty(*motion.shape[:3], *size)
            start[..., *place] = motion[..., *inner]
        assert start is not None
        return FlexFacts(limits=limits, flow=self.flow.refine(start))

    def _whole_limits(
        self, stack: StackPixels, times_s: torch.Tensor, reference: int
    ) -> torch.Tensor | None:
        if self.limits is None:
            return None
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for _, inner, inputs in self._blocks(stack, times_s, reference):
            rows, cols = (slice(s.start << _LEVEL, s.stop << _LEVEL) for s in inner)
            total = total + self.limits(inputs)[..., rows, cols].sum((-2, -1), dtype=torch.float64)
        area = (size_at(stack.height, _LEVEL) * size_at(stack.width, _LEVEL)) << (2 * _LEVEL)
        return self.limits.limits_of((total / area).to(times_s.dtype))

    def _blocks(
        self, stack: StackPixels, times_s: torch.Tensor, reference: int
    ) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], torch.Tensor]]:
        """Where a block is in an eighth of the picture, where it is in an eighth of itself with a
        halo, and that with its halo, as inputs (1, n, 6, h, w)."""
        for area in tile_areas(
            stack.height,
            stack.width,
            tile_px=_BLOCK_PX,
            halo_px=_BLOCK_REACH_PX,
            align_px=self.align_px,
        ):
            pixels = stack.tile(area.outer_rows, area.outer_cols).to(self.device).unsqueeze(0)
            frames, aligned = self._halves(pixels)
            inputs = padded(self._inputs(frames, times_s, reference, aligned), self.align_px)
            place = (slice_at(area.rows, _LEVEL), slice_at(area.cols, _LEVEL))
            top, left = (slice_at(part, _LEVEL) for part in area.inner)
            yield place, (top, left), inputs

    def _facts_of_tile(self, facts: FlexFacts, tile: Tile) -> FlexFacts:
        if facts.flow is None:
            return facts
        height, width = tile.pixels.shape[2:]
        rows = slice_at(slice(tile.top, tile.top + height), _LEVEL)
        cols = slice_at(slice(tile.left, tile.left + width), _LEVEL)
        return FlexFacts(limits=facts.limits, flow=facts.flow[..., rows, cols])
