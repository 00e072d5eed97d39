# SPDX-License-Identifier: Apache-2.0
"""SSIM's local terms, for the metric and for the losses.

Z. Wang, A. Bovik, H. Sheikh and E. Simoncelli, IEEE TIP 2004: Gaussian window of 11 px, sigma 1.5,
K1 = 0.01, K2 = 0.03, no padding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from model.moments import Window

__all__ = ["SSIM_WINDOW", "SsimTerms", "ssim_terms"]

SSIM_WINDOW = Window.gaussian(11, 1.5)

_K1, _K2 = 0.01, 0.03


class SsimTerms(NamedTuple):
    """Similarity of the local means, and of contrast and structure together, (..., h, w).

    Their product is SSIM. ``luminance`` lies in -1..1 (0..1 for values that are not negative),
    ``structure`` in -1..1; the maps are 10 px smaller than the pictures each way.
    """

    luminance: torch.Tensor
    structure: torch.Tensor


def ssim_terms(x: torch.Tensor, y: torch.Tensor, *, peak: float, offset: float = 0.0) -> SsimTerms:
    """Compare pictures (..., H, W), whose leading dimensions may broadcast; differentiable.

    Args:
        peak: The largest value that a picture may have.
        offset: What was taken off both pictures beforehand; float32 loses less that way.

    Raises:
        ValueError: The pictures are smaller than the window.
    """
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    mean_x, mean_y = SSIM_WINDOW.mean(x), SSIM_WINDOW.mean(y)
    covariance = SSIM_WINDOW.covariance(x, y, mean_x, mean_y)
    variances = SSIM_WINDOW.variance(x, mean_x) + SSIM_WINDOW.variance(y, mean_y)
    if offset:
        mean_x, mean_y = mean_x + offset, mean_y + offset
    return SsimTerms(
        luminance=(2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1),
        structure=(2 * covariance + c2) / (variances + c2),
    )
