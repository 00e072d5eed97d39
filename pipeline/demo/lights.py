# SPDX-License-Identifier: Apache-2.0
"""Lamps, windows and the sun: how much light arrives at a place, with soft shadows.

Irradiance is per colour channel, (3, N), in the scene's own linear unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.noise import Array
from pipeline.demo.solids import Solid, Vector, blocked

__all__ = ["AreaLight", "Light", "PointLight", "Sun", "irradiance"]

# Low-discrepancy points (plastic number); the same for all places, so shadows are free of grain.
_POINTS = np.array(
    [[(0.5 + 0.7548776662 * k) % 1.0, (0.5 + 0.5698402910 * k) % 1.0] for k in range(64)],
    np.float32,
)


@dataclass(frozen=True, kw_only=True)
class AreaLight:
    """A rectangle that shines to one side: a window, a lit door.

    ``corner`` plus ``along`` and ``across`` span it; it shines towards ``facing``. ``radiance``
    is RGB, ``samples`` the number of shadow rays.
    """

    corner: Vector
    along: Vector
    across: Vector
    facing: Vector
    radiance: Vector
    samples: int = 10

    def irradiance(self, solids: Sequence[Solid], p: Array, n: Array, samples: int) -> Array:
        edge_a, edge_b = np.array(self.along, np.float32), np.array(self.across, np.float32)
        facing = np.array(self.facing, np.float32)
        area = np.linalg.norm(np.cross(edge_a, edge_b))
        total = np.zeros(p.shape[1], np.float32)
        for a, b in _POINTS[:samples]:
            at = np.array(self.corner, np.float32) + a * edge_a + b * edge_b
            to = at[:, None] - p
            square = np.maximum((to * to).sum(0), np.float32(1e-3))
            reach = np.sqrt(square)
            to /= reach
            cosines = np.maximum((to * n).sum(0), 0) * np.maximum(-(facing @ to), 0)
            # The half-metre keeps single samples from burning dots next to the window.
            share = cosines / (square + np.float32(area / samples))
            total += _unblocked(solids, p, n, to, reach, share)
        return np.outer(self.radiance, total * (area / samples)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PointLight:
    """A lamp of some radius; ``aim`` and ``spread`` (cosines: dark at, full at) make a spot."""

    at: Vector
    intensity: Vector
    radius: float = 0.05
    samples: int = 4
    aim: Vector | None = None
    spread: tuple[float, float] = (0.5, 0.9)
    shadows: bool = True

    def irradiance(self, solids: Sequence[Solid], p: Array, n: Array, samples: int) -> Array:
        total = np.zeros(p.shape[1], np.float32)
        count = min(samples, self.samples)
        for a, b in _POINTS[:count]:
            turn, z = 2 * np.pi * a, 2 * b - 1
            flat = np.sqrt(1 - z * z)
            offset = self.radius * np.array([flat * np.cos(turn), z, flat * np.sin(turn)])
            to = (np.array(self.at) + offset).astype(np.float32)[:, None] - p
            square = np.maximum((to * to).sum(0), np.float32(1e-4))
            reach = np.sqrt(square)
            to /= reach
            share = np.maximum((to * n).sum(0), 0) / square
            if self.aim is not None:
                aim = np.array(self.aim, np.float32) / np.float32(np.linalg.norm(self.aim))
                low, high = self.spread
                cone = np.clip((-(aim @ to) - low) / (high - low), 0, 1)
                share *= cone * cone
            total += _unblocked(solids if self.shadows else (), p, n, to, reach, share)
        return np.outer(self.intensity, total / count).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Sun:
    """Parallel light from ``towards``; ``passes(p)`` gives the share (3, N) that gets through.

    ``passes`` stands for windows that the beam comes through, with their bars and stained glass.
    """

    towards: Vector
    light: Vector
    passes: Callable[[Array, Array], Array] | None = None

    def direction(self) -> Array:
        """Unit vector (3, 1) towards the sun."""
        towards = np.array(self.towards, np.float32)[:, None]
        return np.asarray(towards / np.linalg.norm(towards), np.float32)

    def irradiance(self, solids: Sequence[Solid], p: Array, n: Array) -> Array:
        to = self.direction()
        cosine = np.maximum((to * n).sum(0), 0)
        lit = np.flatnonzero(cosine > 1e-3)
        out = np.zeros_like(p)
        if not lit.size:
            return out
        through = np.ones((3, lit.size), np.float32)
        if self.passes is not None:
            through = self.passes(p[:, lit], to)
            some = through.max(0) > 1e-4
            lit, through = lit[some], through[:, some]
        if lit.size:
            start = p[:, lit] + n[:, lit] * np.float32(2e-3)
            far = np.full(lit.size, np.inf, np.float32)
            rays = np.broadcast_to(to, start.shape)
            free = ~blocked(solids, start, np.ascontiguousarray(rays), far)
            strength = through * (cosine[lit] * free)
            out[:, lit] = strength * np.array(self.light, np.float32)[:, None]
        return out


Light = AreaLight | PointLight


def irradiance(
    lights: Sequence[Light], solids: Sequence[Solid], p: Array, n: Array, samples: int
) -> Array:
    """Light (3, N) that arrives at places ``p`` with normals ``n`` from all lamps and windows."""
    total = np.zeros_like(p)
    for light in lights:
        total += light.irradiance(solids, p, n, samples)
    return total


def _unblocked(
    solids: Sequence[Solid], p: Array, n: Array, to: Array, reach: Array, share: Array
) -> Array:
    seen = np.flatnonzero(share > 1e-7)
    out = np.zeros_like(share)
    if seen.size:
        start = p[:, seen] + n[:, seen] * np.float32(2e-3)
        dark = blocked(solids, start, to[:, seen], reach[seen] - np.float32(5e-3))
        out[seen] = np.where(dark, 0, share[seen])
    return out
