# SPDX-License-Identifier: Apache-2.0
"""Local means, variances and covariances under a sliding window.

The one implementation for SSIM, the losses and MEF-SSIM. Windows are separable and moments are
population moments. Filters are plain shifted sums: differentiable, the same on every device, and
out of reach of reduced-precision matrix and convolution modes (TF32, autocast), which would ruin
``E[x^2] - E[x]^2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """A square, separable window of ``size`` x ``size`` pixels.

    Make one with :meth:`box` or :meth:`gaussian`; ``taps`` are the weights along one axis and
    ``mass`` is their sum squared. Every method takes tensors (..., H, W), float32 or float64, and
    returns the *valid* region (..., H - size + 1, W - size + 1): the value at (i, j) belongs to
    the window whose top left pixel is (i, j).

    Variances in float32 lose about ``1e-7 * mean^2`` to cancellation and may come out slightly
    negative where the picture is flat; use float64 where that matters. Box moments of whole
    numbers (pixels in 0..255) are exact in float64: a flat window has a variance of exactly zero.
    """

    taps: tuple[float, ...]
    mass: float

    @classmethod
    def box(cls, size: int) -> Window:
        """All pixels weigh the same."""
        if size < 1:
            raise ValueError(f"a window has a side of at least one pixel, not {size}")
        return cls((1.0,) * size, float(size**2))

    @classmethod
    def gaussian(cls, size: int, sigma: float) -> Window:
        """Gaussian weights with a standard deviation of ``sigma`` pixels, centred, mass 1."""
        if size < 1 or not sigma > 0:
            raise ValueError(f"a window needs size >= 1 and sigma > 0, not {size} and {sigma}")
        middle = (size - 1) / 2
        raw = [math.exp(-((i - middle) ** 2) / (2 * sigma**2)) for i in range(size)]
        total = math.fsum(raw)
        return cls(tuple(value / total for value in raw), 1.0)

    @property
    def size(self) -> int:
        """Side in pixels."""
        return len(self.taps)

    def total(self, x: torch.Tensor) -> torch.Tensor:
        """Weighted sum over each window: the mean times ``mass``."""
        if min(x.shape[-2:]) < self.size:
            raise ValueError(
                f"{tuple(x.shape[-2:])} pixels are too few for a window of {self.size}"
            )
        return self._along(self._along(x, -2), -1)

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Local mean."""
        return self.total(x).div_(self.mass)

    def covariance(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        total_x: torch.Tensor | None = None,
        total_y: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Local population covariance; shapes may broadcast.

        Args:
            total_x: ``total(x)``, if it is at hand already; likewise ``total_y``.
        """
        total_x = self.total(x) if total_x is None else total_x
        total_y = self.total(y) if total_y is None else total_y
        # In sums rather than means: whole numbers are then not rounded before the division.
        scaled = self.total(x * y).mul_(self.mass).sub_(total_x * total_y)
        return scaled.div_(self.mass**2)

    def variance(self, x: torch.Tensor, total_x: torch.Tensor | None = None) -> torch.Tensor:
        """Local population variance."""
        total_x = self.total(x) if total_x is None else total_x
        return self.covariance(x, x, total_x, total_x)

    def _along(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        return _slide(x, self.taps, axis)


class _Slide(torch.autograd.Function):
    """Weighted sums of neighbours along one axis, valid region.

    The gradient is the same sum of the padded gradient; left to itself, autograd would fill one
    picture of zeros a tap.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, taps: tuple[float, ...], axis: int) -> torch.Tensor:
        ctx.taps, ctx.axis = taps, axis
        valid = x.shape[axis] - len(taps) + 1
        result = x.narrow(axis, 0, valid) * taps[0]
        for offset, weight in enumerate(taps[1:], start=1):
            result.add_(x.narrow(axis, offset, valid), alpha=weight)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        lost = len(ctx.taps) - 1
        sides = (lost, lost) if ctx.axis == -1 else (0, 0, lost, lost)
        padded = torch.nn.functional.pad(grads[0], sides)
        return _slide(padded, ctx.taps[::-1], ctx.axis), None, None


def _slide(x: torch.Tensor, taps: tuple[float, ...], axis: int) -> torch.Tensor:
    result: torch.Tensor = _Slide.apply(x, taps, axis)  # type: ignore[no-untyped-call]
    return result
