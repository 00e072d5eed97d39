# SPDX-License-Identifier: Apache-2.0
"""A church: pillars, pews, stained glass, coloured light in the air."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, Sun, bounced
from pipeline.demo.materials import (
    boards,
    bricks,
    by_face,
    glowing,
    plaster,
    stone_slabs,
    tinted,
)
from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.outdoors import Window, beam, walled
from pipeline.demo.solids import (
    Box,
    Cylinder,
    Hits,
    Material,
    Room,
    Solid,
    Sphere,
    Surface,
)
from pipeline.demo.stage import Eye, Haze, Stage

__all__ = ["church"]


def church(rng: np.random.Generator) -> Stage:
    """A nave between pillars, stained windows, coloured light on the floor and in the air."""
    noise = Noise(rng)
    stone = bricks(
        noise,
        (0.40, 0.35, 0.28),
        length=0.9,
        height=0.42,
        mortar=0.014,
        variety=0.25,
        mortar_colour=(0.3, 0.27, 0.22),
    )
    shaft = bricks(noise, (0.44, 0.39, 0.32), length=0.7, height=0.6, mortar=0.01, variety=0.15)
    floor = stone_slabs(noise, (0.42, 0.37, 0.30), (0.12, 0.10, 0.09), size=0.6, gloss=0.5)
    pew = boards(noise, (0.17, 0.085, 0.04), width=0.3, along="u", gloss=0.25)
    hue = float(rng.uniform(0, 5))
    end = [
        Window(axis=2, at=24.0, a=(x - w, x + w), b=(2.2, top), arched=True,
               bars=(2, 5), bar_width=0.09, glass=_stained(noise, hue + x))
        for x, w, top in ((-2.3, 0.8, 7.0), (0.0, 1.1, 8.8), (2.3, 0.8, 7.0))
    ]  # fmt: skip
    right = [
        Window(axis=0, at=5.6, a=(z - 0.8, z + 0.8), b=(1.9, 5.6), arched=True,
               bars=(2, 4), bar_width=0.08, glass=_stained(noise, hue + z))
        for z in (1.5, 6.0, 10.5, 15.0, 19.5)
    ]  # fmt: skip
    left = [
        Window(axis=0, at=-5.6, a=w.a, b=w.b, arched=True, bars=(2, 4), bar_width=0.08,
               glass=_stained(noise, hue + 9 + w.a[0]))
        for w in right
    ]  # fmt: skip
    glow = 30.0

    def view(d: Array) -> Array:
        e = np.clip(d[1] * 2 + 0.6, 0.25, 1.4)
        return np.asarray(np.array([[1.0], [0.98], [0.95]], np.float32) * e * glow, np.float32)

    wall = walled([*end, *right, *left], stone, view, (0.05, 0.05, 0.05))
    solids: list[Solid] = [
        Room(
            lo=(-5.6, 0, -4),
            hi=(5.6, 6.6, 24.0),
            material=by_face(floor=floor, ceiling=_coffers(noise), sides=wall),
        ),
    ]
    for z in np.arange(-0.8, 24, 4.5):
        for x in (-3.1, 3.1):
            at = float(z)
            solids += [
                Cylinder(x=x, z=at, radius=0.36, bottom=0, top=5.6, material=shaft),
                Box(lo=(x - 0.55, 0, at - 0.55), hi=(x + 0.55, 0.5, at + 0.55), material=shaft),
                Cylinder(
                    x=x, z=at, radius=0.36, bottom=5.0, top=5.6, top_radius=0.7, material=shaft
                ),
                Box(lo=(x - 0.75, 5.6, at - 0.75), hi=(x + 0.75, 6.6, at + 0.75), material=shaft),
            ]
    for z in np.arange(4.0, 16.5, 1.35):
        for x0, x1 in ((-2.7, -0.75), (0.75, 2.7)):
            low, at = 0.45, float(z)
            solids += [
                Box(lo=(x0, 0.4, at), hi=(x1, low, at + 0.42), material=pew),
                Box(lo=(x0, 0.1, at + 0.42), hi=(x1, 0.98, at + 0.48), material=pew),
            ]
    cloth_white = plaster(noise, (0.75, 0.72, 0.64), wear=0.6)
    solids += [
        Box(lo=(-3.0, 0, 19.0), hi=(3.0, 0.18, 24), material=shaft),
        Box(lo=(-2.6, 0.18, 19.5), hi=(2.6, 0.36, 24), material=shaft),
        Box(lo=(-1.1, 0.36, 21.2), hi=(1.1, 1.35, 22.0), material=shaft),
        Box(lo=(-1.2, 1.35, 21.1), hi=(1.2, 1.42, 22.1), material=cloth_white),
    ]
    for x in (-0.9, -0.65, 0.65, 0.9):
        solids += [
            Cylinder(x=x, z=21.5, radius=0.035, bottom=1.42, top=1.9, material=cloth_white),
            Sphere(center=(x, 1.96, 21.5), radius=0.035, casts=False,
                   material=glowing((90.0, 45.0, 14.0))),
        ]  # fmt: skip
    panes = [
        AreaLight(
            corner=(w.at * 0.995, w.b[0], w.a[0]), along=(0, 0, 1.6), across=(0, w.b[1] - 1.9, 0),
            facing=(-np.sign(w.at), 0, 0), radiance=tone, samples=2,
        )
        for w, tone in [(w, (3.4, 3.1, 3.6)) for w in left[1:4:2]]
        + [(w, (5.6, 4.8, 4.0)) for w in right[1:4:2]]
    ]  # fmt: skip
    return Stage(
        eye=Eye(at=(0.25, 1.75, -2.6), yaw=-0.01, pitch=0.14, view=1.35),
        solids=solids,
        lights=(
            AreaLight(
                corner=(-3.1, 2.2, 23.9), along=(6.2, 0, 0), across=(0, 5.0, 0),
                facing=(0, 0, -1), radiance=(3.6, 2.8, 3.6), samples=4,
            ),
            *panes,
            PointLight(at=(0, 2.1, 21.2), intensity=(6.0, 3.2, 1.2), samples=1),
        ),
        suns=(
            Sun(
                towards=(1.0, 0.55, float(rng.uniform(-0.12, 0.3))),
                light=(900.0, 800.0, 640.0), passes=beam(right),
            ),
        ),
        haze=Haze(density=0.0011, glow=(0.2, 0.19, 0.2), reach=30, steps=24),
        sky=view,
        ambient=bounced((0.30, 0.25, 0.21), (0.2, 0.18, 0.18), (-5.6, 0, -9), (5.6, 6.6, 24)),
    )  # fmt: skip


def _stained(noise: Noise, hue: float) -> Callable[[Array, Array], Array]:
    """Glass in leaded pieces: deep colours, a rosette in the middle of each light."""
    palette = np.array(
        [
            [0.55, 0.02, 0.02],
            [0.03, 0.07, 0.60],
            [0.75, 0.42, 0.04],
            [0.03, 0.30, 0.10],
            [0.30, 0.04, 0.42],
            [0.85, 0.75, 0.5],
            [0.02, 0.22, 0.5],
        ],
        np.float32,
    )

    def glass(a: Array, b: Array) -> Array:
        near, ids = noise.cells(a * 0.16 + hue, b * 0.16)
        pick = (np.floor(ids * 97 + hue * 5) % len(palette)).astype(np.intp)
        colour = palette[pick].T
        ring = np.mod(b, 1.3) - 0.65
        x = np.mod(a - 0.5, 1.0) - 0.5
        r = np.hypot(x, ring)
        petal = np.mod(np.floor(np.arctan2(ring, x) * 8 / 6.2832), 2)
        rose = np.where(petal > 0, 2, 0).astype(np.intp)
        rose = np.where(r < 0.12, 5, np.where(r > 0.34, 1, rose))
        inside = r < 0.42
        colour = np.where(inside, palette[rose].T, colour)
        lead = smoothstep(0.014, 0.03, np.abs(r - 0.42)) * smoothstep(0.01, 0.02, np.abs(r - 0.34))
        lead = lead * smoothstep(0.01, 0.02, np.abs(r - 0.12))
        lead = lead * np.where(inside, 1, smoothstep(0.05, 0.16, near))
        tone = np.exp(0.22 * noise.rough(a * 0.9, b * 0.9))
        return np.asarray(colour * lead * tone, np.float32)

    return glass


def _coffers(noise: Noise) -> Material:
    """A painted timber ceiling: beams, coffers, dull gold."""
    wood = boards(noise, (0.20, 0.11, 0.055), width=0.35)

    def material(hits: Hits) -> Surface:
        surface = wood(hits)
        x, z = np.mod(hits.u / 1.4 + 0.5, 1) - 0.5, np.mod(hits.v / 1.5, 1) - 0.5
        frame = smoothstep(0.36, 0.40, np.maximum(np.abs(x), np.abs(z)))
        star = smoothstep(0.16, 0.12, np.hypot(x, z) * (1 + 0.3 * np.cos(np.arctan2(z, x) * 8)))
        paint = tinted((0.05, 0.10, 0.22), 1 + 0.12 * noise.rough(hits.u * 0.8, hits.v * 0.8))
        gold = tinted((0.55, 0.38, 0.10), 1 + 0.12 * noise.rough(hits.u, hits.v))
        inner = paint + (gold - paint) * star
        return Surface(albedo=inner + (surface.albedo - inner) * frame)

    return material
