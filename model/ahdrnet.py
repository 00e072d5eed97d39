# SPDX-License-Identifier: Apache-2.0
"""AHDRNet: attention on the reference decides what the other two frames may add.

After Q. Yan et al., "Attention-guided network for ghost-free high dynamic range imaging", CVPR
2019, with the five dense layers of SelfHDR, whose backbone it is (Z. Zhang et al., ICLR 2024).
No layer looks at the whole picture, so tiles agree with it to the last bits.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.nn.functional import leaky_relu

from model.hdr_inputs import Start
from model.hdr_network import HdrNetwork, Reconstruction
from model.layers import DenseBlock, Tail, conv3x3
from model.option_checks import whole
from model.radiance import Response

__all__ = ["AhdrNet"]

_BLOCKS = 3
_DILATION = 2


class AhdrNet(HdrNetwork):
    """The three-frame network.

    Args:
        width: Channels of features.
        growth: Channels that a dense layer adds.
        layers: Dense layers of each of the three blocks.
        response: How frames are linearised.
        start: What the result begins with.

    Raises:
        ValueError: An option has an impossible value.
    """

    name: ClassVar[str] = "ahdrnet"
    min_frames: ClassVar[int] = 3
    max_frames: ClassVar[int | None] = 3

    def __init__(
        self,
        width: int = 64,
        growth: int = 32,
        layers: int = 5,
        response: Response = "gamma",
        start: Start = "nothing",
    ) -> None:
        sizes = {"width": width, "growth": growth, "layers": layers}
        super().__init__(sizes, response=response, start=start)
        whole("width", width)
        whole("growth", growth)
        whole("layers", layers)
        self.features = conv3x3(self.entering, width)
        self.attentions = nn.ModuleList(_Attention(width) for _ in range(2))
        self.entry = conv3x3(3 * width, width)
        self.blocks = nn.ModuleList(
            DenseBlock(width, growth, layers, dilation=_DILATION) for _ in range(_BLOCKS)
        )
        self.gather = nn.Conv2d(_BLOCKS * width, width, 1)
        self.after = nn.ModuleList([conv3x3(width, width), conv3x3(width, width)])
        self.tail = Tail(width)
        self._layers = layers
        self._begin()

    @property
    def halo_px(self) -> int:
        """Seven convolutions, and the dense layers, which are dilated."""
        return 7 + _BLOCKS * self._layers * _DILATION

    def _reconstruct(
        self,
        inputs: torch.Tensor,
        reference: int,
        alignment: Literal["features", "radiance"] | None,
        facts: Any,
    ) -> Reconstruction:
        darker, brighter = (k for k in range(3) if k != reference)
        one, own, two = (
            leaky_relu(self.features(inputs[:, k])) for k in (darker, reference, brighter)
        )
        one, two = (
            other * attention(other, own)
            for attention, other in zip(self.attentions, (one, two), strict=True)
        )
        x = self.entry(torch.cat([one, own, two], 1))
        levels = []
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        x = self.after[0](self.gather(torch.cat(levels, 1))) + own
        return Reconstruction(self.tail(leaky_relu(self.after[1](x))))


class _Attention(nn.Module):
    """How much of another frame's features counts, 0..1 each, by what the reference shows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv3x3(2 * width, 2 * width)
        self.second = conv3x3(2 * width, width)

    def forward(self, other: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        both = leaky_relu(self.first(torch.cat([other, own], 1)))
        weights: torch.Tensor = self.second(both).sigmoid()
        return weights
