# SPDX-License-Identifier: Apache-2.0
"""Mountains seen in perspective: a height field, its shadows, and where each view ray meets it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.demo.noise import Array, spectral_tile

__all__ = ["Land", "raise_land", "see_land"]

_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class Land:
    """A periodic height field: heights, slopes and the share of sun that reaches each place.

    ``span`` is the side of the map, all lengths in one unit; maps are (1024, 1024) float32.
    """

    height: Array
    slope_x: Array
    slope_z: Array
    sunlit: Array
    span: float

    def read(self, map_: Array, x: Array, z: Array) -> Array:
        """A map at places (any shape below 32767 a side), bilinear, periodic."""
        scale = (_SIZE - 1) / np.float32(self.span)
        u, v = np.mod(x, self.span) * scale, np.mod(z, self.span) * scale
        return np.asarray(
            cv2.remap(map_, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR),
            np.float32,
        )


def raise_land(
    rng: np.random.Generator, *, span: float, peak: float, sun: tuple[float, float, float]
) -> Land:
    """Ridged mountains up to ``peak`` high; ``sun`` points towards the sun."""
    soft, rough = spectral_tile(rng, 2.4, _SIZE), spectral_tile(rng, 1.95, _SIZE)
    ridges = 1.0 - np.abs(rough) * 0.8
    height = 0.55 * soft + 0.8 * ridges * np.clip(0.6 + 0.5 * soft, 0, 2)
    fine = spectral_tile(rng, 1.6, _SIZE)
    height = height + 0.03 * fine * np.clip(height, 0.1, 2)
    height -= height.min()
    height = (height / height.max()) ** 1.6 * peak
    cell = span / _SIZE
    slope_z, slope_x = np.gradient(height, cell)
    # Walk towards the sun: a place is dark where the land ahead stands above the ray.
    flat = np.hypot(sun[0], sun[2])
    rise = sun[1] / flat
    dx, dz = sun[0] / flat, sun[2] / flat
    sunlit = np.ones_like(height)
    for k in range(1, 90):
        step = 1.0 + 0.06 * k
        reach = step * k
        move = np.array([[1, 0, dx * reach], [0, 1, dz * reach]], np.float32)
        ahead = cv2.warpAffine(
            height.astype(np.float32),
            move,
            (_SIZE, _SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        over = (ahead - height) - rise * reach * cell
        sunlit = np.minimum(sunlit, np.clip(1 - over / (0.02 * peak), 0, 1))
    return Land(
        height=height.astype(np.float32),
        slope_x=slope_x.astype(np.float32),
        slope_z=slope_z.astype(np.float32),
        sunlit=cv2.GaussianBlur(sunlit.astype(np.float32), (0, 0), 0.8),
        span=span,
    )


def see_land(
    land: Land,
    *,
    eye: tuple[float, float, float],
    horizon: float,
    focal: float,
    height: int,
    width: int,
    near: float,
    far: float,
    steps: int = 700,
) -> tuple[Array, Array, Array]:
    """Where each pixel sees the land: distance (inf for sky), x and z, all (height, width).

    Columns are walked front to back; a pixel sees the first place whose projection reaches its
    row. ``horizon`` is the row of eye level, ``focal`` the focal length in pixels.
    """
    ratio = (far / near) ** (1.0 / steps)
    depth = (near * ratio ** np.arange(steps + 1)).astype(np.float32)
    across = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal)[None, :]
    x, z = eye[0] + depth[:, None] * across, eye[2] + depth[:, None] + 0 * across
    level = land.read(land.height, x, z)
    row = horizon - (level - eye[1]) / depth[:, None] * focal
    top = np.minimum.accumulate(row, axis=0)
    out = np.full((height, width), np.inf, np.float32)
    rows = np.arange(height, dtype=np.float32) + 0.5
    for col in range(width):
        line = top[:, col]
        k = np.searchsorted(-line, -rows, side="left")
        seen = k <= steps
        a = np.clip(k, 1, steps)
        before, after = line[a - 1], line[a]
        share = np.clip((before - rows) / np.maximum(before - after, 1e-4), 0, 1)
        distance = depth[a - 1] + (depth[a] - depth[a - 1]) * share
        out[:, col] = np.where(seen, np.where(k == 0, depth[0] * 0.98, distance), np.inf)
    distance = np.where(np.isfinite(out), out, far)
    return out, eye[0] + distance * across, eye[2] + distance
