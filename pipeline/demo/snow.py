# SPDX-License-Identifier: Apache-2.0
"""Snow mountains against the sun."""

from __future__ import annotations

import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.skies import clouded, coordinates, gradient, part_of
from pipeline.demo.terrain import Land, raise_land, see_land

__all__ = ["snow"]


def snow(rng: np.random.Generator, height: int, width: int) -> Array:
    """Snow mountains in low sun: blue shadows, rock faces, dark firs in the valley."""
    noise = Noise(rng)
    x, y = coordinates(height, width)
    side = float(rng.choice([-1.0, 1.0]))
    sun = (side * 0.8, 0.42, 0.35)
    land = raise_land(rng, span=12.0, peak=2.9, sun=sun)
    horizon = 0.50
    sun_at = (side * 0.72 * float(x.max()), 0.10)
    eye = _viewpoint(land, rng, horizon, sun_at, width / height)
    distance, px, pz = see_land(
        land, eye=eye, horizon=horizon * height, focal=height * 1.15,
        height=height, width=width, near=0.25, far=11.0,
    )  # fmt: skip
    up = np.clip((horizon - y) / horizon, -0.2, 1)
    sky = gradient(up, [(-0.2, (2.2, 2.4, 2.7)), (0.1, (1.8, 2.2, 2.9)), (1.0, (0.32, 0.7, 1.9))])
    r = np.hypot(x - sun_at[0], y - sun_at[1])
    sky = sky + np.exp(-r * 5)[..., None] * np.array([5, 4.6, 3.8], np.float32)
    sky = clouded(
        noise, sky, x, y, horizon=horizon, sun=sun_at, lit=(5.0, 4.7, 4.2), dark=(1.9, 2.1, 2.5),
        amount=-0.65, drift=float(rng.uniform(0, 5)), scale=0.8,
    )  # fmt: skip
    disc = smoothstep(0.034, 0.028, r)
    sky = sky + disc[..., None] * np.array([5000, 4700, 4200], np.float32)

    sx, sz = land.read(land.slope_x, px, pz), land.read(land.slope_z, px, pz)
    near = np.clip(0.5 / distance, 0, 1)
    size = np.minimum(distance, 14.0) / (height * 1.15)  # what a pixel covers, in map units
    drift_x = noise.rough(px * 0.9, pz * 0.9) - noise.rough(px * 0.9 + 0.004, pz * 0.9)
    turned_x, turned_z = 0.8 * px + 0.6 * pz, 0.8 * pz - 0.6 * px
    drift_z = noise.rough(turned_x * 2.3, turned_z * 1.9) - noise.rough(
        turned_x * 2.3, turned_z * 1.9 + 0.006
    )
    sx, sz = sx + 0.22 * drift_x, sz + 0.25 * drift_z * near
    length = np.sqrt(sx * sx + sz * sz + 1)
    cosine = np.clip((-sx * sun[0] + sun[1] - sz * sun[2]) / length / np.sqrt(0.94), 0, 1)
    sunlit = land.read(land.sunlit, px, pz) * cosine
    steep = smoothstep(0.95, 1.35, np.hypot(sx, sz) + 0.25 * noise.rough(px * 1.7, pz * 1.7, size))
    snow_tone = (
        0.86
        + 0.05 * noise.rough(turned_x * 1.1, turned_z * 1.1, size)
        + 0.04 * noise.rough(px * 19, pz * 19, size * 19)
    )
    sparkle = (noise.rough(px * 61, pz * 61) > 2.7) * near
    rock = (
        np.array([0.17, 0.15, 0.14], np.float32)
        * np.exp(0.45 * noise.rough(px * 2.3, pz * 2.3 + sx))[..., None]
    )
    white = snow_tone[..., None] * np.array([0.98, 0.99, 1.0], np.float32)
    albedo = white + (rock - white) * (0.85 * steep[..., None])
    light = sunlit[..., None] * np.array([6.2, 5.3, 4.1], np.float32) * (
        1 + 3 * sparkle[..., None]
    ) + np.array([0.32, 0.5, 0.9], np.float32) * (0.6 + 0.4 / length[..., None])
    level = land.read(land.height, px, pz)
    woods = smoothstep(0.2, 0.7, noise.rough(px * 0.35, pz * 0.35, size) - (level - 0.45) * 2.2)
    firs = (
        woods
        * smoothstep(-0.3, 0.5, noise.rough(turned_x * 1.3, turned_z * 1.1, size))
        * (1 - steep)
    )
    far_enough = smoothstep(0.7, 1.4, distance)
    tree = np.array([0.025, 0.045, 0.03], np.float32) * (1 + 0.5 * sunlit[..., None])
    albedo = albedo + (tree - albedo) * (0.9 * firs * far_enough)[..., None]
    ground_light = albedo * light
    mist = 1 - np.exp(-np.clip(distance, 0, 20) * 0.055)
    air = np.array([1.3, 1.65, 2.3], np.float32)
    ground_light = ground_light + (air - ground_light) * np.clip(mist, 0, 1)[..., None]
    image = np.where(np.isinf(distance)[..., None], sky, ground_light)
    return _firs(noise, np.asarray(image, np.float32), x, y, rng, side)


def _viewpoint(
    land: Land,
    rng: np.random.Generator,
    horizon: float,
    sun: tuple[float, float],
    aspect: float,
) -> tuple[float, float, float]:
    """Of twelve places the one whose view has peaks, a good third of sky, and the sun in it."""
    width = round(48 * aspect)
    sun_row, sun_col = round(48 * sun[1]), round(48 * sun[0] + width / 2)
    best, least = (0.0, 0.0, 0.0), np.inf
    for x, z in rng.uniform(0, land.span, (12, 2)):
        ground = float(land.read(land.height, np.full((1, 1), x), np.full((1, 1), z))[0, 0])
        eye = (float(x), ground + 0.35, float(z))
        distance, _, _ = see_land(
            land,
            eye=eye,
            horizon=horizon * 48,
            focal=55.0,
            height=48,
            width=width,
            near=0.25,
            far=11.0,
            steps=150,
        )
        sky = np.isinf(distance).mean(0)
        closeness = float((distance < 0.8).mean())
        hidden = np.isfinite(distance[sun_row + 2, min(max(sun_col, 0), width - 1)])
        cost = (
            abs(float(sky.mean()) - 0.36)
            + 0.6 * float(hidden)
            - 0.8 * float(sky.std())
            + 0.5 * closeness
        )
        if cost < least:
            best, least = eye, cost
    return best


def _firs(
    noise: Noise, image: Array, x: Array, y: Array, rng: np.random.Generator, side: float
) -> Array:
    """Snow-laden firs in the foreground, most of them on the shaded side."""
    half, wide_x, wide_y = x.max(), x, y
    for k in range(13):
        size = float(rng.uniform(0.25, 0.62)) * (0.55 + 0.035 * k)
        cx = -side * half * float(rng.uniform(0.25, 1.05)) if k % 4 else side * half * 0.93
        foot = 0.80 + 0.20 * k / 13 + 0.12 * size
        top = foot - size
        part = part_of(wide_x, wide_y, cx, 0.6 * size, top, foot + 0.05)
        x, y, back = wide_x[part], wide_y[part], image[part]
        if not x.size:
            continue
        t = np.maximum((y - top) / size, 0)
        tier = np.mod(t * 9 + 0.6 * noise.smooth(x * 2 + k, y * 0.5), 1)
        reach = (
            0.23
            * size
            * t**0.9
            * (0.62 + 0.55 * tier)
            * (1 + 0.35 * noise.rough(x * 3.1 + k, y * 3.3))
        )
        shape = smoothstep(0.004, -0.004, np.abs(x - cx) - reach) * (t > 0) * (t < 0.96)
        trunk = (np.abs(x - cx) < 0.016 * size) & (t > 0.9) & (t < 1.02)
        load = smoothstep(0.50, 0.05, tier) * smoothstep(-0.5, 0.4, noise.rough(x * 4 + k, y * 5))
        lit = smoothstep(-0.6, 0.8, side * (x - cx) / (0.1 * size))
        needle = (
            np.array([0.03, 0.05, 0.035], np.float32)
            * np.exp(0.8 * noise.rough(x * 6.5, y * 6.5))[..., None]
        )
        white = np.array([0.32, 0.48, 0.82], np.float32) + lit[..., None] * np.array(
            [2.6, 2.2, 1.6], np.float32
        )
        tree = needle * (1 + 2 * lit[..., None]) + load[..., None] * white * 0.85
        back = back + (tree - back) * shape[..., None]
        back[trunk] = (0.02, 0.015, 0.012)
        image[part] = back
    return image
