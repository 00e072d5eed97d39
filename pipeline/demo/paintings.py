# SPDX-License-Identifier: Apache-2.0
"""Framed pictures for the walls: landscapes, seas, fields of colour."""

from __future__ import annotations

import numpy as np

from pipeline.demo.materials import tinted
from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.solids import Hits, Material, Surface, Vector

__all__ = ["painting"]


def painting(noise: Noise, seed: float, frame: Vector = (0.35, 0.22, 0.07)) -> Material:
    """A picture in oil with a gilded frame; ``seed`` (any number) decides what it shows."""
    motif = (_landscape, _sea, _landscape, _fields)[int(seed * 7.3) % 4]

    def material(hits: Hits) -> Surface:
        axis = 2 if np.abs(hits.n[0]).mean() > 0.5 else 0
        size = max(hits.hi[axis] - hits.lo[axis], 1e-3), hits.hi[1] - hits.lo[1]
        a = (hits.p[axis] - hits.lo[axis]) / size[0]
        b = (hits.p[1] - hits.lo[1]) / size[1]
        rim = np.minimum(np.minimum(a, 1 - a) * size[0], np.minimum(b, 1 - b) * size[1])
        paint = motif(noise, a * size[0] / size[1], b, seed)
        strokes = noise.rough(a * 1.3 + seed, b * 2.9, hits.footprint * 2)
        paint = paint * np.exp(0.16 * strokes)
        gilt = tinted(frame, 1 + 0.45 * np.sin(rim * 230) + 0.15 * noise.rough(a * 9, b * 9))
        inner = smoothstep(0.055, 0.06, rim)
        return Surface(albedo=np.clip(gilt + (paint - gilt) * inner, 0.004, 0.9))

    return material


def _hue(seed: float, k: int) -> Array:
    turn = seed * 2.7 + k * 2.1
    return np.array([[0.36 + 0.22 * np.sin(turn + c * 1.4)] for c in range(3)], np.float32) ** 1.3


def _landscape(noise: Noise, a: Array, b: Array, seed: float) -> Array:
    warm = np.array([[0.85], [0.55], [0.25]], np.float32)
    blue = np.array([[0.25], [0.42], [0.68]], np.float32)
    cloud = smoothstep(0.0, 1.2, noise.smooth(a * 0.22 + seed, b * 0.4))
    out = warm + (blue - warm) * smoothstep(0.35, 0.9, b)
    out = out + (np.float32(0.8) - out) * cloud * 0.7
    for k, (level, rough) in enumerate(((0.52, 0.05), (0.42, 0.07), (0.30, 0.09))):
        ridge = level + rough * noise.smooth(a * 0.2 + seed + k * 0.37, a * 0 + k * 0.21)
        tone = np.array([[0.20 - 0.05 * k], [0.24 - 0.05 * k], [0.26 - 0.11 * k]], np.float32)
        land = tone * np.exp(0.4 * noise.rough(a * 0.3 + k, b * 0.9 + seed))
        out = out + (land - out) * smoothstep(0.006, -0.006, b - ridge)
    path = np.abs(a - 0.5 - 0.25 * np.sin(b * 9 + seed)) - 0.10 * (0.36 - b)
    road = np.array([[0.5], [0.42], [0.3]], np.float32)
    out = out + (road - out) * (smoothstep(0.02, 0.0, path) * (b < 0.28))
    trunk = 0.18 + 0.12 * np.sin(seed * 3)
    crown = np.hypot((a - trunk) * 1.1, b - 0.55) + 0.05 * noise.rough(a * 0.5 + seed, b * 0.5)
    leaf = np.array([[0.05], [0.07], [0.02]], np.float32) * np.exp(
        0.6 * noise.rough(a * 0.8, b * 0.8)
    )
    stem = (np.abs(a - trunk) < 0.012) & (b > 0.15) & (b < 0.5)
    tree = np.maximum(smoothstep(0.21, 0.17, crown), stem.astype(np.float32))
    return np.asarray(out + (leaf - out) * tree, np.float32)


def _sea(noise: Noise, a: Array, b: Array, seed: float) -> Array:
    sky = np.array([[0.55], [0.52], [0.5]], np.float32) * (0.6 + 0.5 * b)
    storm = smoothstep(-0.3, 1.0, noise.smooth(a * 0.25 + seed, b * 0.3))
    sky = sky * (1 - 0.75 * storm)
    depth = 1.0 / np.maximum(0.46 - b, 0.02)
    wave = noise.rough(a * depth * 0.06 + seed, depth * 0.12)
    water = np.array([[0.05], [0.12], [0.13]], np.float32) * np.exp(0.5 * wave)
    water = water + 0.5 * smoothstep(1.2, 2.0, wave)
    out = sky + (water - sky) * smoothstep(0.447, 0.443, b)
    x = a - 0.6
    hull = (b > 0.42) & (b < 0.47) & (np.abs(x) < 0.06 + (b - 0.42))
    sail = (b > 0.48) & (b < 0.72) & (x > -0.005) & (x < (0.72 - b) * 0.55)
    out = np.where(hull, np.float32(0.03), out)
    return np.asarray(np.where(sail, np.float32(0.7) - 0.3 * x, out), np.float32)


def _fields(noise: Noise, a: Array, b: Array, seed: float) -> Array:
    wobble = 0.012 * noise.rough(a * 0.6, b * 0.6 + seed)
    i = np.digitize(a + wobble, [0.22 + 0.1 * np.sin(seed), 0.7])
    j = np.digitize(b + wobble, [0.3, 0.62 + 0.1 * np.cos(seed)])
    pick = (i * 3 + j * 5 + int(seed * 11)) % 5
    palette = np.concatenate(
        [_hue(seed, 1), _hue(seed, 2), _hue(seed, 3) * 0.2, np.full((3, 1), 0.7), _hue(seed, 4)], 1
    ).astype(np.float32)
    return np.asarray(palette[:, pick] * 0.8 + 0.02, np.float32)
