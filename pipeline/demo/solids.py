# SPDX-License-Identifier: Apache-2.0
"""The solids that scenes are built of, and where rays meet them.

Rays and points are float32 arrays (3, N): x right, y up, z away from the viewer, in metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.demo.noise import Array

__all__ = [
    "Box",
    "Cylinder",
    "Hits",
    "Material",
    "Room",
    "Solid",
    "Sphere",
    "Surface",
    "Vault",
    "Vector",
]

Vector = tuple[float, float, float]

_EPSILON = np.float32(1e-4)


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Where N rays met a surface.

    ``p`` place, ``n`` unit normal towards the viewer, ``d`` ray direction, all (3, N); ``u``,
    ``v`` texture coordinates in metres along the surface; ``footprint`` metres that a pixel
    covers there; ``near`` and ``far`` corner of the solid's bounding box.
    """

    p: Array
    n: Array
    d: Array
    u: Array
    v: Array
    footprint: Array
    lo: Vector
    hi: Vector

    def take(self, chosen: NDArray[np.intp]) -> Hits:
        """The hits of these indices."""
        return replace(
            self,
            p=self.p[:, chosen],
            n=self.n[:, chosen],
            d=self.d[:, chosen],
            u=self.u[chosen],
            v=self.v[chosen],
            footprint=self.footprint[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What a material is at N places: albedo (3, N) in 0..1, own light (3, N), mirror share."""

    albedo: Array
    emission: Array | None = None
    mirror: Array | None = None


Material = Callable[[Hits], Surface]


@dataclass(frozen=True, kw_only=True)
class Box:
    """An axis-aligned box seen from outside."""

    lo: Vector
    hi: Vector
    material: Material
    casts: bool = True

    def distance(self, o: Array, d: Array, inverse: Array) -> Array:
        near, far = _slabs(self.lo, self.hi, o, inverse)
        return np.where((near < far) & (near > _EPSILON), near, np.float32(np.inf))

    def normal(self, p: Array) -> Array:
        return _box_normal(self.lo, self.hi, p)

    def coordinates(self, p: Array, n: Array) -> tuple[Array, Array]:
        return _box_coordinates(p, n)


@dataclass(frozen=True, kw_only=True)
class Room:
    """An axis-aligned box seen from inside; it casts no shadow."""

    lo: Vector
    hi: Vector
    material: Material
    casts: bool = False

    def distance(self, o: Array, d: Array, inverse: Array) -> Array:
        return _slabs(self.lo, self.hi, o, inverse)[1]

    def normal(self, p: Array) -> Array:
        return -_box_normal(self.lo, self.hi, p)

    def coordinates(self, p: Array, n: Array) -> tuple[Array, Array]:
        return _box_coordinates(p, n)


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """A sphere; ``lo`` and ``hi`` are its bounding box."""

    center: Vector
    radius: float
    material: Material
    casts: bool = True

    @property
    def lo(self) -> Vector:
        x, y, z = self.center
        return (x - self.radius, y - self.radius, z - self.radius)

    @property
    def hi(self) -> Vector:
        x, y, z = self.center
        return (x + self.radius, y + self.radius, z + self.radius)

    def distance(self, o: Array, d: Array, inverse: Array) -> Array:
        c = _column(self.center)
        to = o - c
        b = (to * d).sum(0)
        gap = b * b - (to * to).sum(0) + np.float32(self.radius**2)
        near = -b - np.sqrt(np.maximum(gap, 0.0))
        return np.where((gap > 0) & (near > _EPSILON), near, np.float32(np.inf))

    def normal(self, p: Array) -> Array:
        return (p - _column(self.center)) / np.float32(self.radius)

    def coordinates(self, p: Array, n: Array) -> tuple[Array, Array]:
        turn = np.arctan2(n[0], -n[2]) * np.float32(self.radius)
        return turn, np.arcsin(np.clip(n[1], -1, 1)) * np.float32(self.radius)


@dataclass(frozen=True, kw_only=True)
class Cylinder:
    """An upright cylinder with flat ends; ``top_radius`` makes it a cone (a lamp shade, a cup)."""

    x: float
    z: float
    radius: float
    bottom: float
    top: float
    material: Material
    top_radius: float | None = None
    casts: bool = True

    @property
    def lo(self) -> Vector:
        r = max(self.radius, self.top_radius or 0.0)
        return (self.x - r, self.bottom, self.z - r)

    @property
    def hi(self) -> Vector:
        r = max(self.radius, self.top_radius or 0.0)
        return (self.x + r, self.top, self.z + r)

    def _slope(self) -> float:
        end = self.radius if self.top_radius is None else self.top_radius
        return (end - self.radius) / (self.top - self.bottom)

    def distance(self, o: Array, d: Array, inverse: Array) -> Array:
        k = np.float32(self._slope())
        ox, oy, oz = o[0] - self.x, o[1] - self.bottom, o[2] - self.z
        at, grow = self.radius + k * oy, k * d[1]
        a = d[0] ** 2 + d[2] ** 2 - grow**2
        a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
        b = ox * d[0] + oz * d[2] - at * grow
        c = ox**2 + oz**2 - at**2
        gap = b * b - a * c
        near = (-b - np.sqrt(np.maximum(gap, 0.0))) / a
        height = oy + near * d[1]
        tall = self.top - self.bottom
        side = (gap > 0) & (near > _EPSILON) & (height >= 0) & (height <= tall)
        best = np.where(side, near, np.float32(np.inf))
        for level, r in ((0.0, self.radius), (tall, self.radius + self._slope() * tall)):
            t = (level - oy) * inverse[1]
            inside = (ox + t * d[0]) ** 2 + (oz + t * d[2]) ** 2 < r * r
            best = np.where(inside & (t > _EPSILON) & (t < best), t, best)
        return np.asarray(best, np.float32)

    def normal(self, p: Array) -> Array:
        k = np.float32(self._slope())
        n = np.stack([p[0] - self.x, np.zeros_like(p[0]), p[2] - self.z])
        n /= np.maximum(np.sqrt((n * n).sum(0)), 1e-6)
        n[1] = -k
        n /= np.sqrt(1 + k * k)
        for level, sign in ((self.bottom, -1.0), (self.top, 1.0)):
            cap = np.abs(p[1] - level) < 2e-4 * max(1.0, self.top - self.bottom)
            n[:, cap] = np.array([[0.0], [sign], [0.0]], np.float32)
        return np.asarray(n, np.float32)

    def coordinates(self, p: Array, n: Array) -> tuple[Array, Array]:
        if self.top - self.bottom < self.radius:  # a disc: read it from above
            return p[0], p[2]
        turn = np.arctan2(p[0] - self.x, self.z - p[2]) * np.float32(self.radius)
        return turn, p[1]


@dataclass(frozen=True, kw_only=True)
class Vault:
    """A barrel vault along z, seen from inside: its upper side above ``spring``, up to ``end``."""

    x: float
    spring: float
    radius: float
    end: float
    material: Material
    casts: bool = False

    @property
    def lo(self) -> Vector:
        return (-1e3, -1e3, -1e3)

    @property
    def hi(self) -> Vector:
        return (1e3, 1e3, 1e3)

    def distance(self, o: Array, d: Array, inverse: Array) -> Array:
        ox, oy = o[0] - self.x, o[1] - self.spring
        a = np.maximum(d[0] ** 2 + d[1] ** 2, np.float32(1e-9))
        b = ox * d[0] + oy * d[1]
        gap = b * b - a * (ox**2 + oy**2 - self.radius**2)
        far = (-b + np.sqrt(np.maximum(gap, 0.0))) / a
        above = (oy + far * d[1] >= 0) & (o[2] + far * d[2] < self.end)
        return np.where((gap > 0) & above & (far > _EPSILON), far, np.float32(np.inf))

    def normal(self, p: Array) -> Array:
        n = np.stack([self.x - p[0], self.spring - p[1], np.zeros_like(p[0])])
        return np.asarray(n / np.maximum(np.sqrt((n * n).sum(0)), 1e-6), np.float32)

    def coordinates(self, p: Array, n: Array) -> tuple[Array, Array]:
        return p[2], np.arctan2(p[0] - self.x, p[1] - self.spring) * np.float32(self.radius)


Solid = Box | Room | Sphere | Cylinder | Vault


def _column(v: Vector) -> Array:
    return np.array(v, np.float32)[:, None]


def _slabs(lo: Vector, hi: Vector, o: Array, inverse: Array) -> tuple[Array, Array]:
    near: Array | None = None
    far: Array | None = None
    for axis in range(3):
        a = (np.float32(lo[axis]) - o[axis]) * inverse[axis]
        b = (np.float32(hi[axis]) - o[axis]) * inverse[axis]
        low, high = np.minimum(a, b), np.maximum(a, b)
        near = low if near is None else np.maximum(near, low, out=near)
        far = high if far is None else np.minimum(far, high, out=far)
    assert near is not None
    assert far is not None
    return near, far


def _box_normal(lo: Vector, hi: Vector, p: Array) -> Array:
    low, high = _column(lo), _column(hi)
    # The face whose plane is nearest; distances are absolute so that thin boxes work.
    gaps = np.minimum(np.abs(p - low), np.abs(p - high))
    axis = gaps.argmin(0)
    n = np.zeros_like(p)
    columns = np.arange(p.shape[1])
    upper = np.abs(p - low) > np.abs(p - high)
    n[axis, columns] = np.where(upper[axis, columns], 1.0, -1.0)
    return n


def _box_coordinates(p: Array, n: Array) -> tuple[Array, Array]:
    side, level = np.abs(n[0]) > 0.5, np.abs(n[1]) > 0.5
    return np.where(side, p[2], p[0]), np.where(level, p[2], p[1])
