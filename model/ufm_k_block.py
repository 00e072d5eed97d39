# SPDX-License-Identifier: Apache-2.0
"""The layers of one level of :mod:`model.ufm_k`."""

from __future__ import annotations

import torch
from torch.nn import functional

from model.pyramids import lift
from model.ufm_k_levels import MEASURES

__all__ = ["Block"]

_SLOPE = 0.1  # of the leaky rectifiers
_KEEP = 3.0  # details start with a factor of sigmoid(3) = 0.95


class Block(torch.nn.Module):
    """One level: measures and the state above in; a state, scores and a factor for details out.

    (B, K, 6, h, w) and (B, K, C', h', w') become (B, K, C, h, w), (B, K, 1, h, w) and
    (B, 1, h, w) in 0..1. The top block has no state above it and keeps everything.
    """

    def __init__(self, width: int, above: int | None, *, second: bool) -> None:
        super().__init__()

        def three_by_three(entering: int) -> torch.nn.Conv2d:
            return torch.nn.Conv2d(entering, width, 3, padding=1, padding_mode="replicate")

        self.first = three_by_three(MEASURES)
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
        x = _plus(self.own(x).view(*stacks, *most.shape[1:]), self.others(most).unsqueeze(1))
        x = x.flatten(0, 1)
        if self.above is not None and state is not None:
            # Mixing channels and resizing commute; in this order it costs a quarter.
            above = self.above(state.flatten(0, 1))
            x = _plus(x, lift(above, (height, width)))
        x = _rectify(x)
        if self.second is not None:
            x = _plus(_rectify(self.second(x)), x)
        scores = self.score(x).view(*stacks, 1, height, width)
        x = x.view(*stacks, *x.shape[1:])
        keep = x.new_ones(()) if self.keep is None else self.keep(x.amax(1)).sigmoid()
        return x, scores, keep


def _rectify(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, _SLOPE, inplace=not torch.is_grad_enabled())


def _plus(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Their sum, in the memory of ``x`` unless gradients need it."""
    return x + y if torch.is_grad_enabled() else x.add_(y)
