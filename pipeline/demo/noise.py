# SPDX-License-Identifier: Apache-2.0
"""Periodic noise that textures are made of: spectral noise, cells, and hashed numbers.

Textures are functions of a place in the scene, never of a pixel, so a scene keeps its look at
any resolution. One :class:`Noise` serves a whole scene: different textures read it at different
scales and offsets.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Noise", "smoothstep", "spectral_tile"]

Array = NDArray[np.floating]
"""Floating-point pixels and places; float32 wherever they are many."""

_SIZE = 512
_COLUMNS = 512  # cv2.remap takes no destination longer than 32767, so lists are folded


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """0 below ``low``, 1 above ``high``, a cubic between; reversed limits give a falling edge."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def spectral_tile(rng: np.random.Generator, slope: float, size: int = _SIZE) -> Array:
    """Periodic Gaussian noise with amplitude spectrum ``1 / f**slope``, mean 0, deviation 1."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    rows = np.fft.fftfreq(size)[:, None] * size
    cols = np.fft.rfftfreq(size)[None, :] * size
    radius = np.hypot(rows, cols)
    radius[0, 0] = np.inf
    tile = np.fft.irfft2(spectrum / radius**slope, s=(size, size))
    return np.asarray(tile / tile.std(), np.float32)


class Noise:
    """The random numbers of one scene, readable at any place.

    Args:
        rng: decides all tiles; the same generator state gives the same textures.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rough = _wrap(spectral_tile(rng, 1.15))
        self._smooth = _wrap(spectral_tile(rng, 1.9))
        self._table = rng.random(4096, dtype=np.float32)
        self._edge, self._ids = _cell_tiles(rng)

    def rough(self, u: Array, v: Array, footprint: float | Array = 0.0) -> Array:
        """Fractal noise rich in detail (stone, foliage, plaster), period 1, about N(0, 1).

        ``footprint`` is what a pixel covers in units of ``u``; detail finer than that fades.
        """
        return _read(self._rough, u, v) / (1.0 + np.float32(40.0) * footprint)

    def smooth(self, u: Array, v: Array) -> Array:
        """Fractal noise of soft, large forms (clouds, hills, stains), period 1, about N(0, 1)."""
        return _read(self._smooth, u, v)

    def cells(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Voronoi cells, about 200 in a period: depth inside the cell, its id.

        The depth is 0 on a cell's border and about 1 in its middle.
        The id is a number in 0..1 that is the same all over a cell.
        """
        return _read(self._edge, u, v), _read(self._ids, u, v, cv2.INTER_NEAREST)

    def hashed(self, i: Array, j: Array | float = 0.0, salt: int = 0) -> Array:
        """A number in 0..1 for each pair of whole numbers."""
        key = np.asarray(i).astype(np.int32) * 1619 + np.asarray(j).astype(np.int32) * 31337
        return np.asarray(self._table[(key + salt * 977) & 4095], np.float32)


def _wrap(tile: Array) -> Array:
    return np.ascontiguousarray(np.pad(tile, ((0, 1), (0, 1)), mode="wrap"))


def _read(tile: Array, u: Array, v: Array, interpolation: int = cv2.INTER_LINEAR) -> Array:
    shape = np.shape(u)
    count = int(np.prod(shape))
    rows = max(1, -(-count // _COLUMNS))
    maps = np.zeros((2, rows * _COLUMNS), np.float32)
    for axis, x in enumerate((u, v)):
        flat = np.asarray(x, np.float32).reshape(-1)
        maps[axis, :count] = (flat - np.floor(flat)) * (tile.shape[0] - 1)
    folded = maps.reshape(2, rows, _COLUMNS)
    found = cv2.remap(tile, folded[0], folded[1], interpolation)
    return np.asarray(found.reshape(-1)[:count].reshape(shape), np.float32)


def _cell_tiles(rng: np.random.Generator, cells: int = 200) -> tuple[Array, Array]:
    points = rng.integers(0, _SIZE, (cells, 2))
    seeds = np.full((3 * _SIZE, 3 * _SIZE), 255, np.uint8)
    for row in range(3):
        for col in range(3):
            seeds[points[:, 0] + row * _SIZE, points[:, 1] + col * _SIZE] = 0
    seeds = seeds[_SIZE // 2 : -_SIZE // 2, _SIZE // 2 : -_SIZE // 2]
    _, labels = cv2.distanceTransformWithLabels(
        np.ascontiguousarray(seeds), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    half = slice(_SIZE // 2, _SIZE // 2 + _SIZE)
    # The same point has another label in each copy of the tile; its place is what is common.
    owners = np.zeros(int(labels.max()) + 1, np.float32)
    at = np.argwhere(seeds == 0)
    place = (at + _SIZE // 2) % _SIZE
    owners[labels[at[:, 0], at[:, 1]]] = ((place[:, 0] * 523 + place[:, 1] * 101) % 997) / 997.0
    border = np.ones(labels.shape, np.uint8)
    border[:-1][labels[1:] != labels[:-1]] = 0
    border[:, :-1][labels[:, 1:] != labels[:, :-1]] = 0
    distance = cv2.distanceTransform(border, cv2.DIST_L2, 5)
    scale = 0.5 * _SIZE / np.sqrt(cells)
    inner = np.clip(distance[half, half] / scale, 0.0, 1.0).astype(np.float32)
    return _wrap(inner), _wrap(np.ascontiguousarray(owners[labels[half, half]]))
