# SPDX-License-Identifier: Apache-2.0
"""Compiled loops over Burt and Adelson's pyramids: rows of float32 that stay in a core's cache.

The same steps as :mod:`model.pyramids`, in one sweep where torch takes many. Arrays are
C-contiguous float32, planes first; rows ``start`` to ``stop`` of the result are worked on, so that
threads share a picture. All loops let go of Python's lock. They are kept in this one file, as what
Numba stores on disk is known by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model.luma import WEIGHTS
from model.metrics.kernels.compiling import compiled, kept

__all__ = [
    "blend_rows",
    "energy_rows",
    "expand_rows",
    "lift_rows",
    "reduce_rows",
    "tone_rows",
]

F32 = np.float32
_RED, _GREEN, _BLUE = (F32(weight) for weight in WEIGHTS)
_BOX = 5  # side of the window in which energy is local
_HALF = _BOX // 2
_LEAST_ENERGY = F32(0.05)  # of 8-bit steps squared: below it is rounding


@compiled
def _mirrored(i: int, size: int) -> int:
    if size == 1:
        return 0
    if i < 0:
        i = -i
    if i >= size:
        i = 2 * (size - 1) - i
    return max(i, 0)


@compiled
def _pad_mirrored(row: Any, width: int) -> None:
    """Fill two places before and after the ``width`` values that start at 2."""
    for j in range(1, 3):
        row[2 - j] = row[2 + _mirrored(-j, width)]
        row[1 + width + j] = row[2 + _mirrored(width - 1 + j, width)]


@compiled
def _reduce_row(picture: Any, i: int, column: Any, out: Any) -> None:
    """Row ``i`` of the next Gaussian level; ``column`` holds 4 values more than a row."""
    height, width = picture.shape
    a, b = picture[_mirrored(2 * i - 2, height)], picture[_mirrored(2 * i - 1, height)]
    c = picture[2 * i]
    d, e = picture[_mirrored(2 * i + 1, height)], picture[_mirrored(2 * i + 2, height)]
    for j in range(width):
        column[2 + j] = F32(0.0625) * (a[j] + e[j]) + F32(0.25) * (b[j] + d[j]) + F32(0.375) * c[j]
    _pad_mirrored(column, width)
    for j in range(out.shape[0]):
        out[j] = (
            F32(0.0625) * (column[2 * j] + column[2 * j + 4])
            + F32(0.25) * (column[2 * j + 1] + column[2 * j + 3])
            + F32(0.375) * column[2 * j + 2]
        )


@compiled
def _expand_row(smaller: Any, y: int, column: Any, out: Any) -> None:
    """Row ``y`` of a level that is blown up; ``column`` and ``out`` have room for two values
    more than a row of ``smaller``, and for twice a row."""
    height, width = smaller.shape
    i = y >> 1
    here, below = smaller[i], smaller[min(i + 1, height - 1)]
    if y & 1:
        for j in range(width):
            column[1 + j] = F32(0.5) * (here[j] + below[j])
    else:
        over = smaller[i - 1 if i else min(1, height - 1)]
        for j in range(width):
            column[1 + j] = F32(0.125) * (over[j] + below[j]) + F32(0.75) * here[j]
    column[0] = column[1 + min(1, width - 1)]
    column[1 + width] = column[width]
    for j in range(width):
        out[2 * j] = F32(0.125) * (column[j] + column[j + 2]) + F32(0.75) * column[j + 1]
        out[2 * j + 1] = F32(0.5) * (column[j + 1] + column[j + 2])


@compiled
def _lift_row(smaller: Any, y: int, column: Any, out: Any) -> None:
    """The same by bilinear interpolation between the middles of pixels."""
    height, width = smaller.shape
    i = y >> 1
    here = smaller[i]
    other = smaller[min(i + 1, height - 1) if y & 1 else max(i - 1, 0)]
    for j in range(width):
        column[1 + j] = F32(0.75) * here[j] + F32(0.25) * other[j]
    column[0] = column[1]
    column[1 + width] = column[width]
    for j in range(width):
        out[2 * j] = F32(0.25) * column[j] + F32(0.75) * column[j + 1]
        out[2 * j + 1] = F32(0.75) * column[j + 1] + F32(0.25) * column[j + 2]


@kept
def reduce_rows(revision: int) -> Any:
    """(N, H, W) into the next Gaussian level (N, h, w)."""

    def run(pictures: Any, out: Any, start: int, stop: int) -> None:
        if revision:
            column = np.empty(pictures.shape[2] + 4, np.float32)
            for n in range(pictures.shape[0]):
                for i in range(start, stop):
                    _reduce_row(pictures[n], i, column, out[n, i])

    return run


@kept
def expand_rows(revision: int) -> Any:
    """(N, h, w) blown up into (N, H, W)."""

    def run(pictures: Any, out: Any, start: int, stop: int) -> None:
        if revision:
            width = pictures.shape[2]
            column, wide = np.empty(width + 2, np.float32), np.empty(2 * width, np.float32)
            for n in range(pictures.shape[0]):
                for y in range(start, stop):
                    _expand_row(pictures[n], y, column, wide)
                    out[n, y] = wide[: out.shape[2]]

    return run


@kept
def lift_rows(revision: int) -> Any:
    """The same by bilinear interpolation."""

    def run(pictures: Any, out: Any, start: int, stop: int) -> None:
        if revision:
            width = pictures.shape[2]
            column, wide = np.empty(width + 2, np.float32), np.empty(2 * width, np.float32)
            for n in range(pictures.shape[0]):
                for y in range(start, stop):
                    _lift_row(pictures[n], y, column, wide)
                    out[n, y] = wide[: out.shape[2]]

    return run


@kept
def tone_rows(revision: int) -> Any:
    """Of a frame (3, H, W): ``exp(-(luma - 0.5)^2 * steep)`` and the channels' range, (2, H, W).

    The exponent must lie within -4..0; the error is below 2e-6 there.
    """

    def run(frame: Any, steep: Any, out: Any, start: int, stop: int) -> None:
        if revision:
            for y in range(start, stop):
                red, green, blue = frame[0, y], frame[1, y], frame[2, y]
                exposed, saturation = out[0, y], out[1, y]
                for x in range(red.shape[0]):
                    r, g, b = red[x], green[x], blue[x]
                    off = _RED * r + _GREEN * g + _BLUE * b - F32(0.5)
                    z = off * off * steep * F32(-0.125)
                    e = F32(1 / 120) + z * F32(1 / 720)
                    e = F32(1 / 6) + z * (F32(1 / 24) + z * e)
                    e = F32(1) + z * (F32(1) + z * (F32(0.5) + z * e))
                    e *= e
                    e *= e
                    exposed[x] = e * e
                    saturation[x] = max(r, max(g, b)) - min(r, min(g, b))

    return run


@kept
def energy_rows(revision: int) -> Any:
    """Add what a level's details have of energy, in 8-bit steps squared, to ``energy`` (H, W).

    ``frame`` (3, H, W) is the Gaussian level, ``smaller`` (3, h, w) the next one.
    """

    def run(frame: Any, smaller: Any, energy: Any, start: int, stop: int) -> None:
        if revision:
            height, width = smaller.shape[1:]
            column, wide = np.empty(width + 2, np.float32), np.empty(2 * width, np.float32)
            first = max((start >> 1) - 1, 0)
            gray = np.empty((height, width), np.float32)
            for i in range(first, min((stop >> 1) + 2, height)):
                _luma_row(smaller, i, gray[i])
            for y in range(start, stop):
                _expand_row(gray, y, column, wide)
                red, green, blue, row = frame[0, y], frame[1, y], frame[2, y], energy[y]
                for x in range(row.shape[0]):
                    own = _RED * red[x] + _GREEN * green[x] + _BLUE * blue[x] - wide[x]
                    own *= F32(255)
                    row[x] += own * own

    return run


@compiled
def _luma_row(frame: Any, y: int, out: Any) -> None:
    red, green, blue = frame[0, y], frame[1, y], frame[2, y]
    for x in range(red.shape[0]):
        out[x] = _RED * red[x] + _GREEN * green[x] + _BLUE * blue[x]


@compiled
def _details_row(frame: Any, smaller: Any, y: int, column: Any, wide: Any, out: Any) -> None:
    """Details (3, W) of a row, and in ``out[3]``, from 2 on, the energy of their luma; its first
    and last values are repeated twice on either side."""
    width = frame.shape[2]
    energy = out[3]
    for c in range(3):
        _expand_row(smaller[c], y, column, wide)
        row, detail = frame[c, y], out[c]
        for x in range(width):
            detail[x] = row[x] - wide[x]
    red, green, blue = out[0], out[1], out[2]
    for x in range(width):
        own = F32(255) * (_RED * red[x] + _GREEN * green[x] + _BLUE * blue[x])
        energy[_HALF + x] = own * own
    for j in range(_HALF):
        energy[j] = energy[_HALF]
        energy[_HALF + width + j] = energy[_HALF + width - 1]


@kept
def blend_rows(revision: int) -> Any:
    """Blend a level's details under weights: ``preference`` times the local energy.

    Args:
        frames: (K, 3, H, W), the Gaussian level of each frame.
        smaller: (K, 3, h, w), the next one.
        preference: (K, h, w), how much each frame is wanted; lifted bilinearly.
        above: (3, h, w), the blend of all levels above.
        lifted: (K, H, W) gets the preference at this level, unless it has no rows.
        out: (3, H, W) gets the blend.
    """

    def run(
        frames: Any,
        smaller: Any,
        preference: Any,
        above: Any,
        lifted: Any,
        out: Any,
        start: int,
        stop: int,
    ) -> None:
        if not revision:
            return
        count, _, height, width = frames.shape
        half = smaller.shape[3]
        room = max(2 * half, width + 2 * _HALF)
        column, wide = np.empty(half + 2, np.float32), np.empty(2 * half, np.float32)
        ring = np.empty((_BOX, count, 4, room), np.float32)
        local, total = np.empty(room, np.float32), np.empty(width, np.float32)
        sums = np.empty((3, width), np.float32)
        for ahead in range(start - _HALF, stop + _HALF):
            for k in range(count):
                y = min(max(ahead, 0), height - 1)
                _details_row(frames[k], smaller[k], y, column, wide, ring[ahead % _BOX, k])
            y = ahead - _HALF
            if y < start:
                continue
            total[:] = F32(0)
            sums[:] = F32(0)
            red, green, blue = sums[0], sums[1], sums[2]
            for k in range(count):
                a, b, c = ring[0, k, 3], ring[1, k, 3], ring[2, k, 3]
                d, e = ring[3, k, 3], ring[4, k, 3]
                for x in range(width + 2 * _HALF):
                    local[x] = a[x] + b[x] + c[x] + d[x] + e[x]
                _lift_row(preference[k], y, column, wide)
                if lifted.shape[1]:
                    lifted[k, y] = wide[:width]
                slot = ring[y % _BOX, k]
                r, g, b = slot[0], slot[1], slot[2]
                for x in range(width):
                    near = local[x] + local[x + 1] + local[x + 2] + local[x + 3] + local[x + 4]
                    weight = wide[x] * (near * F32(1 / _BOX**2) + _LEAST_ENERGY)
                    total[x] += weight
                    red[x] += weight * r[x]
                    green[x] += weight * g[x]
                    blue[x] += weight * b[x]
            for c in range(3):
                _expand_row(above[c], y, column, wide)
                row, mixed = out[c, y], sums[c]
                for x in range(width):
                    row[x] = wide[x] + mixed[x] / total[x]

    return run
