# SPDX-License-Identifier: Apache-2.0
"""What the ray caster is given: the eye, the solids, the lights, the air."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.lights import Light, Sun
from pipeline.demo.noise import Array
from pipeline.demo.solids import Solid, Vector

__all__ = ["Eye", "Haze", "Stage"]


@dataclass(frozen=True, kw_only=True)
class Eye:
    """The camera's place, its yaw and pitch in radians, and the diagonal field of view."""

    at: Vector
    yaw: float = 0.0
    pitch: float = 0.0
    view: float = 1.35

    def axes(self) -> Array:
        """Rows: right, up and forward unit vectors."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        return np.array(
            [[cy, 0, -sy], [-sy * sp, cp, -cy * sp], [sy * cp, sp, cy * cp]], np.float32
        )

    def scale(self, height: int, width: int) -> float:
        """Metres that a pixel covers at a distance of one metre."""
        return float(2 * np.tan(self.view / 2) / np.hypot(height, width))

    def rays(self, x: Array, y: Array, height: int, width: int) -> Array:
        """Unit directions (3, N) through pixel places (0..width, 0..height)."""
        s = np.float32(self.scale(height, width))
        right, up, forward = self.axes()
        a, b = (x - width / 2) * s, (height / 2 - y) * s
        d = right[:, None] * a + up[:, None] * b + forward[:, None]
        return np.asarray(d / np.sqrt((d * d).sum(0)), np.float32)

    def project(self, p: Array, height: int, width: int) -> tuple[Array, Array, Array]:
        """Pixel place and depth of points (3, N)."""
        a, b, c = self.axes() @ (p - np.array(self.at, np.float32)[:, None])
        s = np.float32(self.scale(height, width))
        z = np.maximum(c, 1e-6)
        return a / z / s + width / 2, height / 2 - b / z / s, c


@dataclass(frozen=True, kw_only=True)
class Haze:
    """Dust in the air: ``density`` per metre, lit by the sun's beams and by ``glow`` (3,)."""

    density: float
    glow: Vector = (0.0, 0.0, 0.0)
    reach: float = 40.0
    steps: int = 24


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All that is needed to render a view.

    ``sky(d)`` is the radiance (3, N) where a ray meets nothing; ``ambient(p, n)`` the light that
    came by many bounces.
    """

    eye: Eye
    solids: Sequence[Solid]
    lights: Sequence[Light]
    sky: Callable[[Array], Array]
    ambient: Callable[[Array, Array], Array]
    suns: Sequence[Sun] = ()
    haze: Haze | None = None
    samples: int = 12
