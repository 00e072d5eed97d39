# SPDX-License-Identifier: Apache-2.0
"""Reference patches: which frame rules where, how bright to be, and how a fusion does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from model.metrics.kernels.compiling import compiled
from model.metrics.kernels.tile import F32, STRIDE

__all__ = ["C1", "C2", "choose", "compare"]

C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
_SIGMA = 0.2


@compiled
def choose(
    means: Any, variances: Any, brightness: Any, rows: int, wanted: Any, chosen: Any
) -> None:
    """At each window the frame of the largest variance, among equals the brightest.

    ``wanted`` becomes its variance, the mean that all frames together ask for, and its own mean.
    """
    size = rows * STRIDE
    for j in range(size):
        wanted[0, j], wanted[2, j] = variances[0, j], means[0, j]
        chosen[j] = 0
    for k in range(1, means.shape[0]):
        for j in range(size):
            more = variances[k, j] > wanted[0, j]
            equal = variances[k, j] == wanted[0, j] and means[k, j] > wanted[2, j]
            if more or equal:
                wanted[0, j], wanted[2, j] = variances[k, j], means[k, j]
                chosen[j] = k
    wanted[1, :size] = F32(0)
    wanted[3, :size] = F32(0)
    for k in range(means.shape[0]):
        whole = math.exp((brightness[k] - 0.5) ** 2 / (-2 * _SIGMA**2))
        for j in range(size):
            off = means[k, j] * F32(1 / 255) - F32(0.5)
            weight = F32(whole) * math.exp(off * off * F32(-1 / (2 * _SIGMA**2)))
            wanted[1, j] += weight * means[k, j]
            wanted[3, j] += weight
    for j in range(size):
        wanted[1, j] /= wanted[3, j]


@compiled
def compare(
    wanted: Any,
    chosen: Any,
    mean: Any,
    variance: Any,
    covariances: Any,
    rows: int,
    cols: int,
    sums: Any,
) -> None:
    """Add up luminance times structure, luminance, and structure.

    One row of ``sums`` for each kind of luminance: that of all frames, of the chosen frame, none.
    """
    c1, c2 = F32(C1), F32(C2)
    for i in range(rows):
        all_product = all_light = own_product = own_light = structures = 0.0
        for j in range(i * STRIDE, i * STRIDE + cols):
            covariance = covariances[chosen[j], j]
            structure = (F32(2) * covariance + c2) / (variance[j] + wanted[0, j] + c2)
            m, a, b = mean[j], wanted[1, j], wanted[2, j]
            light = (F32(2) * m * a + c1) / (m * m + a * a + c1)
            own = (F32(2) * m * b + c1) / (m * m + b * b + c1)
            all_product += np.float64(light * structure)
            all_light += np.float64(light)
            own_product += np.float64(own * structure)
            own_light += np.float64(own)
            structures += np.float64(structure)
        sums[0, 0] += all_product
        sums[0, 1] += all_light
        sums[0, 2] += structures
        sums[1, 0] += own_product
        sums[1, 1] += own_light
        sums[1, 2] += structures
        sums[2, 0] += structures
        sums[2, 1] += cols
        sums[2, 2] += structures
