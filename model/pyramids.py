# SPDX-License-Identifier: Apache-2.0
"""Gaussian and Laplacian pyramids (P. Burt and T. Adelson 1983), step by step.

Sizes and borders are those of OpenCV's ``pyrDown`` and ``pyrUp``; n pixels become (n + 1) // 2.
Pictures are float tensors (..., h, w) on any device; gradients flow through both steps. Compiled
loops (:mod:`model.pyramid_kernels`) take the steps where nobody asks for gradients of large float32
pictures on a CPU; they differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from model import pyramid_kernels as kernels
from model.metrics.strips import in_strips

__all__ = ["compiles", "expand", "lift", "reduce", "reduce_times", "size_at", "slice_at"]

_LEAST_VALUES = 1 << 15  # of pictures that are worth the threads of compiled loops


def compiles(picture: torch.Tensor) -> bool:
    """Whether compiled loops may take a step with that picture."""
    return (
        picture.device.type == "cpu"
        and picture.dtype == torch.float32
        and picture.numel() >= _LEAST_VALUES
        and not (picture.requires_grad and torch.is_grad_enabled())
    )


def size_at(size: int, level: int) -> int:
    """Pixels that are left of ``size`` after halving it ``level`` times, rounded up."""
    return (size + (1 << level) - 1) >> level


def slice_at(part: slice, level: int) -> slice:
    """The same part of a side, after halving; ``part`` starts at a multiple of ``2**level``."""
    return slice(part.start >> level, size_at(part.stop, level))


def reduce_times(picture: torch.Tensor, times: int) -> torch.Tensor:
    """The Gaussian level ``times`` steps up."""
    for _ in range(times):
        picture = reduce(picture)
    return picture


def reduce(picture: torch.Tensor) -> torch.Tensor:
    """Smooth (..., h, w) with [1 4 6 4 1] / 16 and drop every second pixel, mirrored borders."""
    if compiles(picture):
        size = (size_at(picture.shape[-2], 1), size_at(picture.shape[-1], 1))
        result = picture.new_empty((*picture.shape[:-2], *size))
        whole, part = _planes(picture), _planes(result)
        in_strips(size[0], lambda start, stop: kernels.reduce_rows(whole, part, start, stop))
        return result
    return _reduce_along(_reduce_along(picture, -2), -1)


def lift(picture: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bilinear interpolation of (..., h, w) between the middles of pixels, to the same ``size``."""
    if compiles(picture):
        result = picture.new_empty((*picture.shape[:-2], *size))
        part, whole = _planes(picture), _planes(result)
        in_strips(size[0], lambda start, stop: kernels.lift_rows(part, whole, start, stop))
        return result
    planes = picture.reshape(1, -1, *picture.shape[-2:])
    lifted = functional.interpolate(planes, scale_factor=2, mode="bilinear")
    return lifted[0, :, : size[0], : size[1]].reshape(*picture.shape[:-2], *size)


def _planes(picture: torch.Tensor) -> NDArray[np.float32]:
    """(N, h, w): the tensor's own memory, if it is contiguous."""
    return picture.detach().contiguous().view(-1, *picture.shape[-2:]).numpy()


def _reduce_along(x: torch.Tensor, axis: int) -> torch.Tensor:
    size = x.shape[axis]
    if size == 1:
        return x.clone()
    even = _every_second(x, axis, 0)
    odd = _every_second(x, axis, 1)
    count, pairs = even.shape[axis], odd.shape[axis]
    result = even * 0.375
    result.narrow(axis, 0, pairs).add_(odd, alpha=0.25)
    result.narrow(axis, 1, count - 1).add_(odd.narrow(axis, 0, count - 1), alpha=0.25)
    result.narrow(axis, 1, count - 1).add_(even.narrow(axis, 0, count - 1), alpha=0.0625)
    result.narrow(axis, 0, count - 1).add_(even.narrow(axis, 1, count - 1), alpha=0.0625)
    first, last = result.select(axis, 0), result.select(axis, -1)
    first.add_(odd.select(axis, 0), alpha=0.25)
    first.add_(even.select(axis, min(1, count - 1)), alpha=0.0625)
    if size % 2:
        last.add_(odd.select(axis, -1), alpha=0.25)
        last.add_(even.select(axis, -2), alpha=0.0625)
    else:
        last.add_(even.select(axis, -1), alpha=0.0625)
    return result


def _every_second(x: torch.Tensor, axis: int, first: int) -> torch.Tensor:
    return x[..., first::2, :] if axis == -2 else x[..., first::2]


def expand(picture: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Undo :func:`reduce` as far as that goes: (..., h, w) to ``size``, 2 h - 1 or 2 h each.

    Zeros between the pixels, then twice the same filter; mirrored at the top and left, while the
    last pixel is repeated at the bottom and right (as OpenCV does).
    """
    if compiles(picture):
        result = picture.new_empty((*picture.shape[:-2], *size))
        part, whole = _planes(picture), _planes(result)
        in_strips(size[0], lambda start, stop: kernels.expand_rows(part, whole, start, stop))
        return result
    return _expand_along(_expand_along(picture, -1, size[1]), -2, size[0])


def _expand_along(x: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    count = x.shape[axis]
    shape = list(x.shape)
    shape[axis] = size
    result = x.new_empty(shape)
    even = _every_second(result, axis, 0)
    odd = _every_second(result, axis, 1)
    even.copy_(x).mul_(0.75)
    even.narrow(axis, 1, count - 1).add_(x.narrow(axis, 0, count - 1), alpha=0.125)
    even.narrow(axis, 0, count - 1).add_(x.narrow(axis, 1, count - 1), alpha=0.125)
    even.select(axis, 0).add_(x.select(axis, min(1, count - 1)), alpha=0.125)
    even.select(axis, -1).add_(x.select(axis, -1), alpha=0.125)
    between = odd.narrow(axis, 0, count - 1)
    between.copy_(x.narrow(axis, 0, count - 1)).add_(x.narrow(axis, 1, count - 1)).mul_(0.5)
    if size == 2 * count:
        odd.select(axis, -1).copy_(x.select(axis, -1))
    return result
