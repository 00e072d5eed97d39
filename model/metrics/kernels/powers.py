# SPDX-License-Identifier: Apache-2.0
"""Powers and tangents of many float32 numbers at once: series that the compiler can vectorise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from model.metrics.kernels.compiling import compiled
from model.metrics.kernels.tile import F32

__all__ = ["LARGEST_TANGENT", "exp2", "log2", "tangents"]

LARGEST_TANGENT = 10.0
_SATURATED = 2 / math.pi * math.atan(LARGEST_TANGENT)


@compiled
def log2(x: Any, count: int, bits: Any) -> None:
    """Binary logarithms of positive float32 numbers, in place; ``bits`` is scratch, int32."""
    whole = x.view(np.int32)
    mantissas = bits.view(np.float32)
    for j in range(count):
        bits[j] = (whole[j] & np.int32(0x7FFFFF)) | np.int32(0x3F800000)
    for j in range(count):
        m = mantissas[j]
        t = (m - F32(1)) / (m + F32(1))
        u = t * t
        series = F32(1 / 9) + u * F32(1 / 11)
        series = F32(1 / 5) + u * (F32(1 / 7) + u * series)
        series = F32(1) + u * (F32(1 / 3) + u * series)
        mantissas[j] = F32(2 / math.log(2)) * t * series
    for j in range(count):
        x[j] = mantissas[j] + F32((whole[j] >> np.int32(23)) - np.int32(127))


@compiled
def exp2(x: Any, count: int, bits: Any) -> None:
    """Powers of two, in place; ``bits`` is scratch, int32."""
    scales = bits.view(np.float32)
    for j in range(count):
        y = min(max(x[j], F32(-126)), F32(126))
        n = math.floor(y + F32(0.5))
        bits[j] = (np.int32(n) + np.int32(127)) << np.int32(23)
        f = (y - F32(n)) * F32(math.log(2))
        series = F32(1 / 120) + f * (F32(1 / 720) + f * F32(1 / 5040))
        series = F32(1 / 2) + f * (F32(1 / 6) + f * (F32(1 / 24) + f * series))
        x[j] = F32(1) + f * (F32(1) + f * series)
    for j in range(count):
        x[j] *= scales[j]


@compiled
def tangents(consistency: Any, count: int) -> None:
    """``min(tan(pi R / 2), 10)``, in place: of half the angle, by its continued fraction."""
    for j in range(count):
        z = min(consistency[j], F32(_SATURATED)) * F32(math.pi / 4)
        u = z * z
        above = z * (F32(945) + u * (u - F32(105)))
        half = above / (F32(945) + u * (F32(15) * u - F32(420)))
        tangent = F32(2) * half / (F32(1) - half * half)
        consistency[j] = min(tangent, F32(LARGEST_TANGENT))
