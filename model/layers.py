# SPDX-License-Identifier: Apache-2.0
"""Parts that several HDR networks share: convolutions, dense blocks, the tail that makes light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

__all__ = ["DenseBlock", "Tail", "apart", "conv3x3", "piecewise"]

Padding = Literal["zeros", "reflect"]
"""What stands around a map."""


def conv3x3(entering: int, leaving: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (or divides it by the stride), zeros around it."""
    return nn.Conv2d(entering, leaving, 3, stride, dilation, dilation)


def apart(x: torch.Tensor, count: int) -> torch.Tensor:
    """(B * n, ...) as (B, n, ...), of ``count`` n frames: takes ``flatten(0, 1)`` back."""
    return x.view(-1, count, *x.shape[1:])


def piecewise(function: Callable[..., torch.Tensor], *maps: torch.Tensor | None) -> torch.Tensor:
    """``function(*maps)`` of maps (N, C, H, W), which does not mix those of a batch.

    Where no gradients are kept it gets one of each at a time: what it needs in between is then N
    times smaller, and photographs are large.
    """
    count = next(len(x) for x in maps if x is not None)
    if torch.is_grad_enabled() or count == 1:
        return function(*maps)
    result = torch.empty(0)
    for k in range(count):
        one = function(*(x if x is None else x[k : k + 1] for x in maps))
        if not k:
            result = one.new_empty(count, *one.shape[1:])
        result[k : k + 1] = one
    return result


class DenseBlock(nn.Module):
    """A residual dense block: every layer sees all before it, a 1x1 convolution sums them up, and
    the whole is added to what came in (Y. Zhang et al., CVPR 2018).

    Args:
        width: Channels in and out.
        growth: Channels that each layer adds.
        layers: How many of them.
        dilation: Of the layers' convolutions.
    """

    def __init__(self, width: int, growth: int, layers: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv3x3(width + index * growth, growth, dilation=dilation) for index in range(layers)
        )
        self.fuse = nn.Conv2d(width + layers * growth, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) to the same."""
        return piecewise(self._block, x)

    def _block(self, x: torch.Tensor) -> torch.Tensor:
        seen = x
        for layer in self.layers:
            seen = torch.cat([seen, layer(seen).relu_()], 1)
        fused: torch.Tensor = self.fuse(seen)
        return fused.add_(x)


class Tail(nn.Module):
    """The last convolution, to linear light in 0..1. Never in reduced precision: 8 bits are too
    few for what the mu-law lifts out of the shadows."""

    def __init__(self, width: int, *, padding_mode: Padding = "zeros") -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 3, 3, padding=1, padding_mode=padding_mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) to (B, 3, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            light: torch.Tensor = self.conv(x.to(self.conv.weight.dtype)).sigmoid()
        return light
