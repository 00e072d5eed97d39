# SPDX-License-Identifier: Apache-2.0
"""BRISQUE: how little a picture looks like a natural photograph, without one to compare it with.

After A. Mittal et al., "No-reference image quality assessment in the spatial domain", TIP 2012.
Brightness is told in local deviations from the local mean; generalised Gaussians are fitted to it
and to the products of neighbours, at full and at half size, and a support vector machine that
learned from people's opinions turns the 36 parameters into a score: 0 is best, 100 bad, and both
may be passed a little.

The machine is that of the Python package brisque 0.2.0 (Apache-2.0), as numbers in
``model/weights/brisque.safetensors``; so are the conventions that it was trained with: brightness
of BT.709, black beyond the border, an asymmetric fit also where the paper has a symmetric one.
"""

from __future__ import annotations

import functools
import math
from importlib import resources

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch.nn import functional

from model.metrics.strips import Rgb8, check_same_size

__all__ = ["LEAST_PX", "brisque", "brisque_features"]

LEAST_PX = 16
"""Least side of a picture: at half size, a window and a pixel."""

_LUMA = (0.2125, 0.7154, 0.0721)
_WINDOW = 7
_REACH = _WINDOW // 2
_SIGMA = _WINDOW / 6
_HALVING = (-0.09375, 0.59375, 0.59375, -0.09375)  # bicubic with a slope of -0.75
_STRIP = 256  # rows
_FLAT = 1e-9  # less is rounding, which has no sign
_GAMMA = 0.05  # of the machine's radial basis

Floats = NDArray[np.float64]


def brisque(picture: Rgb8) -> float:
    """The score of a picture, lower is better.

    Args:
        picture: (H, W, 3) uint8, sRGB.

    Raises:
        ValueError: The picture is of another shape or type, or too small.
    """
    machine = _machine()
    low, high = machine["low"], machine["high"]
    scaled = -1 + 2 * (brisque_features(picture) - low) / (high - low)
    distances = ((machine["vectors"] - scaled) ** 2).sum(1)
    return float(machine["counts"] @ np.exp(-_GAMMA * distances) - machine["offset"][0])


def brisque_features(picture: Rgb8) -> Floats:
    """The 36 parameters: at either size shape and variance of the brightness, then shape, mean and
    both variances of the products with the neighbour to the right, below, and on both diagonals.

    Raises:
        ValueError: See :func:`brisque`.
    """
    height, width = check_same_size([picture])
    if min(height, width) < LEAST_PX:
        raise ValueError(f"BRISQUE needs {LEAST_PX} px at least, not {width} x {height}")
    found: list[float] = []
    for scale in range(2):
        rows = height >> scale
        sums = np.zeros((5, 6))
        for top in range(0, rows, _STRIP):
            sums += _sums(picture, scale, top, min(top + _STRIP, rows), rows)
        shape, _, left, right = _fitted(sums[0])
        found += [shape, (left + right) / 2]
        for products in sums[1:]:
            found += _fitted(products)
    return np.array(found)


def _fitted(sums: Floats) -> tuple[float, float, float, float]:
    """Shape, mean, and variances to the left and to the right of an asymmetric generalised
    Gaussian with these :func:`_moments`."""
    below, squares_below, above, squares_above, absolute, total = sums
    squares = squares_below + squares_above
    if squares <= 0:  # flat all over
        return float(_SHAPES[-1]), 0.0, 0.0, 0.0
    left, right = squares_below / max(below, 1.0), squares_above / max(above, 1.0)
    lean = math.sqrt(left / right) if right > 0 else 1e6
    ratio = (absolute / total) ** 2 / (squares / total)
    ratio *= (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    shape = float(np.interp(ratio, _RATIOS, _SHAPES))
    one, two, three = (math.lgamma(n / shape) for n in (1, 2, 3))
    mean = (math.sqrt(right) - math.sqrt(left)) * math.exp(two - one + (one - three) / 2)
    return shape, mean, left, right


def _sums(picture: Rgb8, scale: int, top: int, bottom: int, rows: int) -> Floats:
    """Moments (5, 6) of some rows: of the brightness and of its four products."""
    end = min(bottom + 1, rows)
    x = _normalised(picture, scale, top, end, rows)
    own = x[: bottom - top]
    upper, lower = x[:-1], x[1:]  # every row with the one below it, the next strip's first included
    products = (
        own[:, :-1] * own[:, 1:],
        upper * lower,
        upper[:, :-1] * lower[:, 1:],
        lower[:, :-1] * upper[:, 1:],
    )
    return np.stack([_moments(values) for values in (own, *products)])


def _moments(values: torch.Tensor) -> Floats:
    """How many are below 0 and the sum of their squares, the same above, the sum of all without
    their signs, and how many there are; half of the zeros count on either side."""
    below, above = values[values < 0], values[values > 0]
    zeros = (values.numel() - len(below) - len(above)) / 2
    squares = below.square().sum(), above.square().sum()
    counts = len(below) + zeros, len(above) + zeros
    parts = (counts[0], squares[0], counts[1], squares[1], values.abs().sum(), values.numel())
    return np.array([float(part) for part in parts])


def _normalised(picture: Rgb8, scale: int, top: int, bottom: int, rows: int) -> torch.Tensor:
    """Rows of the brightness as distances from the local mean in local deviations."""
    first, last = max(top - _REACH, 0), min(bottom + _REACH, rows)
    x = _brightness(picture, scale, first, last)
    # Black beyond the border of the picture; beyond that of the strip its neighbours.
    above, below = first - (top - _REACH), bottom + _REACH - last
    wide = functional.pad(x, (_REACH, _REACH, above, below))[None, None]
    places = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (places / _SIGMA) ** 2)
    kernel /= kernel.sum()

    def local(values: torch.Tensor) -> torch.Tensor:
        across = functional.conv2d(values, kernel[None, None, None])
        return functional.conv2d(across, kernel[None, None, :, None])[0, 0]

    mean = local(wide)
    deviation = (local(wide * wide) - mean * mean).abs().sqrt()
    distance = x[top - first : bottom - first] - mean
    distance[distance.abs() < _FLAT] = 0
    return distance / (deviation + 1)


def _brightness(picture: Rgb8, scale: int, top: int, bottom: int) -> torch.Tensor:
    """Rows of the brightness, 0..255, at full (0) or half (1) size."""
    if not scale:
        red, green, blue = torch.from_numpy(picture[top:bottom].astype(np.float64)).unbind(-1)
        return red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]
    height, width = picture.shape[:2]
    first, last = 2 * top - 1, 2 * bottom + 1
    x = _brightness(picture, 0, max(first, 0), min(last, height))
    # The last pixel goes on, but for an odd side, which has one more than it is halved into.
    around = (1, 1 - width % 2, max(-first, 0), max(last - height, 0))
    x = functional.pad(x[None, None], around, "replicate")
    taps = torch.tensor(_HALVING, dtype=torch.float64)
    across = functional.conv2d(x, taps[None, None, None], stride=(1, 2))
    return functional.conv2d(across, taps[None, None, :, None], stride=(2, 1))[0, 0]


@functools.cache
def _machine() -> dict[str, Floats]:
    file = resources.files("model").joinpath("weights", "brisque.safetensors")
    parts = safetensors.numpy.load(file.read_bytes())
    return {name: part.astype(np.float64) for name, part in parts.items()}


def _ratios() -> tuple[Floats, Floats]:
    """Shapes of generalised Gaussians, and the squared mean of their values without sign over the
    mean square, which rises with the shape."""
    shapes = np.arange(0.2, 10.001, 0.001)
    one, two, three = (np.array([math.lgamma(n / shape) for shape in shapes]) for n in (1, 2, 3))
    return shapes, np.exp(2 * two - one - three)


_SHAPES, _RATIOS = _ratios()
