# SPDX-License-Identifier: Apache-2.0
"""A city across a river after sunset."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.skies import clouded, coordinates, gradient

__all__ = ["city_dusk"]


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
