# SPDX-License-Identifier: Apache-2.0
"""What a fusion without labels can be asked to minimise: the losses of :mod:`model.losses` by name,
as modules that a recipe can describe.

=================  ================================================================================
weighted_ssim      SSIM with each frame, weighed by one of six gammas (arXiv 2510.21815)
mef_ssim           1 - MEF-SSIM, with optional terms for colour and for Mertens' brightness
learned_gamma      as weighted_ssim, with a gamma that is trained along
=================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from model.fusion_model import TensorStack
from model.losses.chroma import chroma_loss
from model.losses.learned_gamma import LearnedGamma
from model.losses.mef_ssim import color_mef_ssim_loss, mef_ssim_loss
from model.losses.weighted_ssim import WeightedSsimLoss, weighted_ssim_loss
from model.luma import luma
from model.mertens import Mertens
from model.named import build_named
from model.option_checks import amount, flag
from model.tiles import fuse

__all__ = ["LOSSES", "FusionTerms", "Terms", "build_terms", "fuse_mertens"]

Terms = dict[str, tuple[float, torch.Tensor]]
"""Name of a term -> how much it counts, and its value: what is minimised is the weighted sum."""

_ANCHOR_PX = 16


class FusionTerms(nn.Module):
    """A loss as the sum of named terms. ``terms(fused, frames)`` takes a fusion (B, 3, H, W) and
    its frames (B, K, 3, H, W), both float32 sRGB in 0..1, and returns :data:`Terms`."""

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> Terms:
        raise NotImplementedError


class WeightedSsimTerms(FusionTerms):
    """:class:`model.losses.weighted_ssim.WeightedSsimLoss`, one of six gammas.

    Args:
        gamma: The formulation, see :mod:`model.losses.gammas`.
        luminance: Whole SSIM, or its contrast-structure term alone.
    """

    def __init__(self, gamma: str = "vd", luminance: bool = True) -> None:
        super().__init__()
        self.loss = WeightedSsimLoss(gamma, flag("luminance", luminance))

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> Terms:
        return {"weighted_ssim": (1.0, self.loss(fused, frames))}


class LearnedGammaTerms(FusionTerms):
    """Weighted SSIM with a gamma that is trained along,
    :class:`model.losses.learned_gamma.LearnedGamma`.

    Args:
        luminance: Whole SSIM, or its contrast-structure term alone.
    """

    def __init__(self, luminance: bool = True) -> None:
        super().__init__()
        self.luminance = flag("luminance", luminance)
        self.gamma = LearnedGamma()

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> Terms:
        x = luma(frames).squeeze(2)
        loss = weighted_ssim_loss(luma(fused), x, self.gamma(x), luminance=self.luminance)
        return {"weighted_ssim": (1.0, loss)}


class MefSsimTerms(FusionTerms):
    """One less MEF-SSIM (``gray_ms3``), which is blind to colour and brightness; three more terms
    can speak for those.

    Args:
        color: How much one less the colour MEF-SSIM counts.
        chroma: How much the distance from the frames' own colours counts,
            :func:`model.losses.chroma.chroma_loss`.
        anchor: How much the brightness counts: mean absolute difference between the lumas (0..1)
            of the fusion and of Mertens' fusion, both averaged over 16 x 16 px.
    """

    def __init__(self, color: float = 0.0, chroma: float = 0.0, anchor: float = 0.0) -> None:
        super().__init__()
        self.color = amount("color", color)
        self.chroma = amount("chroma", chroma)
        self.anchor = amount("anchor", anchor)

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> Terms:
        terms: Terms = {"mef_ssim": (1.0, mef_ssim_loss(luma(fused), luma(frames).squeeze(2)))}
        if self.color:
            terms["color"] = (self.color, color_mef_ssim_loss(fused, frames))
        if self.chroma:
            terms["chroma"] = (self.chroma, chroma_loss(fused, frames))
        if self.anchor:
            ours, theirs = (_blurred(luma(x)) for x in (fused, fuse_mertens(frames)))
            terms["anchor"] = (self.anchor, (ours - theirs).abs().mean())
        return terms


LOSSES: dict[str, type[FusionTerms]] = {
    "weighted_ssim": WeightedSsimTerms,
    "mef_ssim": MefSsimTerms,
    "learned_gamma": LearnedGammaTerms,
}
"""Name in a recipe -> the loss; its keyword arguments are the recipe's other keys."""


def build_terms(name: str, options: Mapping[str, Any]) -> FusionTerms:
    """A loss of :data:`LOSSES`.

    Raises:
        ValueError: There is no such loss or option, or an option has an impossible value.
    """
    return build_named("loss", LOSSES, name, options)


def fuse_mertens(frames: torch.Tensor) -> torch.Tensor:
    """Mertens' fusions (B, 3, H, W) of stacks (B, K, 3, H, W), without gradients."""
    model = Mertens(frames.device)
    fused = [fuse(model, TensorStack(stack)) for stack in frames.detach().float()]
    return torch.stack(fused).to(frames.device)


def _blurred(x: torch.Tensor) -> torch.Tensor:
    return avg_pool2d(x, min(_ANCHOR_PX, *x.shape[-2:]))
