# SPDX-License-Identifier: Apache-2.0
"""Lamps, windows and the sun: how much light arrives at a place, with soft shadows.

Irradiance is per colour channel, (3, N), in the scene's own linear unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.noise import Array
from pipeline.demo.solids import Vector
from pipeline.demo.tracing import Casters

__all__ = ["AreaLight", "Light", "PointLight", "Sun", "bounced", "irradiance"]

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

    def irradiance(self, casters: Casters | None, p: Array, n: Array, samples: int) -> Array:
        edge_a, edge_b = np.array(self.along, np.float32), np.array(self.across, np.float32)
        facing = np.array(self.facing, np.float32)
        area = np.linalg.norm(np.cross(edge_a, edge_b))
        points = _POINTS[: min(samples, self.samples)]
        places = np.array(self.corner, np.float32) + points @ np.stack([edge_a, edge_b])
        to, start, normal, reach, square = _towards(places, p, n)
        cosines = np.maximum((to * normal).sum(0), 0) * np.maximum(-(facing @ to), 0)
        # The sample's own area keeps it from burning a dot on the wall next to it.
        share = cosines / (square + np.float32(area / len(points)))
        total = _unblocked(casters, start, normal, to, reach, share)
        total = total.reshape(len(points), -1).sum(0) * np.float32(area / len(points))
        return np.outer(self.radiance, total).astype(np.float32)


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

    def irradiance(self, casters: Casters | None, p: Array, n: Array, samples: int) -> Array:
        a, b = _POINTS[: min(samples, self.samples)].T
        flat = np.sqrt(1 - (2 * b - 1) ** 2)
        offset = np.stack([flat * np.cos(6.2832 * a), 2 * b - 1, flat * np.sin(6.2832 * a)], 1)
        places = (np.array(self.at) + self.radius * offset).astype(np.float32)
        to, start, normal, reach, square = _towards(places, p, n)
        share = np.maximum((to * normal).sum(0), 0) / square
        if self.aim is not None:
            aim = np.array(self.aim, np.float32) / np.float32(np.linalg.norm(self.aim))
            low, high = self.spread
            cone = np.clip((-(aim @ to) - low) / (high - low), 0, 1)
            share = share * cone * cone
        total = _unblocked(casters if self.shadows else None, start, normal, to, reach, share)
        total = total.reshape(len(places), -1).mean(0)
        return np.outer(self.intensity, total).astype(np.float32)


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

    def irradiance(self, casters: Casters | None, p: Array, n: Array) -> Array:
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
            strength = through * cosine[lit]
            if casters is not None:
                start = p[:, lit] + n[:, lit] * np.float32(2e-3)
                far = np.full(lit.size, np.inf, np.float32)
                rays = np.ascontiguousarray(np.broadcast_to(to, start.shape))
                strength = strength * ~casters.blocked(start, rays, far)
            out[:, lit] = strength * np.array(self.light, np.float32)[:, None]
        return out


Light = AreaLight | PointLight


def irradiance(
    lights: Sequence[Light], casters: Casters | None, p: Array, n: Array, samples: int
) -> Array:
    """Light (3, N) that arrives at places ``p`` with normals ``n`` from all lamps and windows."""
    total = np.zeros_like(p)
    for light in lights:
        total += light.irradiance(casters, p, n, samples)
    return total


def bounced(
    below: Vector, above: Vector, lo: Vector, hi: Vector, *, corner: float = 0.4
) -> Callable[[Array, Array], Array]:
    """Ambient light of a room: ``below`` on faces that look down, ``above`` on those that look up.

    It fades towards the corners of the room ``lo`` to ``hi`` within about ``corner`` metres.
    """
    down, up = np.array(below, np.float32)[:, None], np.array(above, np.float32)[:, None]

    def ambient(p: Array, n: Array) -> Array:
        share = 0.5 + 0.5 * n[1]
        open_share = np.ones_like(share)
        for axis in range(3):
            gap = np.minimum(p[axis] - lo[axis], hi[axis] - p[axis])
            shut = 0.55 * np.exp(-np.maximum(gap, 0) / corner) * (1 - np.abs(n[axis]))
            open_share *= 1 - shut
        return np.asarray((down + (up - down) * share) * open_share, np.float32)

    return ambient


def _towards(places: Array, p: Array, n: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Rays from all points to S places: direction, start, normal (3, S N), reach, its square."""
    to = (places[:, :, None] - p[None]).transpose(1, 0, 2).reshape(3, -1)
    square = np.maximum((to * to).sum(0), np.float32(1e-4))
    reach = np.sqrt(square)
    to = to / reach
    count = len(places)
    return to, np.tile(p, (1, count)), np.tile(n, (1, count)), reach, square


def _unblocked(
    casters: Casters | None, p: Array, n: Array, to: Array, reach: Array, share: Array
) -> Array:
    if casters is None:
        return share
    seen = np.flatnonzero(share > 1e-7)
    out = np.zeros_like(share)
    if seen.size:
        start = p[:, seen] + n[:, seen] * np.float32(2e-3)
        dark = casters.blocked(start, to[:, seen], reach[seen] - np.float32(5e-3))
        out[seen] = np.where(dark, 0, share[seen])
    return out
