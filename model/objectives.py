# SPDX-License-Identifier: Apache-2.0
"""What a training run minimises and measures; the training loop knows nothing else of a system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from model.contact_sheet import contact_sheet, lightness
from model.fusion_network import Fusion, FusionNetwork
from model.fusion_scores import FusionScores
from model.fusion_terms import FusionTerms, build_terms
from model.hdr_network import HdrNetwork
from model.hdr_objectives import build_hdr_objective
from model.hdr_terms import build_hdr_terms
from model.measures import FusionMeasures, Measures
from model.metrics.mef_ssim import LEAST_PX
from model.networks import build_network
from model.objective import Batch, Objective, Step, inner, shipped, weighed
from model.usme_objective import LOSS as USME
from model.usme_objective import UsmeObjective

__all__ = ["Batch", "FusionObjective", "Objective", "Step", "build_objective"]

_SHEET_ROWS = 4
_EXCESS = 0.1
"""How much it counts, in any loss, that a blend leaves 0..1: where it is clipped, no other term has
a gradient."""


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
    needs: tuple[str, ...] = ()

    def __init__(self, network: FusionNetwork, terms: FusionTerms) -> None:
        self.network: nn.Module = _Trained(network, terms)
        self._scores = FusionScores()

    @property
    def measures(self) -> Measures:
        return FusionMeasures()

    @property
    def frames(self) -> tuple[int, int | None]:
        network = self._trained.fusion
        return network.min_frames, network.max_frames

    def step(self, batch: Batch) -> Step:
        """The weighted sum of the loss's terms; ``parts`` holds each of them unweighted."""
        terms: dict[str, tuple[float, torch.Tensor]]
        _, terms = self.network(batch["frames"])
        return weighed(terms)

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
        return shipped(self._trained.fusion)

    def _fuse(self, batch: Batch) -> Fusion:
        fusion: Fusion = self._trained.fusion(batch["frames"])
        return Fusion(fusion.fused.float(), fusion.weights)

    @property
    def _trained(self) -> _Trained:
        return inner(self.network, _Trained)


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
        loss: ``name``, and the options of that loss: one of :mod:`model.hdr_terms` for networks
            that make radiance, of :mod:`model.fusion_terms` for the others.

    Raises:
        ValueError: A name or an option is unknown or impossible; the message says what is allowed.
    """
    name, options = _split(network, "network")
    built = build_network(name, options)
    name, options = _split(loss, "loss")
    if isinstance(built, HdrNetwork) and name == USME:
        return UsmeObjective(built, build_hdr_terms(name, options))
    if isinstance(built, HdrNetwork):
        return build_hdr_objective(built, name, options)
    return FusionObjective(built, build_terms(name, options))


def _split(table: Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"{what}.name must be a text, not {name!r}")
    return name, options
