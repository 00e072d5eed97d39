# SPDX-License-Identifier: Apache-2.0
"""Chroma: how far the colours of a fusion are from those of the frames that have some.

MEF-SSIM does not see colour. What the colour should be is taken from K. Ram Prabhakar, V. Sai
Srikar and R. Venkatesh Babu (DeepFuse, ICCV 2017), section 3.2: in each of Cb and Cr the mean of
the frames, each weighed by how far it is from grey, so that frames burnt to white have no say.
"""

from __future__ import annotations

import torch

from model.losses.shapes import check_shapes
from model.luma import luma

__all__ = ["chroma_loss", "colour_differences"]

_LEAST = 1e-4  # of a colour difference: below, all frames are grey


def colour_differences(rgb: torch.Tensor) -> torch.Tensor:
    """Cb and Cr of ITU-R BT.601, (..., 2, H, W) in -0.5..0.5, of RGB (..., 3, H, W) in 0..1."""
    brightness = luma(rgb)
    blue, red = rgb[..., 2:, :, :] - brightness, rgb[..., :1, :, :] - brightness
    return torch.cat([blue / 1.772, red / 1.402], -3)


def chroma_loss(fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of Cb and Cr to the frames' weighted mean.

    Args:
        fused: (B, 3, H, W) sRGB in 0..1.
        frames: (B, K, 3, H, W), likewise; no gradient flows to them.

    Returns:
        A scalar within 0..1.

    Raises:
        ValueError: The shapes do not fit.
    """
    check_shapes(fused, frames, channels=3, least_px=1)
    with torch.no_grad():
        each = colour_differences(frames)
        weights = each.abs() + _LEAST
        wanted = (weights * each).sum(1) / weights.sum(1)
    return (colour_differences(fused) - wanted).abs().mean()
