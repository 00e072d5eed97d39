# SPDX-License-Identifier: Apache-2.0
"""What the training loop knows of a system that is trained, and what all systems share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from model.fusion_network import FusionNetwork
from model.measures import Measures

__all__ = ["Batch", "Objective", "Step", "inner", "shipped", "weighed"]

Batch = dict[str, torch.Tensor]
"""``frames`` (B, k, 3, P, P) float32 sRGB in 0..1, dark to bright; other systems know more keys."""

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Step:
    """What one step has to minimise; ``parts`` are detached scalars for the curve."""

    loss: torch.Tensor
    parts: dict[str, torch.Tensor]


class Objective(Protocol):
    """One system in training.

    ``network`` is what is trained, trainable parts of the loss included. The loop moves it to its
    device, puts a data-parallel wrapper or a running mean of it in its place, and switches it
    between training and evaluation; every method works with whatever stands there. ``headline``
    names the figure of :meth:`evaluate` that decides which weights are best, ``measures`` is what
    studies judge the network by. ``least_px`` is the
    least side P of a patch that :meth:`step` and :meth:`evaluate` can do with. ``needs`` names the
    keys that a batch must have besides ``frames``.
    """

    network: nn.Module
    headline: str
    least_px: int

    @property
    def measures(self) -> Measures: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def frames(self) -> tuple[int, int | None]:
        """Fewest and most frames of a batch; None: any number."""
        ...

    def step(self, batch: Batch) -> Step:
        """The loss of a batch, with gradients."""
        ...

    def evaluate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Figures (B,) of each patch, without gradients; of the headline, higher is better."""
        ...

    def picture(self, batch: Batch) -> torch.Tensor:
        """A contact sheet (3, H, W) in 0..1 of the first few patches."""
        ...

    def export(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What ships: the network's state, and {"network": name, "options": {...}}."""
        ...


def weighed(terms: dict[str, tuple[float, torch.Tensor]]) -> Step:
    """The sum of terms, each by its name as (how much it counts, its value); ``parts`` holds them
    unweighted."""
    loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
    return Step(loss, {name: term.detach() for name, (_, term) in terms.items()})


def inner(network: nn.Module, kind: type[Module]) -> Module:
    """What stands in data-parallel wrappers and running means."""
    while not isinstance(network, kind):  # DistributedDataParallel, AveragedModel
        network = network.module  # type: ignore[assignment]
    return network


def shipped(network: FusionNetwork) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """See :meth:`Objective.export`."""
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    return state, {"network": network.name, "options": dict(network.options)}
