# SPDX-License-Identifier: Apache-2.0
"""MEF-SSIM as something to climb: the metric's own formulas, batched and differentiable.

:func:`mef_ssim` is ``gray_ms3`` and :func:`color_mef_ssim` is ``color_8x8_adaptive_lum`` of
:mod:`model.metrics.mef_ssim`, of pictures that need not be whole 8-bit steps. Pictures come in
0..1; inside, all is on the metric's scale of 0..255. Gradients flow through the fusion alone.
On photographs, float32 is within 1e-5 of the metric's float64.
"""

from __future__ import annotations

import torch

from model.losses.shapes import check_shapes
from model.luma import luma
from model.metrics.mef_ssim import LEAST_PX
from model.metrics.mef_ssim_color import COLOR_FORM, COLOR_WINDOW_PX, reference_patches
from model.metrics.mef_ssim_gray import SCALE_WEIGHTS, reference_structure
from model.metrics.strips import halved

__all__ = [
    "ColorMefSsimLoss",
    "MefSsimLoss",
    "color_mef_ssim",
    "color_mef_ssim_loss",
    "mef_ssim",
    "mef_ssim_loss",
]

_PEAK = 255.0
_LEAST_SCORE = 1e-3  # of a scale: powers have no finite gradient at 0 and no value below


def mef_ssim(fused_luma: torch.Tensor, frames_luma: torch.Tensor) -> torch.Tensor:
    """``gray_ms3`` of every fusion, (B,) in 0..1.

    Unlike the metric, a scale that scores less than 1e-3 counts as 1e-3, without a gradient.

    Args:
        fused_luma: (B, 1, H, W) in 0..1, sides of 44 px at least.
        frames_luma: (B, K, H, W) in 0..1, in any order.

    Raises:
        ValueError: The shapes do not belong together, or the pictures are too small.
    """
    check_shapes(fused_luma, frames_luma, channels=1, least_px=LEAST_PX)
    fused = _centred(fused_luma.squeeze(1))
    frames = _centred(frames_luma.detach().transpose(0, 1))
    product = torch.ones_like(fused[:, 0, 0])
    for scale, power in enumerate(SCALE_WEIGHTS):
        if scale:
            fused, frames = halved(fused), halved(frames)
        score = reference_structure(frames).quality(fused).mean((-2, -1))
        product = product * score.clamp(min=_LEAST_SCORE).pow(power)
    return product


def color_mef_ssim(fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """``color_8x8_adaptive_lum`` of every fusion, (B,) in -1..1.

    Args:
        fused: (B, 3, H, W) sRGB in 0..1, sides of 8 px at least.
        frames: (B, K, 3, H, W) sRGB in 0..1, in any order.

    Raises:
        ValueError: The shapes do not belong together, or the pictures are too small.
    """
    check_shapes(fused, frames, channels=3, least_px=COLOR_WINDOW_PX)
    planes = frames.detach().permute(1, 2, 0, 3, 4) * _PEAK
    brightness = planes.mean((1, 3, 4)).div(_PEAK)[..., None, None]
    reference = reference_patches(planes, COLOR_FORM, brightness)
    mean, structure = reference.compare(fused.transpose(0, 1) * _PEAK)
    similarity = reference.luminance_similarity(mean, "adaptive")
    return (similarity * structure).mean((-2, -1))


def mef_ssim_loss(fused_luma: torch.Tensor, frames_luma: torch.Tensor) -> torch.Tensor:
    """One less the mean of :func:`mef_ssim`, a scalar in 0..1."""
    return 1 - mef_ssim(fused_luma, frames_luma).mean()


def color_mef_ssim_loss(fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """One less the mean of :func:`color_mef_ssim`, a scalar in 0..2."""
    return 1 - color_mef_ssim(fused, frames).mean()


class MefSsimLoss(torch.nn.Module):
    """:func:`mef_ssim_loss` of colour pictures."""

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """The loss of fusions (B, 3, H, W) of frames (B, K, 3, H, W), sRGB in 0..1."""
        return mef_ssim_loss(luma(fused), luma(frames).squeeze(2))


class ColorMefSsimLoss(torch.nn.Module):
    """:func:`color_mef_ssim_loss` as a module."""

    def forward(self, fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """The loss of fusions (B, 3, H, W) of frames (B, K, 3, H, W), sRGB in 0..1."""
        return color_mef_ssim_loss(fused, frames)


def _centred(planes: torch.Tensor) -> torch.Tensor:
    """On the metric's scale, each picture less its mean: the score does not know it, and float32
    then loses little of the variances."""
    mean = planes.detach().mean((-2, -1), keepdim=True)
    return (planes - mean) * _PEAK
