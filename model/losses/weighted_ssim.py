# SPDX-License-Identifier: Apache-2.0
"""Weighted SSIM: the fusion has to resemble each frame where that frame counts.

``1 - mean_w sum_k gamma_k(w) SSIM_w(fused, frame_k)`` over all windows ``w``, of luma, after
arXiv 2510.21815. Of SSIM's two terms the paper keeps both. That pulls the fusion's brightness
towards every frame's at once, and hardly beats the plain average; contrast and structure alone
(``luminance=False``) leave the brightness free.
"""

from __future__ import annotations

import torch

from model.losses.gammas import GAMMAS, gamma
from model.losses.shapes import check_shapes
from model.luma import luma
from model.ssim import SSIM_WINDOW, ssim_terms

__all__ = ["WeightedSsimLoss", "weighted_ssim_loss"]

_MIDDLE = 0.5  # taken off the pictures: float32 then loses less


def weighted_ssim_loss(
    fused_luma: torch.Tensor,
    frames_luma: torch.Tensor,
    gamma: torch.Tensor,
    *,
    luminance: bool,
) -> torch.Tensor:
    """The loss, a scalar in 0..2; 0 where the fusion equals every frame that counts.

    Args:
        fused_luma: (B, 1, H, W) in 0..1, sides of 11 px at least.
        frames_luma: (B, K, H, W) in 0..1.
        gamma: (B, K, H - 10, W - 10), sum 1 over K; see :mod:`model.losses.gammas`.
        luminance: Whole SSIM, or its contrast-structure term alone.

    Raises:
        ValueError: The shapes do not belong together.
    """
    check_shapes(fused_luma, frames_luma, channels=1, least_px=SSIM_WINDOW.size)
    terms = ssim_terms(fused_luma - _MIDDLE, frames_luma - _MIDDLE, peak=1.0, offset=_MIDDLE)
    similarity = terms.luminance * terms.structure if luminance else terms.structure
    if gamma.shape != similarity.shape:
        raise ValueError(
            f"gamma must be {tuple(similarity.shape)} for frames {tuple(frames_luma.shape)}, "
            f"not {tuple(gamma.shape)}"
        )
    return 1 - (gamma * similarity).sum(1).mean()


class WeightedSsimLoss(torch.nn.Module):
    """:func:`weighted_ssim_loss` of colour pictures, with a handcrafted gamma.

    Args:
        gamma: One of :data:`model.losses.gammas.GAMMAS`.
        luminance: Whole SSIM, or its contrast-structure term alone.

    Raises:
        ValueError: There is no such gamma.
    """

    def __init__(self, gamma: str = "vd", luminance: bool = True) -> None:
        super().__init__()
        if gamma not in GAMMAS:
            raise ValueError(f"there is no gamma {gamma!r}; choose one of: {', '.join(GAMMAS)}")
        self.gamma = gamma
        self.luminance = luminance

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """The loss of fusions (B, 3, H, W) of frames (B, K, 3, H, W), sRGB in 0..1."""
        frames_luma = luma(frames).squeeze(2)
        weights = gamma(frames_luma, self.gamma)
        return weighted_ssim_loss(luma(fused), frames_luma, weights, luminance=self.luminance)
