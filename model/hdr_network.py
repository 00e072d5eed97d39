# SPDX-License-Identifier: Apache-2.0
"""What every network that reconstructs radiance has in common: stacks and exposure times in, linear
light out, for batches in training and tile by tile for photographs.

Within a network 1 is what just saturates the frame of the shortest exposure, the brightest that a
stack can tell of: inputs and results lie in 0..1. What leaves it stands in the reference frame's
scale (:mod:`model.radiance`), up to :func:`brightest`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch

from model.fusion_model import StackPixels, Tile
from model.fusion_network import FusionNetwork
from model.hdr_inputs import (
    Start,
    brightest,
    first_guess,
    followed_inputs,
    inputs_of,
    padded,
    shown,
)
from model.layers import Tail
from model.option_checks import choice
from model.radiance import RESPONSES, Response, inverse_mu_law, middle

__all__ = [
    "Alignment",
    "HdrContext",
    "HdrNetwork",
    "Reconstruction",
    "VirtualExposures",
    "brightest",
    "middle",
    "padded",
    "shown",
]


class Alignment(NamedTuple):
    """How well a network laid the other frames on the reference, for a loss to look at.

    ``reference`` (B, C, H, W) and ``warped`` (B, n - 1, C, H, W) are alike where the frames agree;
    ``confidence`` (B, n - 1, 1, H, W) in 0..1 says where they should. Gradients flow through
    the flow alone.
    """

    reference: torch.Tensor
    warped: torch.Tensor
    confidence: torch.Tensor


class VirtualExposures(NamedTuple):
    """Exposures that a network made of the reference frame alone: (B, 3, H, W), display-referred
    in 0..1, as dark as the shortest exposure is and as bright as the longest."""

    darker: torch.Tensor
    brighter: torch.Tensor


class Reconstruction(NamedTuple):
    """``radiance`` (B, 3, H, W) in 0..1, the scale of the shortest exposure, and what there is to
    say of the alignment, None of networks that do not align, and of exposures that the network
    invented, None of those that do not."""

    radiance: torch.Tensor
    alignment: Alignment | None = None
    exposures: VirtualExposures | None = None


@dataclass(frozen=True, kw_only=True)
class HdrContext:
    """What a tile must know of the whole stack.

    ``times_s`` (1, n); ``facts`` are the network's own.
    """

    times_s: torch.Tensor
    reference: int
    facts: Any


class HdrNetwork(FusionNetwork):
    """A network that makes radiance of stacks; a ``FusionModel`` as well.

    Frames are float32 sRGB in 0..1, dark to bright, of any size of at least 1 px: they are padded
    on the right and at the bottom, by repeating the last pixel, to a multiple of ``align_px``.
    A subclass has ``_reconstruct``, and ``_facts`` where a tile alone does not tell all.

    ``aligns`` says that it has an :class:`Alignment` to tell of.
    ``follows`` says that it is to be given every frame twice, as it is and laid on the reference by
    optical flow: a stack of 2 n frames, all as they are before all as they were laid.
    ``default_reference`` is the frame whose moment :meth:`prepare` takes; None: :func:`middle`.
    ``tile_px`` is a side of tiles that keeps memory below some 3 GiB at full width, three frames.

    Args:
        options: Keyword arguments that build the network again.
        response: How frames are linearised.
        start: What the result begins with.
    """

    output: Literal["fusion", "radiance"] = "radiance"
    align_px: int = 1
    tile_px: int = 512
    aligns: bool = False
    default_reference: int | None = None

    def __init__(
        self, options: Mapping[str, Any], *, response: Response, start: Start = "nothing"
    ) -> None:
        choice("response", response, RESPONSES)
        choice("start", start, get_args(Start))
        later = {"start": start} if start != "nothing" else {}  # files from before do not name it
        super().__init__(dict(options) | {"response": response} | later)
        self.response = response
        self.follows = start == "followed"

    @property
    def entering(self) -> int:
        """Channels of each frame's inputs."""
        return 12 if self.follows else 6

    def _begin(self) -> None:
        """Correct nothing to begin with; called once all layers are there."""
        tails = [m for m in self.modules() if isinstance(m, Tail)] if self.follows else []
        for parameter in (p for tail in tails for p in tail.parameters()):
            torch.nn.init.zeros_(parameter)

    @property
    def halo_px(self) -> int:
        """How far a pixel of the result looks, in pixels."""
        raise NotImplementedError

    def forward(
        self,
        frames: torch.Tensor,
        times_s: torch.Tensor,
        reference: int | None = None,
        aligned: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Linear radiance (B, 3, H, W) in the reference's scale, from 0 to :func:`brightest`.

        Args:
            frames: (B, n, 3, H, W) float sRGB in 0..1, dark to bright.
            times_s: (B, n) exposure times in s, or any measure of the light taken in; above 0.
            reference: Index of the frame whose moment is shown; None: :func:`middle`.
            aligned: The frames laid on the reference by optical flow, for networks that follow.

        Raises:
            ValueError: The shapes do not fit, or there is no such frame.
        """
        reference = self.reference_of(frames.shape[1], reference)
        light = self.reconstruct(frames, times_s, reference, aligned=aligned).radiance
        return light * brightest(times_s, reference).to(light.dtype)

    def reconstruct(
        self,
        frames: torch.Tensor,
        times_s: torch.Tensor,
        reference: int | None = None,
        *,
        alignment: Literal["features", "radiance"] | None = None,
        facts: Any = None,
        aligned: torch.Tensor | None = None,
    ) -> Reconstruction:
        """As :meth:`forward`, in the scale of the shortest exposure.

        Args:
            frames: See there; likewise ``times_s`` and ``reference``.
            alignment: What to tell of the alignment, if anything.
            facts: What the network knows of the whole picture that these are a part of.
            aligned: See :meth:`forward`.
        """
        reference = self.check_stacks(frames, times_s, reference)
        height, width = frames.shape[3:]
        inputs = padded(self._inputs(frames, times_s, reference, aligned), self.align_px)
        found = self._reconstruct(inputs, reference, alignment, facts)
        light = found.radiance[..., :height, :width]
        if self.follows and aligned is not None:
            start = first_guess(frames, aligned, times_s, reference, self.response)
            light = inverse_mu_law((start + (2 * light.to(start.dtype) - 1)).clamp(0, 1))
        return found._replace(radiance=light)

    def _inputs(
        self,
        frames: torch.Tensor,
        times_s: torch.Tensor,
        reference: int,
        aligned: torch.Tensor | None,
    ) -> torch.Tensor:
        """(B, n, entering, H, W), see :func:`inputs_of` and :func:`followed_inputs`."""
        if not self.follows:
            return inputs_of(frames, times_s, self.response)
        if aligned is None or aligned.shape != frames.shape:
            raise ValueError(f"{self.name} needs its frames also as laid by optical flow")
        return followed_inputs(frames, aligned, times_s, reference, self.response)

    def _halves(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Frames and aligned frames of stacks (B, n or 2 n, 3, H, W)."""
        if not self.follows:
            return pixels, None
        count = pixels.shape[1] // 2
        return pixels[:, :count], pixels[:, count:]

    def check_stacks(
        self, frames: torch.Tensor, times_s: torch.Tensor, reference: int | None
    ) -> int:
        """The index of the reference of a batch that fits; see :meth:`forward`.

        Raises:
            ValueError: The shapes do not fit, or there is no such frame.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"stacks are (B, n, 3, H, W), not {tuple(frames.shape)}")
        if times_s.shape != frames.shape[:2]:
            raise ValueError(
                f"exposure times are (B, n) as the stacks, {tuple(frames.shape[:2])}, not "
                f"{tuple(times_s.shape)}"
            )
        self.check_count(frames.shape[1])
        return self.reference_of(frames.shape[1], reference)

    def reference_of(self, count: int, reference: int | None) -> int:
        """The index of the reference among ``count`` frames.

        Raises:
            ValueError: There is no such frame.
        """
        if reference is None:
            return middle(count)
        if not 0 <= reference < count:
            raise ValueError(f"there is no reference {reference} among {count} frames, from 0 on")
        return reference

    def prepare(self, stack: StackPixels) -> HdrContext:
        """Find out what is global.

        Raises:
            ValueError: The network does not take that many frames, exposure times are missing or
                impossible, there is no such reference, or the network is in training mode.
        """
        if self.follows and stack.count % 2:
            raise ValueError(f"{self.name} as it was trained takes every frame twice")
        count = stack.count // 2 if self.follows else stack.count
        self.check_count(count)
        if self.training:
            raise ValueError(f"{self.name} is in training mode; call eval() before fusing")
        times = self._times_of(stack)
        if times is None or len(times) != stack.count:
            raise ValueError(
                f"{self.name} needs an exposure time for each of the {stack.count} frames; give "
                "them, or have them estimated from the pixels"
            )
        if not all(0 < time < math.inf for time in times):
            raise ValueError(
                f"exposure times are numbers above 0, not {', '.join(map(str, times))}"
            )
        dtype = next(self.parameters()).dtype
        times_s = torch.tensor([times[:count]], dtype=torch.float64, device=self.device)
        times_s = (times_s / times_s.amin()).to(dtype)  # any unit will do
        reference = self.reference_of(count, self.default_reference)
        return HdrContext(
            times_s=times_s, reference=reference, facts=self._facts(stack, times_s, reference)
        )

    def fuse_tile(self, tile: Tile, context: HdrContext) -> torch.Tensor:
        """(3, h, w) linear radiance in the reference's scale."""
        times_s, reference = context.times_s, context.reference
        facts = self._facts_of_tile(context.facts, tile)
        frames, aligned = self._halves(tile.pixels.unsqueeze(0))
        found = self.reconstruct(frames, times_s, reference, facts=facts, aligned=aligned)
        return (found.radiance * brightest(times_s, reference))[0]

    def _times_of(self, stack: StackPixels) -> tuple[float, ...] | None:
        """The frames' exposure times, where they are known."""
        return stack.exposure_times_s

    def _facts(self, stack: StackPixels, times_s: torch.Tensor, reference: int) -> Any:
        """What tiles must know of the whole stack; nothing, unless a network says otherwise."""
        return None

    def _facts_of_tile(self, facts: Any, tile: Tile) -> Any:
        """The part of the facts that a tile needs."""
        return facts

    def _reconstruct(
        self,
        inputs: torch.Tensor,
        reference: int,
        alignment: Literal["features", "radiance"] | None,
        facts: Any,
    ) -> Reconstruction:
        """Radiance of padded inputs (B, n, 6, H, W): linear values, then display-referred ones."""
        raise NotImplementedError
