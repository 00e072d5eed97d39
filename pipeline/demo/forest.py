# SPDX-License-Identifier: Apache-2.0
"""A forest with sun rays."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.skies import coordinates, gradient, part_of

__all__ = ["forest"]


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
            part = part_of(x, y, cx, 0.04 + 3 * wide, -1.0, foot + 0.05)
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
