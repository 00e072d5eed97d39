# SPDX-License-Identifier: Apache-2.0
"""What losses of radiance look at, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from model.fusion_terms import Terms
from model.hdr_network import Reconstruction
from model.losses.perceptual import VggLoss
from model.radiance import Response

__all__ = ["AlignedMaps", "HdrTerms", "HdrViews", "vgg_of"]

AlignedMaps = Literal["features", "radiance"]


@dataclass(frozen=True, kw_only=True)
class HdrViews:
    """A batch as the losses see it: radiances (B, 3, P, P) in 0..1, the scale of the shortest
    exposure.

    ``labels`` holds those that the batch has, of ``label`` (the truth), ``color`` and
    ``structure``; ``reference`` is what the reference frame shows of the radiance,
    ``reference_display`` that frame; ``valid`` (B, 1, P, P) in 0..1 says where ``color`` holds.
    ``aligned`` (B, n, 3, P, P) are all frames laid on the reference, display-referred, and
    ``aligned_light`` what they show of the radiance, where the batch has them; ``response`` is how
    they were linearised.
    """

    labels: Mapping[str, torch.Tensor]
    reference: torch.Tensor
    reference_display: torch.Tensor
    valid: torch.Tensor | None = None
    aligned: torch.Tensor | None = None
    aligned_light: torch.Tensor | None = None
    response: Response = "gamma"


class HdrTerms(nn.Module):
    """A loss as the sum of named terms; ``terms(made, views)`` returns
    :data:`model.fusion_terms.Terms`.

    ``needs`` names the labels that a batch must have, ``target`` the one to be shown beside the
    result. ``alignment`` is what the network is asked to tell of its alignment. ``noise`` is the
    standard deviation of what is added to the reference frame in training, of 0..1. Patches have
    sides of at least ``least_px``.
    """

    needs: ClassVar[tuple[str, ...]]
    target: ClassVar[str]
    supervised: ClassVar[bool]
    alignment: AlignedMaps | None = None
    noise: float = 0.0
    least_px: int = 1

    def forward(self, made: Reconstruction, views: HdrViews) -> Terms:
        raise NotImplementedError


def vgg_of(counts: float, path: str) -> VggLoss | None:
    """The perceptual loss of a file of weights, where it counts."""
    return VggLoss(path) if counts else None
