# SPDX-License-Identifier: Apache-2.0
"""What every network that learns to fuse has in common: stacks in, one picture out."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch

__all__ = ["Fusion", "FusionNetwork"]


class Fusion(NamedTuple):
    """What a fusion network makes of a batch of stacks.

    ``fused`` (B, 3, H, W) is display-referred sRGB in 0..1; ``weights`` (B, K, 1, H, W) say how
    much each frame counts, each in 0..1, with a sum of 1 over K (of the finest level, where a
    network weighs pyramid levels). ``excess`` (B,) is how far the blend left 0..1 on average
    before it was clipped, None where it cannot.
    """

    fused: torch.Tensor
    weights: torch.Tensor
    excess: torch.Tensor | None = None


class FusionNetwork(torch.nn.Module):
    """A network that fuses stacks of K frames; ``network(frames)`` returns a :class:`Fusion`, or
    the radiance of :class:`model.hdr_network.HdrNetwork`.

    ``frames`` (B, K, 3, H, W) are display-referred sRGB in 0..1, dark to bright, of any size.
    ``options`` are the keyword arguments that build the same network again; JSON can hold them.
    ``max_frames`` is None where any number of frames will do.
    """

    name: ClassVar[str]
    min_frames: ClassVar[int] = 2
    max_frames: ClassVar[int | None] = None

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = options

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def check_count(self, count: int) -> None:
        """Refuse a number of frames that the network is not made for.

        Raises:
            ValueError: There are too few frames, or too many.
        """
        if self.min_frames <= count and (self.max_frames is None or count <= self.max_frames):
            return
        if self.max_frames is None:
            wanted = f"at least {self.min_frames}"
        elif self.max_frames == self.min_frames:
            wanted = f"exactly {self.min_frames}"
        else:
            wanted = f"{self.min_frames} to {self.max_frames}"
        raise ValueError(f"{self.name} fuses {wanted} frames, not {count}")
