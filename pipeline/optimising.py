# SPDX-License-Identifier: Apache-2.0
"""Learning rate, optimiser and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pipeline.recipe import TrainingSettings

__all__ = ["Averaged", "learning_rate", "make_optimizer"]

_FIFTHS = 5


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """The rate of update ``step`` (from 0): a pure function, so that resuming changes nothing.

    Linear warm-up first; then constant, a cosine down to zero, or halved at each fifth of all
    steps.
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    if settings.schedule == "step":
        return settings.lr * 0.5 ** (_FIFTHS * step // settings.steps)
    if settings.schedule == "cosine":
        done = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
        return settings.lr * 0.5 * (1 + math.cos(math.pi * done))
    return settings.lr


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW; no weight decay on biases and on the scales of normalisation, which are vectors."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr)


class Averaged:
    """Running mean of a network's parameters (exponential, after Polyak's idea).

    Buffers are not averaged: they are running means already.

    Args:
        network: whose parameters are followed.
        decay: weight of the past, 0..1. It starts lower, so that the first random weights are
            soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.state = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the parameters after update ``step`` (from 0)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._network.named_parameters():
            self.state[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from another mean."""
        for name, value in state.items():
            self.state[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mean in the place of the parameters, for the length of a ``with`` block."""
        parameters = dict(self._network.named_parameters())
        kept = {name: p.detach().clone() for name, p in parameters.items()}
        try:
            self._set(self.state)
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, state: dict[str, torch.Tensor]) -> None:
        for name, parameter in self._network.named_parameters():
            parameter.copy_(state[name])
