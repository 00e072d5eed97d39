# SPDX-License-Identifier: Apache-2.0
"""Grey, multi-scale MEF-SSIM: the quality maps behind ``gray_ms3``.

K. Ma, K. Zeng and Z. Wang, IEEE TIP 2015, in the numbers of the authors' own code. At every
window the exposures' patches, less their means, are blended into the structure that a good fusion
would have there; a uniform window builds it, a Gaussian window compares it with the fusion.
Brightness plays no part.

The blend is never built patch by patch. Its norm and its moments with the fusion are sums over
covariances of pairs of exposures, which are filters (exact, not an approximation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from model.metrics.strips import Rgb8, gray_rows, size_at, strips
from model.moments import Window

__all__ = [
    "GAUSSIAN",
    "SCALES",
    "SCALE_WEIGHTS",
    "WINDOW_PX",
    "Reference",
    "combine_scales",
    "quality_strips",
    "reference_structure",
]

WINDOW_PX = 11
SCALES = 3

_BOX = Window.box(WINDOW_PX)
GAUSSIAN = Window.gaussian(WINDOW_PX, 1.5)
_PIXELS = WINDOW_PX**2
_STABILISER = (0.03 * 255) ** 2
_LEAST_NORM = 0.001  # added to a patch's norm before it is divided by
_LARGEST_POWER = 10.0
SCALE_WEIGHTS = tuple(weight / 0.6305 for weight in (0.0448, 0.2856, 0.3001))
"""Powers of the scales' scores in ``gray_ms3``, finest first."""


@dataclass(frozen=True)
class Reference:
    """The structure that the exposures ask for, at each window of a strip or of a batch.

    It is ``sum_k blend_k (x_k - mean_k)`` with ``frames`` (K, ..., rows, W) and ``blend``
    (K, ..., h, w); ``totals`` are the frames' sums under the Gaussian window and ``variance``
    (..., h, w) is the structure's own under it.
    """

    frames: torch.Tensor
    totals: torch.Tensor
    blend: torch.Tensor
    variance: torch.Tensor

    def quality(self, fused: torch.Tensor) -> torch.Tensor:
        """The quality map (..., h, w) of fused rows (..., rows, W), in -1..1; differentiable."""
        total = GAUSSIAN.total(fused)
        covariance = torch.zeros_like(self.variance)
        for frame, frame_total, blend in zip(self.frames, self.totals, self.blend, strict=True):
            covariance.addcmul_(blend, GAUSSIAN.covariance(frame, fused, frame_total, total))
        variance = GAUSSIAN.variance(fused, total)
        above = covariance.mul_(2).add_(_STABILISER)
        return above.div_(variance.add_(self.variance).add_(_STABILISER))


def quality_strips(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], scale: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Quality maps of several fusions at one scale (0 is full size), strip by strip.

    Yields:
        The first row of a strip, and its maps (number of fusions, rows, w), float64. All strips
        together give the valid region, the scaled size less ``WINDOW_PX - 1`` each way.
    """
    height, width = (size_at(size, scale) for size in frames[0].shape[:2])
    for start, stop in strips(height - WINDOW_PX + 1, width):
        end = stop + WINDOW_PX - 1
        reference = reference_structure(gray_rows(frames, scale, start, end))
        pictures = gray_rows(fused, scale, start, end)
        yield start, torch.stack([reference.quality(picture) for picture in pictures])


def combine_scales(scores: Sequence[float]) -> float:
    """The weighted geometric mean of the scales' scores, finest first.

    A power of a negative score is no real number. All three negative give minus the product of
    the absolute powers, as the published code does; we extend that to any negative score, so that
    a picture that turns structure upside down at any scale never scores well.
    """
    powers = [math.pow(abs(q), w) for q, w in zip(scores, SCALE_WEIGHTS, strict=True)]
    size = math.prod(powers)
    return -size if min(scores) < 0 else size


def reference_structure(frames: torch.Tensor) -> Reference:
    """Blend the structures of K >= 2 frames, (K, ..., rows, W), grey in 0..255.

    A constant may be taken off a frame: float32 then loses less.
    """
    box_totals = _BOX.total(frames)
    box_variance = _BOX.variance(frames, box_totals)
    norms = (box_variance.clamp(min=0) * _PIXELS).sqrt_()
    weights = _weights(frames, box_totals, norms)
    blend = weights.div_(norms + _LEAST_NORM)
    blend = blend.where(norms > 0, 0.0)  # flat patches: no structure, and no rounding noise of it

    totals = GAUSSIAN.total(frames)
    box_norm = (blend.square() * box_variance).sum(0)
    variance = (blend.square() * GAUSSIAN.variance(frames, totals)).sum(0)
    for k in range(len(frames) - 1):
        rest = slice(k + 1, None)
        pairs = blend[rest] * blend[k]
        box = _BOX.covariance(frames[k], frames[rest], box_totals[k], box_totals[rest])
        box_norm.add_(box.mul_(pairs).sum(0), alpha=2)
        gaussian = GAUSSIAN.covariance(frames[k], frames[rest], totals[k], totals[rest])
        variance.add_(gaussian.mul_(pairs).sum(0), alpha=2)

    # Stretch the blend to the norm of the strongest structure among the exposures.
    norm = box_norm.mul_(_PIXELS).clamp_(min=0).sqrt_()
    wanted = norms.amax(0) + _LEAST_NORM
    stretch = torch.where(norm > 0, wanted / norm, 1.0)
    return Reference(frames, totals, blend.mul_(stretch), variance.mul_(stretch.square()))


def _weights(frames: torch.Tensor, totals: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    """How much each exposure's structure counts, (K, ..., h, w), sum 1 over K.

    The more the exposures agree, the more the strongest one counts.
    """
    eps = torch.finfo(frames.dtype).eps  # 2^-52, as published, in the metric's float64
    joint = _BOX.variance(frames.sum(0), totals.sum(0)).clamp_(min=0).mul_(_PIXELS).sqrt_()
    consistency = joint.add_(eps).div_(norms.sum(0).add_(eps))
    power = consistency.clamp_(max=1 - eps).mul_(math.pi / 2).tan_().clamp_(max=_LARGEST_POWER)
    weights = ((norms + _LEAST_NORM) / WINDOW_PX).pow_(power).add_(eps)
    return weights.div_(weights.sum(0))
