# SPDX-License-Identifier: Apache-2.0
"""The parts of FlexHDR (:mod:`model.flexhdr`): flow, exposure, attention, merge.

Maps of several frames are (B, n, C, H, W).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from model.layers import DenseBlock, Tail, apart, conv3x3, piecewise

__all__ = ["Attention", "ExposureLimits", "FlowNet", "Merge", "PoolFusion", "trust", "warp"]

_BLOCKS = 3
_START = 1.1  # of the limits: 0.15 and 0.85 to begin with
_STILL = 0.02  # by how much the flow's last layer starts smaller than others


class PoolFusion(nn.Module):
    """A convolution of each frame's map together with the maximum over all frames.

    Args:
        entering: Channels of a frame.
        leaving: Channels that come out.
        pooled: See the other frames at all.
    """

    def __init__(self, entering: int, leaving: int, *, pooled: bool) -> None:
        super().__init__()
        self.conv = conv3x3(2 * entering if pooled else entering, leaving)
        self._pooled = pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, n, entering, H, W) to (B, n, leaving, H, W)."""
        frames = x.flatten(0, 1)
        if not self._pooled:
            return apart(piecewise(self.conv, frames), x.shape[1])
        # The same as a convolution of both side by side, with the common part done once.
        own, common = self.conv.weight.chunk(2, 1)
        each = piecewise(
            lambda frame: functional.conv2d(frame, own, self.conv.bias, padding=1), frames
        )
        most = functional.conv2d(x.amax(1), common, padding=1)
        return apart(each, x.shape[1]).add_(most.unsqueeze(1))


class ExposureLimits(nn.Module):
    """Between which two values a frame counts as well exposed, a pair of numbers a frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([conv3x3(6, width), conv3x3(width, width)])
        self.last = conv3x3(width, 2)
        nn.init.normal_(self.last.weight, std=0.01)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([-_START, _START]))  # type: ignore[union-attr]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, n, 6, H, W) to (B, n, 2, H, W); means over the picture go to :meth:`limits_of`."""
        return apart(piecewise(self._maps, inputs.flatten(0, 1)), inputs.shape[1])

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).relu_()
        x = self.last(x)
        return x.to(_exact(x))

    def limits_of(self, means: torch.Tensor) -> torch.Tensor:
        """(B, n, 2): lower limit 0.05..0.45 and upper limit 0.55..0.95, of means (B, n, 2)."""
        lower, upper = means.sigmoid().unbind(-1)
        return torch.stack([0.05 + 0.4 * lower, 0.55 + 0.4 * upper], -1)


def trust(display: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """How well places are exposed, (B, n, 1, H, W): 1 between the limits, down to 0 at black and
    at white.

    Args:
        display: (B, n, 3, H, W) in 0..1.
        limits: (B, n, 2), see :class:`ExposureLimits`.
    """
    mean = display.mean(2, keepdim=True)
    lower, upper = limits[..., None, None, None].to(mean.dtype).unbind(2)
    return torch.minimum(mean / lower, (1 - mean) / (1 - upper)).clamp(0, 1)


class FlowNet(nn.Module):
    """How each frame moved against the reference, at an eighth of the size, refined again and
    again by the same layers, from no motion at all.

    Args:
        entering: Channels of a frame beside the reference.
        width: Channels of the finest level.
        iterations: How often it is refined.
        reach: The longest motion, in pixels of an eighth.
        pooled: Let frames see each other.
    """

    def __init__(
        self, entering: int, width: int, *, iterations: int, reach: float, pooled: bool
    ) -> None:
        super().__init__()
        twice, half = 2 * width, width // 2
        self.encoder = nn.ModuleList(
            [
                conv3x3(entering, width, stride=2),
                conv3x3(width, twice, stride=2),
                conv3x3(twice, twice, stride=2),
            ]
        )
        self.pool = PoolFusion(twice, twice, pooled=pooled)
        widths = (twice + 2, twice, width, width, half)
        self.step = nn.ModuleList(map(conv3x3, widths[:-1], widths[1:]))
        self.last = conv3x3(half, 2)
        with torch.no_grad():
            self.last.weight.mul_(_STILL)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self._iterations = iterations
        self._reach = reach

    def forward(
        self, theirs: torch.Tensor, own: torch.Tensor, trusts: torch.Tensor | None
    ) -> torch.Tensor:
        """What the flow starts from, (B, m, 2 width, H/8, W/8).

        Args:
            theirs: Features of the other frames, (B, m, C, H, W).
            own: Features of the reference, (B, C, H, W).
            trusts: How well the other frames are exposed, (B, m, 1, H, W).
        """
        return apart(piecewise(self._encode, *_together(theirs, own, trusts)), theirs.shape[1])

    def _encode(
        self, theirs: torch.Tensor, own: torch.Tensor, trusts: torch.Tensor | None
    ) -> torch.Tensor:
        x = torch.cat([theirs, own, *_present(trusts)], 1)
        for layer in self.encoder:
            x = layer(x).relu_()
        return x

    def refine(self, start: torch.Tensor) -> torch.Tensor:
        """The flow (B, m, 2, h, w), x then y, in pixels of this size: what stands at a place of
        the reference stands in the frame at that place plus the flow."""
        maps = self.pool(start).relu_().flatten(0, 1)
        flow = maps.new_zeros(len(maps), 2, *maps.shape[-2:], dtype=_exact(maps))
        for _ in range(self._iterations):
            x = torch.cat([maps, flow.to(maps.dtype)], 1)
            for layer in self.step:
                x = layer(x).relu_()
            flow = flow + self.last(x).to(flow.dtype)
        return apart(self._reach * (flow / self._reach).tanh(), start.shape[1])

    def enlarged(self, flow: torch.Tensor, times: int) -> torch.Tensor:
        """A flow at ``times`` its size, in pixels of that size."""
        large = functional.interpolate(
            flow.flatten(0, 1) * times, scale_factor=times, mode="bilinear"
        )
        return apart(large, flow.shape[1])


def warp(x: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Frames (B, m, C, H, W) fetched along a flow (B, m, 2, H, W) in pixels; from beyond the border
    comes what stands at the border."""
    height, width = x.shape[-2:]
    exact = _exact(x)
    rows = torch.arange(height, device=x.device, dtype=exact)
    cols = torch.arange(width, device=x.device, dtype=exact)
    dx, dy = flow.to(exact).flatten(0, 1).unbind(1)
    grid = torch.stack(
        [(dx + cols) * (2 / (width - 1)) - 1, (dy + rows[:, None]) * (2 / (height - 1)) - 1], -1
    )
    # Positions do not survive reduced precision.
    with torch.autocast(x.device.type, enabled=False):
        fetched = functional.grid_sample(
            x.flatten(0, 1).to(exact), grid, padding_mode="border", align_corners=True
        )
    return apart(fetched.to(x.dtype), x.shape[1])


class Attention(nn.Module):
    """What of each frame may pass, (B, m, width, H, W) in 0..1.

    Args:
        width: Channels of features.
        trusts: Whether it is told how well frames are exposed.
        misfit: Whether it is told how far a frame is from the reference, where that is exposed
            well.
        pooled: Let frames see each other.
    """

    reach_px = 3

    def __init__(self, width: int, *, trusts: bool, misfit: bool, pooled: bool) -> None:
        super().__init__()
        self.first = conv3x3((3 if misfit else 2) * width + int(trusts), width)
        self.pool = PoolFusion(width, 2 * width, pooled=pooled)
        self.last = conv3x3(2 * width, width)
        self._misfit = misfit

    def forward(
        self,
        theirs: torch.Tensor,
        own: torch.Tensor,
        trusts: torch.Tensor | None,
        own_trust: torch.Tensor | None,
    ) -> torch.Tensor:
        """As :meth:`FlowNet.forward`, of frames laid on the reference; ``own_trust``
        (B, 1, H, W)."""
        maps = piecewise(self._compare, *_together(theirs, own, trusts, own_trust))
        maps = self.pool(apart(maps, theirs.shape[1])).relu_().flatten(0, 1)
        return apart(piecewise(self.last, maps).sigmoid_(), theirs.shape[1])

    def _compare(
        self,
        theirs: torch.Tensor,
        own: torch.Tensor,
        trusts: torch.Tensor | None,
        own_trust: torch.Tensor | None,
    ) -> torch.Tensor:
        seen = [theirs, own]
        if self._misfit:
            misfit = (theirs - own).abs()
            seen.append(misfit if own_trust is None else misfit * own_trust)
        compared: torch.Tensor = self.first(torch.cat([*seen, *_present(trusts)], 1)).relu_()
        return compared


class Merge(nn.Module):
    """All frames' features to one picture: dense blocks on each, what they share after each, and
    the maximum over the frames of all that."""

    def __init__(
        self, width: int, growth: int, layers: int, *, dilation: int, pooled: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            DenseBlock(width, growth, layers, dilation=dilation) for _ in range(_BLOCKS)
        )
        self.pools = nn.ModuleList(PoolFusion(width, width, pooled=pooled) for _ in range(_BLOCKS))
        self.gather = nn.Conv2d(_BLOCKS * width, width, 1)
        self.after = nn.ModuleList([conv3x3(width, width), conv3x3(width, width)])
        self.tail = Tail(width)
        self.reach_px = _BLOCKS * (layers * dilation + 1) + 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, n, width, H, W), the reference first, to (B, 3, H, W) in 0..1."""
        own = x[:, 0]
        levels = []
        for block, pool in zip(self.blocks, self.pools, strict=True):
            x = pool(apart(block(x.flatten(0, 1)), x.shape[1]))
            levels.append(x.amax(1))
        y = self.gather(torch.cat(levels, 1)).relu_()
        y = self.after[0](y).add_(own).relu_()
        light: torch.Tensor = self.tail(self.after[1](y).relu_())
        return light


def _together(
    theirs: torch.Tensor, own: torch.Tensor, *more: torch.Tensor | None
) -> list[torch.Tensor | None]:
    """Maps of the other frames (B, m, ...) and of the reference (B, ...), all as (B * m, ...)."""

    def like(x: torch.Tensor | None) -> torch.Tensor | None:
        if x is None:
            return None
        if x.ndim == 4:
            x = x.unsqueeze(1).expand(-1, theirs.shape[1], -1, -1, -1)
        return x.flatten(0, 1)

    return [like(x) for x in (theirs, own, *more)]


def _present(x: torch.Tensor | None) -> list[torch.Tensor]:
    return [] if x is None else [x]


def _exact(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
