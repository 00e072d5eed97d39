# SPDX-License-Identifier: Apache-2.0
"""Gammas: how much each frame's similarity counts at each window, after how salient it is there.

Weighting the similarities by local saliency goes back to G. Piella and H. Heijmans, ICIP 2003; the
six formulations are those of arXiv 2510.21815. Its constants are not published; these are chosen:

====  ====================================================================================
v     local variance
d     local mean of the gradient's magnitude (Sobel)
e     local mean of the well-exposedness, a Gaussian of sigma 0.2 around 0.5 (Mertens 2007)
vd    and the other pairs: their products, normalised afterwards
====  ====================================================================================

Local means are those of SSIM's window. ``v``, ``d`` and ``vd`` do not change when all frames are
scaled by one factor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from model.ssim import SSIM_WINDOW

__all__ = ["GAMMAS", "Saliency", "gamma", "share"]

Saliency = Callable[[torch.Tensor], torch.Tensor]
"""Makes luma (B, K, H, W) in 0..1 into saliency (B, K, h, w), not negative."""

_EVENNESS = 1e-3  # of the mean saliency: below it, frames count alike
_LEAST = 1e-12  # saliency that counts as none
_LEAST_SQUARE = 1e-30
_WELL_EXPOSED_SIGMA = 0.2


def gamma(frames_luma: torch.Tensor, name: str) -> torch.Tensor:
    """How much each frame counts, (B, K, h, w) in 0..1, sum 1 over K.

    ``h`` and ``w`` are 10 px less than the frames', the valid region of SSIM's window. Where no
    frame is salient, all count alike.

    Args:
        frames_luma: (B, K, H, W) in 0..1, K >= 2, sides of 11 px at least.
        name: One of :data:`GAMMAS`.

    Raises:
        ValueError: There is no such formulation, or the frames are of another shape.
    """
    if name not in GAMMAS:
        raise ValueError(f"there is no gamma {name!r}; choose one of: {', '.join(GAMMAS)}")
    if frames_luma.ndim != 4 or frames_luma.shape[1] < 2:
        raise ValueError(f"frames are (B, K, H, W), K >= 2, not {tuple(frames_luma.shape)}")
    return share(GAMMAS[name](frames_luma))


def share(saliency: torch.Tensor) -> torch.Tensor:
    """Each frame's share in the saliency (B, K, h, w), evened out where there is hardly any.

    ``(s_k + d) / (sum_k s_k + K d)``, with ``d`` 1e-3 of the picture's mean of ``sum_k s_k``.
    """
    total = saliency.sum(1, keepdim=True)
    even = (total.mean((2, 3), keepdim=True) * _EVENNESS).clamp(min=_LEAST)
    return (saliency + even) / (total + saliency.shape[1] * even)


def _variance(x: torch.Tensor) -> torch.Tensor:
    return SSIM_WINDOW.variance(x - 0.5).clamp(min=0)  # off its middle, float32 loses less


def _gradient(x: torch.Tensor) -> torch.Tensor:
    padded = functional.pad(x, (1, 1, 1, 1), "replicate")
    above, middle, below = padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]
    smooth, steep = above + 2 * middle + below, below - above
    across = smooth[..., 2:] - smooth[..., :-2]
    down = steep[..., :-2] + 2 * steep[..., 1:-1] + steep[..., 2:]
    # The root has no finite gradient at 0.
    return SSIM_WINDOW.mean((across.square() + down.square()).clamp(min=_LEAST_SQUARE).sqrt())


def _exposedness(x: torch.Tensor) -> torch.Tensor:
    return SSIM_WINDOW.mean(((x - 0.5).square() / (-2 * _WELL_EXPOSED_SIGMA**2)).exp())


GAMMAS: dict[str, Saliency] = {
    "v": _variance,
    "d": _gradient,
    "e": _exposedness,
    "vd": lambda x: _variance(x) * _gradient(x),
    "ve": lambda x: _variance(x) * _exposedness(x),
    "de": lambda x: _gradient(x) * _exposedness(x),
}
"""The saliency behind each formulation."""
