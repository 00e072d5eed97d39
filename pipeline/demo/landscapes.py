# SPDX-License-Identifier: Apache-2.0
"""Outdoors: a sunset over the sea, snow mountains, a forest with sun rays, a city at dusk."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.skies import clouded, coordinates, gradient
from pipeline.demo.terrain import Land, raise_land, see_land

__all__ = ["city_dusk", "forest", "snow", "sunset"]


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


def snow(rng: np.random.Generator, height: int, width: int) -> Array:
    """Snow mountains in low sun: blue shadows, rock faces, dark firs in the valley."""
    noise = Noise(rng)
    x, y = coordinates(height, width)
    side = float(rng.choice([-1.0, 1.0]))
    sun = (side * 0.8, 0.42, 0.35)
    land = raise_land(rng, span=12.0, peak=2.9, sun=sun)
    horizon = 0.50
    eye = _viewpoint(land, rng, horizon)
    distance, px, pz = see_land(
        land, eye=eye, horizon=horizon * height, focal=height * 1.15,
        height=height, width=width, near=0.25, far=11.0,
    )  # fmt: skip
    up = np.clip((horizon - y) / horizon, -0.2, 1)
    sky = gradient(up, [(-0.2, (2.2, 2.4, 2.7)), (0.1, (1.8, 2.2, 2.9)), (1.0, (0.32, 0.7, 1.9))])
    sun_at = (side * 0.72 * float(x.max()), 0.10)
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
    firs = woods * smoothstep(-0.3, 0.5, noise.rough(turned_x * 1.3, turned_z * 1.1, size)) * (1 - steep)
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
    land: Land, rng: np.random.Generator, horizon: float
) -> tuple[float, float, float]:
    """Of twelve places the one whose view has peaks and a good third of sky."""
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
            width=72,
            near=0.25,
            far=11.0,
            steps=150,
        )
        sky = np.isinf(distance).mean(0)
        closeness = float((distance < 0.8).mean())
        cost = abs(float(sky.mean()) - 0.36) - 0.8 * float(sky.std()) + 0.5 * closeness
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
        part = _part(wide_x, wide_y, cx, 0.6 * size, top, foot + 0.05)
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


def _part(
    x: Array, y: Array, cx: float, half: float, top: float, bottom: float
) -> tuple[slice, slice]:
    """The rows and columns of a rectangle in picture coordinates."""
    cols = np.searchsorted(x[0], (cx - half, cx + half))
    rows = np.searchsorted(y[:, 0], (top, bottom))
    return slice(int(rows[0]), int(rows[1])), slice(int(cols[0]), int(cols[1]))


def forest(rng: np.random.Generator, height: int, width: int) -> Array:
    """Tall trees in morning mist, the sun behind them, rays between the trunks."""
    noise = Noise(rng)
    x, y = coordinates(height, width)
    sun = (float(rng.uniform(-0.3, 0.3)), 0.24)
    r = np.hypot(x - sun[0], y - sun[1])
    open_sky = gradient(y, [(0, (5.0, 5.2, 4.4)), (0.5, (7.0, 6.0, 3.6)), (1, (1.5, 1.6, 0.8))])
    open_sky = open_sky + np.exp(-r * 4.5)[..., None] * np.array([60, 46, 22], np.float32)
    open_sky = open_sky + smoothstep(0.06, 0.04, r)[..., None] * np.array(
        [3800, 3200, 2100], np.float32
    )
    image, clear = open_sky, np.ones_like(x)
    layers = 7
    for k in range(layers):
        near = (k + 1) / layers
        far = 1 - near
        shift = float(rng.uniform(0, 9))
        veil = np.exp(-r * 1.7)[..., None] * np.array([5.5, 4.4, 2.3], np.float32) + np.array(
            [0.55, 0.62, 0.42], np.float32
        )
        # leaves of this layer
        scale = 0.5 + 2.2 * far
        leaf = noise.rough(x * scale + shift, y * scale + shift) + 0.45 * noise.rough(
            x * scale * 4.3, y * scale * 4.3 + shift
        )
        sparse = -0.35 + 1.9 * np.clip(y - 0.30 - 0.07 * far, -0.25, 0.4)
        mass = smoothstep(0.15, 0.55, leaf - 2.2 * sparse - 1.05 + 0.15 * near)
        through = np.exp(-r * (1.6 + near))[..., None]
        green = np.array([0.035, 0.06, 0.014], np.float32) * np.exp(0.5 * leaf)[..., None]
        green = (
            green
            + through
            * np.array([1.4, 1.7, 0.25], np.float32)
            * np.exp(0.6 * noise.rough(x * scale * 2, y * scale * 2))[..., None]
        )
        image = image + (green * near + veil * far**1.5 - image) * mass[..., None]
        clear = clear * (1 - mass)
        for _ in range(int(4 + 9 * far)):
            cx = float(rng.uniform(-1.0, 1.0))
            wide = (0.007 + 0.05 * near**2.2) * float(rng.uniform(0.6, 1.3))
            if near > 0.7 and abs(cx - sun[0]) < 0.22:
                continue
            foot = 0.62 + 0.34 * near**1.3
            part = _part(x, y, cx, 0.04 + 3 * wide, -1.0, foot + 0.05)
            if not x[part].size:
                continue
            colour, trunk = _trunk(noise, x[part], y[part], r[part], cx, wide, foot, near, sun)
            colour = colour * near + veil[part] * far**1.5
            image[part] += (colour - image[part]) * trunk[..., None]
            clear[part] *= 1 - trunk
        image = _forest_floor(noise, image, x, y, near, shift, veil, sun)
    # Rays: what is left of the sun between leaves and trunks, smeared away from it.
    return _rays(image, clear * np.exp(-r * 7), sun, height, width)


def _trunk(
    noise: Noise, x: Array, y: Array, r: Array, cx: float, wide: float, foot: float, near: float,
    sun: tuple[float, float],
) -> tuple[Array, Array]:  # fmt: skip
    """Colour (h, w, 3) and cover (h, w) of a trunk that stands at ``cx``, ``foot``."""
    bend = cx + 0.012 * near * noise.smooth(y * 0.25 + cx, y * 0 + cx) + (y - 0.5) * 0.02 * cx
    flare = wide * (1 + 0.9 * smoothstep(foot - 0.13 * near, foot, y))
    across = (x - bend) / flare
    edge = 0.07 * noise.rough(x * 3 + cx, y * 0.9)
    cover = smoothstep(1.0 + 0.04 / near, 0.92, np.abs(across) + edge)
    cover = cover * smoothstep(foot + 0.012, foot, y + 0.02 * np.abs(across))
    bark = np.exp(
        0.4 * noise.rough(across * 0.12 + cx, y * 0.35)
        + 0.3 * noise.rough(across * 0.5 + cx, y * 1.1)
    )
    rim = smoothstep(0.35, 0.98, across * np.sign(sun[0] - cx)) * np.exp(-r * 2.0)
    wood = np.array([0.055, 0.04, 0.026], np.float32) * (0.6 + 0.6 * near) * bark[..., None]
    return wood + (rim * bark)[..., None] * np.array([2.4, 1.6, 0.6], np.float32), cover


def _forest_floor(
    noise: Noise, image: Array, x: Array, y: Array, near: float, shift: float, veil: Array,
    sun: tuple[float, float],
) -> Array:  # fmt: skip
    top = 0.60 + 0.32 * near**1.3 + 0.015 * noise.smooth(x * 0.4 + shift, x * 0)
    fern = 0.035 * near * np.clip(noise.rough(x * 2.2 / near**0.5, y * 0.3 + shift), -1, 3)
    ground = smoothstep(0.006, -0.006, top - y - fern)
    tone = noise.rough(x * 1.6 / near, y * 5 / near + shift)
    fine = noise.rough(x * 6 / near, y * 14 / near)
    path = np.exp(-(((x - sun[0] * (1.6 - y) - 0.05 * np.sin(y * 9)) / (0.10 * near + 0.02)) ** 2))
    moss = np.array([0.05, 0.075, 0.018], np.float32) * np.exp(0.6 * tone + 0.4 * fine)[..., None]
    earth = np.array([0.12, 0.085, 0.05], np.float32) * np.exp(0.4 * fine)[..., None]
    soil = moss + (earth - moss) * (0.8 * path[..., None])
    patch = smoothstep(0.5, 1.1, noise.rough(x * 0.5 + shift, y * 2.0))
    glow = np.exp(-np.abs(x - sun[0]) * 2.5) * (0.25 + 4.0 * patch)
    lit = soil * (0.8 + 9.0 * glow[..., None] * np.array([1.0, 0.82, 0.45], np.float32))
    lit = lit + veil * (1 - near) ** 1.5 * 0.5
    return np.asarray(image + (lit - image) * ground[..., None], np.float32)


def _rays(image: Array, light: Array, sun: tuple[float, float], height: int, width: int) -> Array:
    scale = 360.0 / max(height, width)
    small = cv2.resize(light, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, cols = small.shape
    cx, cy = sun[0] * rows + cols / 2, sun[1] * rows
    total = small
    zoom = 1.012
    for _ in range(6):  # each pass doubles the length of the smear
        move = np.array([[zoom, 0, cx * (1 - zoom)], [0, zoom, cy * (1 - zoom)]], np.float32)
        total = 0.5 * total + 0.5 * cv2.warpAffine(total, move, (cols, rows))
        zoom = zoom**2
    rays = cv2.resize(total, (width, height), interpolation=cv2.INTER_CUBIC)
    gain = np.array([17, 13.0, 6.5], np.float32)
    return np.asarray(image + np.maximum(rays, 0)[..., None] * gain, np.float32)


def city_dusk(rng: np.random.Generator, height: int, width: int) -> Array:
    """A skyline after sunset across a river: lit windows, street lamps, their reflections."""
    noise = Noise(rng)
    x, y = coordinates(height, width)
    shore = 0.66
    sun = (float(rng.uniform(-0.5, 0.5)), shore + 0.02)
    up = np.clip((shore - y) / shore, 0, 1)
    sky = gradient(
        up,
        [
            (0.0, (1.5, 0.62, 0.22)), (0.2, (0.95, 0.5, 0.34)), (0.45, (0.30, 0.30, 0.42)),
            (1.0, (0.035, 0.07, 0.19)),
        ],
    )  # fmt: skip
    sky = sky * (0.55 + 0.8 * np.exp(-np.abs(x - sun[0]) * 1.6))[..., None]
    sky = clouded(
        noise, sky, x, y, horizon=shore, sun=sun, lit=(1.5, 0.55, 0.28), dark=(0.09, 0.085, 0.12),
        amount=-0.3, drift=float(rng.uniform(0, 5)), scale=0.9,
    )  # fmt: skip
    image = sky
    for k in range(4):
        image = _block(noise, image, x, y, shore, k, rng, sun)
    image = _embankment(noise, image, x, y, shore)
    # The river: the picture above the shore, upside down, torn by ripples.
    depth = 1.0 / np.maximum(y - shore, 0.004)
    ripple = noise.rough(x * depth * 0.02, depth * 0.11) + 0.6 * noise.rough(
        x * depth * 0.07, depth * 0.33
    )
    tip = ripple * (0.006 + 0.13 * np.maximum(y - shore, 0))
    rows = (np.clip(2 * shore - y + tip, 0, shore - 0.004) * height).astype(np.float32)
    cols = ((x + 0.12 * tip) * height + width / 2).astype(np.float32)
    smeared = cv2.GaussianBlur(image, (0, 0), sigmaX=0.002 * height, sigmaY=0.02 * height)
    mixed = np.ascontiguousarray(0.35 * image + 0.65 * smeared)
    mirrored = cv2.remap(mixed, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    water = mirrored * 0.55 + np.array([0.004, 0.007, 0.012], np.float32)
    return np.asarray(np.where((y > shore)[..., None], water, image), np.float32)


def _block(
    noise: Noise, image: Array, x: Array, y: Array, shore: float, k: int,
    rng: np.random.Generator, sun: tuple[float, float],
) -> Array:  # fmt: skip
    """One row of buildings with their windows; ``k`` counts towards the viewer."""
    wide = (0.05, 0.075, 0.10, 0.14)[k]
    salt = 60 + 20 * k
    shift = float(rng.uniform(0, 50))
    u = x / wide + shift + 0.3 * np.sin(x / wide * 1.3 + shift)
    lot = np.floor(u)
    f = u - lot
    tall = (0.14, 0.13, 0.10, 0.07)[k] + (0.32, 0.26, 0.16, 0.10)[k] * noise.hashed(
        lot, salt=salt
    ) ** 2.2 * np.exp(-(x**2) * 0.8)
    inset = 0.06 * noise.hashed(lot, salt=salt + 1)
    step = tall * (1 - 0.12 * (np.abs(f - 0.5) > 0.28) * (noise.hashed(lot, salt=salt + 2) > 0.5))
    spire = (noise.hashed(lot, salt=salt + 3) > 0.8) * (np.abs(f - 0.5) < 0.03) * 0.05
    top = shore - step - spire
    inside = (y > top) & (f > inset) & (f < 1 - inset * 0.5) & (y < shore)
    stone = 0.25 + 0.8 * noise.hashed(lot, salt=salt + 4)
    grime = np.exp(0.25 * noise.rough(x * 2.7 + k, y * 2.7) + 0.2 * noise.rough(x * 11, y * 11))
    hue = np.stack(
        [0.05 + 0 * stone, 0.042 + 0.008 * noise.hashed(lot, salt=salt + 5), 0.045 + 0 * stone], -1
    )
    side = 0.6 + 0.7 * (np.sign(sun[0] - x) * (f - 0.5) > 0.22)
    wall = hue * (stone * grime * side * (1 + 0.5 * (3 - k)))[..., None]
    wall = wall + np.array([0.10, 0.07, 0.07], np.float32) * ((3 - k) * 0.3)
    glow = np.exp(-(shore - y) * 16)[..., None] * np.array([0.35, 0.2, 0.08], np.float32)
    wall = wall + glow * 0.6
    pitch_x, pitch_y = 0.0085 + 0.0018 * k, 0.0125 + 0.002 * k
    i, j = np.floor(x / pitch_x), np.floor((y - shore) / pitch_y)
    fx, fy = x / pitch_x - i, (y - shore) / pitch_y - j
    pane = (np.abs(fx - 0.5) < 0.31) & (np.abs(fy - 0.5) < 0.30)
    night = noise.hashed(i + lot * 7, j, salt=salt + 6)
    office = noise.hashed(lot, j, salt=salt + 9) > 0.82
    on = (night > 0.55 + 0.35 * noise.hashed(lot, salt=salt + 7)) | (office & (night > 0.15))
    warm = noise.hashed(i, j, salt=salt + 8)
    lamp = np.stack([1.0 + 0 * warm, 0.52 + 0.34 * warm, 0.16 + 0.62 * warm**2], -1)
    inner = (0.8 + 0.5 * noise.rough(x * 23, y * 23)) * (0.35 + 2.6 * night**3)
    dark_pane = np.array([0.02, 0.024, 0.034], np.float32) + 0.10 * image
    front = np.where((pane & on)[..., None], lamp * np.maximum(inner, 0.1)[..., None] * 3.0, wall)
    front = np.where((pane & ~on)[..., None], dark_pane, front)
    clear = (y > top + 0.012) & (f > inset + 0.06) & (f < 0.93)
    front = np.where(clear[..., None], front, wall)
    beacon = np.hypot((f - 0.5) * wide, y - top) < 0.0028
    red = (beacon & (spire > 0))[..., None] * np.array([60, 3, 2], np.float32)
    return np.asarray(np.where(inside[..., None], front, image) + red, np.float32)


def _embankment(noise: Noise, image: Array, x: Array, y: Array, shore: float) -> Array:
    wall = (y > shore - 0.022) & (y <= shore)
    stone = (
        np.array([0.10, 0.075, 0.055], np.float32)
        * np.exp(0.4 * noise.rough(x * 3, y * 9))[..., None]
    )
    trees = (
        shore
        - 0.022
        - 0.030
        * np.clip(0.7 + 0.6 * noise.smooth(x * 1.3, x * 0) + 0.35 * noise.rough(x * 4, y * 2), 0, 2)
    )
    leaf = (
        np.array([0.02, 0.028, 0.014], np.float32)
        * np.exp(0.7 * noise.rough(x * 9, y * 9))[..., None]
    )
    out = np.where(((y > trees) & (y <= shore - 0.02))[..., None], leaf, image)
    out = np.where(wall[..., None], stone, out)
    pitch = 0.085
    f = np.mod(x / pitch, 1) - 0.5
    pole = (np.abs(f * pitch) < 0.0011) & (y > shore - 0.06) & (y < shore - 0.02)
    out = np.where(pole[..., None], np.float32(0.01), out)
    r = np.hypot(f * pitch, y - (shore - 0.062))
    out = out + smoothstep(0.0055, 0.0035, r)[..., None] * np.array([420, 230, 80], np.float32)
    return np.asarray(
        out + np.exp(-r * 70)[..., None] * np.array([1.6, 0.85, 0.3], np.float32), np.float32
    )


def draw(scene: str, rng: np.random.Generator, height: int, width: int) -> Array:
    """One of the landscapes by name."""
    return {"sunset": sunset, "snow": snow, "forest": forest, "city_dusk": city_dusk}[scene](
        rng, height, width
    )
