# SPDX-License-Identifier: Apache-2.0
"""A sunset over the sea."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.skies import clouded, coordinates, gradient

__all__ = ["sunset"]


def sunset(rng: np.random.Generator, height: int, width: int) -> Array:
    """The sun's disc above the sea between headlands, clouds lit from below, rocks in front."""
    noise = Noise(rng)
    x, y = coordinates(height, width)
    horizon = 0.60
    sun = (float(rng.uniform(-0.3, 0.3)), horizon - float(rng.uniform(0.045, 0.09)))
    drift = float(rng.uniform(0, 5))
    sky = _evening_sky(noise, x, y, horizon, sun, drift)
    # The sea mirrors the sky at the point that its waves tip the view to.
    depth = 1.0 / np.maximum(y - horizon, 0.0012)
    swell = noise.rough(x * depth * 0.010 + drift, depth * 0.035)
    chop = noise.rough(x * depth * 0.05, depth * 0.17 + drift, 0.0006 * depth)
    tip = (0.35 * swell + 0.65 * chop) * (0.02 + 0.22 * np.minimum(y - horizon, 0.3))
    mirror_y = np.clip(2 * horizon - y + np.abs(tip) * 0.6 + tip, 0.0, horizon - 0.003)
    mirror_x = x + 0.25 * tip
    rows = (mirror_y * height - 0.5).astype(np.float32)
    cols = (mirror_x * height + width / 2 - 0.5).astype(np.float32)
    low = np.minimum(sky, 60.0)
    mirrored = cv2.remap(low, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    path = np.exp(-np.abs(x - sun[0]) / (0.03 + 0.20 * np.maximum(y - horizon, 0)))
    glint = smoothstep(0.55, 1.5, chop + 0.5 * swell + 0.9 * path) * path
    fresnel = np.clip(0.75 - 1.3 * (y - horizon), 0.15, 0.75)[..., None]
    deep = np.array([0.012, 0.02, 0.03], np.float32)
    sea = mirrored * fresnel + deep + glint[..., None] * np.array([150, 82, 26], np.float32)
    image = np.where((y > horizon)[..., None], sea, sky)
    # Headlands, one behind the other, fading into the glow.
    for k, (side, far) in enumerate(((-1, 0.9), (1, 0.6), (-1, 0.3))):
        spread = 0.35 + 0.22 * k + 0.1 * float(rng.random())
        slope = np.clip((side * x + 0.95 - 1.25 * spread), 0, 1)
        top = horizon - slope**0.7 * (0.10 + 0.07 * k) * (
            0.75
            + 0.28 * noise.smooth(x * 0.3 + k * 0.3, x * 0 + k * 0.17)
            + 0.07 * noise.rough(x * 0.9 + k, x * 0)
        )
        shape = smoothstep(0.0012, -0.0012, top - y) * (y < horizon + 0.004 * k) * (slope > 0.01)
        rim = np.exp(-np.abs(y - top) * 70) * np.exp(-np.abs(x - sun[0]) * 2.0)
        tone = np.array([0.9, 0.42, 0.22], np.float32) * far * 0.6 + 0.012
        land = (
            tone
            * np.exp(0.4 * noise.rough(x * 1.3 + k, y * 2.6) + 0.3 * noise.rough(x * 5, y * 9))[
                ..., None
            ]
            * (0.5 + 0.9 * rim[..., None])
        )
        image = image + (land - image) * shape[..., None]
    return _rocks(noise, image, x, y, sun, rng)


def _evening_sky(
    noise: Noise, x: Array, y: Array, horizon: float, sun: tuple[float, float], drift: float
) -> Array:
    up = np.clip((horizon - y) / horizon, 0, 1)
    sky = gradient(
        up,
        [
            (0.0, (9.0, 3.6, 0.9)), (0.12, (6.0, 2.9, 1.0)), (0.3, (2.4, 1.7, 1.3)),
            (0.6, (0.75, 0.9, 1.25)), (1.0, (0.25, 0.42, 0.9)),
        ],
    )  # fmt: skip
    r = np.hypot(x - sun[0], (y - sun[1]) * 1.15)
    sky = sky + np.exp(-r * 6)[..., None] * np.array([22, 9, 2.2], np.float32)
    sky = sky + np.exp(-r * 22)[..., None] * np.array([160, 80, 22], np.float32)
    sky = clouded(
        noise, sky, x, y, horizon=horizon, sun=sun, lit=(15.0, 5.6, 2.2), dark=(0.5, 0.38, 0.46),
        amount=-0.25, drift=drift, scale=1.1,
    )  # fmt: skip
    bands = smoothstep(0.2, 1.3, noise.rough(x * 0.12 + drift, y * 2.2)) * np.exp(-up * 4)
    sky = sky * (1 - 0.45 * bands[..., None])
    disc = smoothstep(0.0275, 0.025, np.hypot(x - sun[0], y - sun[1])) * (1 - 0.75 * bands)
    return np.asarray(sky + disc[..., None] * np.array([3600, 2080, 680], np.float32), np.float32)


def _rocks(
    noise: Noise,
    image: Array,
    x: Array,
    y: Array,
    sun: tuple[float, float],
    rng: np.random.Generator,
) -> Array:
    """Wet boulders along the lower edge, with light on the shoulders that face the sun."""
    for _ in range(9):
        cx, r = float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.07, 0.2))
        cy = 1.02 - 0.12 * abs(cx) + float(rng.uniform(-0.06, 0.08))
        rough = 0.035 * noise.rough(x * 0.5 + cx, y * 0.5) + 0.13 * noise.smooth(x * 0.8 + cy, y)
        q = np.hypot((x - cx) / (1.5 * r), (y - cy) / r) + rough
        shape = smoothstep(1.0, 0.99, q)[..., None]
        if not shape.any():
            continue
        round_up = np.clip(1 - q, 0, 1)
        facing = np.clip((cy - y) / r, -0.2, 1) * 0.8 + np.sign(sun[0] - cx) * (x - cx) / r * 0.25
        grain = noise.rough(x * 2.1, y * 2.1)
        wet = smoothstep(0.5, 1.2, grain + facing * 1.1 - round_up)
        stone = np.array([0.05, 0.045, 0.045], np.float32) * np.exp(0.7 * grain)[..., None]
        stone = stone * (0.4 + np.clip(facing, 0, 1)[..., None] * 2.5)
        stone = stone + (wet * np.clip(facing, 0, 1))[..., None] * np.array(
            [2.2, 1.25, 0.7], np.float32
        )
        image = image + (stone - image) * shape
    return np.asarray(image, np.float32)
