# SPDX-License-Identifier: Apache-2.0
"""What a training run minimises and measures; the training loop knows nothing else of a system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from model.contact_sheet import contact_sheet, lightness
from model.fusion_network import Fusion, FusionNetwork
from model.fusion_scores import FusionScores
from model.fusion_terms import FusionTerms, build_terms
from model.metrics.mef_ssim import LEAST_PX
from model.networks import build_network

__all__ = ["Batch", "FusionObjective", "Objective", "Step", "build_objective"]

Batch = dict[str, torch.Tensor]
"""``frames`` (B, k, 3, P, P) float32 sRGB in 0..1, dark to bright; other systems know more keys."""

_SHEET_ROWS = 4
_EXCESS = 0.1
"""How much it counts, in any loss, that a blend leaves 0..1: where it is clipped, no other term has
a gradient."""


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
    names the figure of :meth:`evaluate` that decides which weights are best. ``least_px`` is the
    least side P of a patch that :meth:`step` and :meth:`evaluate` can do with.
    """

    network: nn.Module
    headline: str
    least_px: int

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


class FusionObjective:
    """Training of a network that fuses display-referred frames, without labels.

    Figures: ``gray_ms3`` (the headline) and ``color`` of the 8-bit fusion, the same of Mertens'
    fusion (``..._mertens``), and ``chroma_shift`` between the two; see
    :class:`model.fusion_scores.FusionScores`.

    Args:
        network: The network.
        terms: What its fusions have to minimise.
    """

    headline = "gray_ms3"
    least_px = LEAST_PX  # of the headline; every loss can do with less, or with the same

    def __init__(self, network: FusionNetwork, terms: FusionTerms) -> None:
        self.network: nn.Module = _Trained(network, terms)
        self._scores = FusionScores()

    @property
    def frames(self) -> tuple[int, int | None]:
        network = self._trained.fusion
        return network.min_frames, network.max_frames

    def step(self, batch: Batch) -> Step:
        """The weighted sum of the loss's terms; ``parts`` holds each of them unweighted."""
        terms: dict[str, tuple[float, torch.Tensor]]
        _, terms = self.network(batch["frames"])
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        return Step(loss, {name: term.detach() for name, (_, term) in terms.items()})

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self._scores(self._fuse(batch).fused, batch["frames"])

    @torch.no_grad()
    def picture(self, batch: Batch) -> torch.Tensor:
        """A row for each of the first patches: its frames, Mertens' fusion, ours, and the weight
        of the brightest frame, as a lightness."""
        few = {"frames": batch["frames"][:_SHEET_ROWS]}
        fusion = self._fuse(few)
        mertens = self._scores.mertens(few["frames"])
        return contact_sheet(
            [
                [*frames, theirs, ours, lightness(weights[-1].float())]
                for frames, theirs, ours, weights in zip(
                    few["frames"], mertens, fusion.fused, fusion.weights, strict=True
                )
            ]
        )

    def export(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        network = self._trained.fusion
        state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        return state, {"network": network.name, "options": dict(network.options)}

    def _fuse(self, batch: Batch) -> Fusion:
        fusion: Fusion = self._trained.fusion(batch["frames"])
        return Fusion(fusion.fused.float(), fusion.weights)

    @property
    def _trained(self) -> _Trained:
        wrapped = self.network
        while not isinstance(wrapped, _Trained):  # DistributedDataParallel, AveragedModel
            wrapped = wrapped.module  # type: ignore[assignment]
        return wrapped


class _Trained(nn.Module):
    """Network and loss in one module: data-parallel wrappers see every parameter, and every
    gradient comes out of one call."""

    def __init__(self, fusion: FusionNetwork, terms: FusionTerms) -> None:
        super().__init__()
        self.fusion = fusion
        self.terms = terms

    def forward(self, frames: torch.Tensor) -> tuple[Fusion, dict[str, tuple[float, torch.Tensor]]]:
        fusion = self.fusion(frames)
        # Local variances do not survive reduced precision.
        with torch.autocast(frames.device.type, enabled=False):
            terms = self.terms(fusion.fused.float(), frames)
            if fusion.excess is not None:
                terms["excess"] = (_EXCESS, fusion.excess.float().mean())
            return fusion, terms


def build_objective(network: Mapping[str, Any], loss: Mapping[str, Any]) -> Objective:
    """The objective of a recipe.

    Args:
        network: ``name``, and the options of that network (:mod:`model.networks`).
        loss: ``name``, and the options of that loss (:mod:`model.fusion_terms`).

    Raises:
        ValueError: A name or an option is unknown or impossible; the message says what is allowed.
    """
    name, options = _split(network, "network")
    built = build_network(name, options)
    name, options = _split(loss, "loss")
    return FusionObjective(built, build_terms(name, options))


def _split(table: Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"{what}.name must be a text, not {name!r}")
    return name, options
