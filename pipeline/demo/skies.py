# SPDX-License-Identifier: Apache-2.0
"""Skies with clouds and a sun or none, and the optics that all pictures share.

Landscapes use picture coordinates: ``x`` from the middle and ``y`` from the top, in picture
heights, so that they keep their layout at any size.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.solids import Vector

__all__ = ["bloom", "clouded", "coordinates", "gradient", "part_of"]


def coordinates(height: int, width: int) -> tuple[Array, Array]:
    """x and y (height, width) of pixel centres in picture heights."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height
    grid_x, grid_y = np.meshgrid(x, y)
    return np.ascontiguousarray(grid_x), np.ascontiguousarray(grid_y)


def gradient(t: Array, stops: list[tuple[float, Vector]]) -> Array:
    """Colours (..., 3) along a list of (position, RGB), linear between."""
    at = [stop for stop, _ in stops]
    parts = [np.interp(t, at, [colour[c] for _, colour in stops]) for c in range(3)]
    return np.stack(parts, -1).astype(np.float32)


def clouded(
    noise: Noise,
    sky: Array,
    x: Array,
    y: Array,
    *,
    horizon: float,
    sun: tuple[float, float],
    lit: Vector,
    dark: Vector,
    amount: float = 0.0,
    drift: float = 0.0,
    scale: float = 1.0,
) -> Array:
    """A sky (H, W, 3) with a deck of clouds in perspective, lit from the sun's place.

    Args:
        lit, dark: radiance of cloud edges that face the sun, and of their bodies.
        amount: more is cloudier; 0 covers about half of the sky.
    """
    rise = np.maximum(horizon - y, 0.0) + 0.05
    depth = scale * 0.30 / rise
    u, v = x * depth * 0.35 + drift, depth * 0.30 + 0.7 * drift
    body = 0.62 * noise.smooth(u, v) + 0.42 * noise.rough(u * 1.1, v * 1.5)
    toward_x, toward_y = (sun[0] - x) * 0.05, (sun[1] - y) * 0.05
    ahead_depth = scale * 0.30 / np.maximum(horizon - (y + toward_y) + 0.05, 0.02)
    ahead = 0.62 * noise.smooth((x + toward_x) * ahead_depth * 0.35 + drift,
                                ahead_depth * 0.30 + 0.7 * drift) + 0.42 * noise.rough(
        (x + toward_x) * ahead_depth * 0.385 + 1.1 * drift, ahead_depth * 0.45 + 1.05 * drift
    )  # fmt: skip
    # At the horizon the deck is seen edge-on and runs into the haze.
    cover = smoothstep(-0.25, 0.85, body + amount) * smoothstep(0.0, 0.07, horizon - y)
    thick = smoothstep(0.0, 1.7, body + amount)
    edge = np.clip(0.5 + 0.75 * (body - ahead), 0, 1) * (1 - 0.75 * thick)
    near = np.exp(-np.hypot(x - sun[0], (y - sun[1]) * 1.4) * 2.2)
    glow = (edge * (0.35 + 1.4 * near) + 0.35 * near * (1 - thick))[..., None]
    cloud = np.array(dark, np.float32) * (1.1 - 0.55 * thick[..., None]) + glow * np.array(
        lit, np.float32
    )
    return np.asarray(sky + (cloud - sky) * cover[..., None], np.float32)


def bloom(image: Array, *, strength: float = 0.05) -> Array:
    """Light that a real lens spreads around bright places: three halos and a slight blur."""
    height, width = image.shape[:2]
    out = cv2.GaussianBlur(image, (0, 0), 0.45)
    halo = np.zeros_like(image)
    for size, share in ((0.004, 0.6), (0.018, 0.3), (0.07, 0.1)):
        sigma = size * np.hypot(height, width)
        shrink = max(1, int(sigma / 2.5))
        small = cv2.resize(
            image,
            (max(2, width // shrink), max(2, height // shrink)),
            interpolation=cv2.INTER_AREA,
        )
        small = cv2.GaussianBlur(small, (0, 0), max(sigma / shrink, 0.3))
        halo += share * cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out * (1 - strength) + halo * strength, np.float32)


def part_of(
    x: Array, y: Array, cx: float, half: float, top: float, bottom: float
) -> tuple[slice, slice]:
    """The rows and columns of a rectangle in picture coordinates."""
    cols = np.searchsorted(x[0], (cx - half, cx + half))
    rows = np.searchsorted(y[:, 0], (top, bottom))
    return slice(int(rows[0]), int(rows[1])), slice(int(cols[0]), int(cols[1]))
