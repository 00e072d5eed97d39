# SPDX-License-Identifier: Apache-2.0
"""A gallery of paintings under a skylight."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, Sun, bounced
from pipeline.demo.materials import (
    boards,
    by_face,
    matt,
    plaster,
    stone_slabs,
)
from pipeline.demo.noise import Noise
from pipeline.demo.outdoors import Window, beam, day_view, walled
from pipeline.demo.paintings import painting
from pipeline.demo.solids import (
    Box,
    Cylinder,
    Hits,
    Material,
    Room,
    Solid,
    Surface,
)
from pipeline.demo.stage import Eye, Stage

__all__ = ["museum"]


def museum(rng: np.random.Generator) -> Stage:
    """A gallery of paintings under a skylight, polished floor, lamps over the pictures."""
    noise = Noise(rng)
    walls = [(0.20, 0.045, 0.04), (0.05, 0.11, 0.10), (0.05, 0.07, 0.16), (0.16, 0.13, 0.07)]
    colour = walls[int(rng.integers(len(walls)))]
    paint = plaster(noise, colour, wear=0.8)
    white = plaster(noise, (0.7, 0.68, 0.63), wear=0.4)
    floor = boards(noise, (0.22, 0.12, 0.06), width=0.11, gloss=1.0, length=1.1)
    sky = Window(axis=1, at=5.0, a=(-1.6, 1.6), b=(0.5, 13.5), bars=(4, 16), bar_width=0.06)
    door = Window(axis=2, at=15.0, a=(-0.9, 0.9), b=(0.0, 3.1), bars=(1, 1))
    day = day_view(noise, level=34.0, turn=float(rng.uniform(0, 6)))
    ceiling = walled([sky], white, day, (0.3, 0.3, 0.3))
    end = walled([door], paint, day, (0.3, 0.25, 0.2))
    solids: list[Solid] = [
        Room(
            lo=(-3.6, 0, -3), hi=(3.6, 5.0, 15.0),
            material=by_face(floor=floor, ceiling=ceiling, sides=paint, ends=end),
        ),
        Box(lo=(-1.1, 0, 14.8), hi=(-0.9, 3.3, 15), material=white),
        Box(lo=(0.9, 0, 14.8), hi=(1.1, 3.3, 15), material=white),
        Box(lo=(-1.1, 3.1, 14.8), hi=(1.1, 3.4, 15), material=white),
        Box(lo=(-3.6, 0, -3), hi=(-3.56, 0.28, 15), material=white),
        Box(lo=(3.56, 0, -3), hi=(3.6, 0.28, 15), material=white),
        Box(lo=(-3.6, 4.75, -3), hi=(-3.4, 5.0, 15), material=white, casts=False),
        Box(lo=(3.4, 4.75, -3), hi=(3.6, 5.0, 15), material=white, casts=False),
    ]  # fmt: skip
    lights: list[AreaLight | PointLight] = [
        AreaLight(
            corner=(-1.6, 4.98, 0.5),
            along=(3.2, 0, 0),
            across=(0, 0, 13.0),
            facing=(0, -1, 0),
            radiance=(1.0, 1.15, 1.4),
            samples=12,
        ),
        AreaLight(
            corner=(-0.9, 0.05, 14.7),
            along=(1.8, 0, 0),
            across=(0, 3.0, 0),
            facing=(0, 0, -1),
            radiance=(9.0, 9.0, 9.5),
            samples=6,
        ),
    ]
    brass = matt((0.35, 0.24, 0.08))
    z = 0.6
    while z < 13.2:
        wide = float(rng.uniform(1.1, 2.0))
        for x in (-3.6, 3.6):
            tall = float(rng.uniform(0.9, 1.8))
            low = 1.9 - tall / 2 + float(rng.uniform(0, 0.2))
            side = (x + 0.06, x) if x < 0 else (x, x - 0.06)
            picture = painting(noise, float(rng.uniform(1, 20)), (0.42, 0.27, 0.08))
            solids.append(
                Box(lo=(min(side), low, z), hi=(max(side), low + tall, z + wide), material=picture)
            )
            lamp = x - np.sign(x) * 0.45
            top = low + tall + 0.22
            mid = z + wide / 2
            solids.append(
                Box(
                    lo=(lamp - 0.03, top, mid - 0.35),
                    hi=(lamp + 0.03, top + 0.05, mid + 0.35),
                    material=_lamp_below(brass),
                    casts=False,
                )
            )
            lights.append(
                PointLight(
                    at=(float(lamp), top - 0.02, mid),
                    intensity=(2.6, 1.9, 1.15),
                    radius=0.3,
                    samples=1,
                    aim=(float(np.sign(x)) * 0.45, -0.9, 0),
                    spread=(0.1, 0.95),
                    shadows=False,
                )
            )
        z += wide + float(rng.uniform(0.55, 0.9))
    marble = stone_slabs(noise, (0.68, 0.66, 0.62), (0.68, 0.66, 0.62), size=3.0, checked=False)
    dark = plaster(noise, (0.04, 0.04, 0.045))
    leather = plaster(noise, (0.07, 0.035, 0.02), wear=2)
    solids += [
        Box(lo=(-0.55, 0.38, 3.4), hi=(0.55, 0.5, 5.4), material=leather),
        Box(lo=(-0.45, 0, 3.5), hi=(-0.35, 0.38, 5.3), material=dark),
        Box(lo=(0.35, 0, 3.5), hi=(0.45, 0.38, 5.3), material=dark),
        Box(lo=(-0.4, 0, 8.6), hi=(0.4, 1.05, 9.4), material=marble),
        Cylinder(x=0, z=9, radius=0.12, bottom=1.05, top=1.25, top_radius=0.09, material=marble),
        Cylinder(x=0, z=9, radius=0.1, bottom=1.25, top=1.62, top_radius=0.33, material=marble),
        Cylinder(x=0, z=9, radius=0.33, bottom=1.62, top=1.95, top_radius=0.16, material=marble),
        Cylinder(x=0, z=9, radius=0.16, bottom=1.95, top=2.12, top_radius=0.24, material=marble),
    ]
    return Stage(
        eye=Eye(at=(-0.5, 1.6, -2.2), yaw=0.05, pitch=0.04, view=1.4),
        solids=solids, lights=lights, sky=day,
        suns=(
            Sun(towards=(float(rng.choice([-1, 1]) * rng.uniform(0.65, 0.85)), 1.0, 0.25),
                light=(240, 215, 180),
                passes=beam([sky])),
        ),
        ambient=bounced((0.30, 0.25, 0.2), (0.2, 0.2, 0.2), (-3.6, 0, -9), (3.6, 5, 15)),
    )  # fmt: skip


def _lamp_below(metal: Material) -> Material:
    """A brass lamp that shines from its underside."""

    def material(hits: Hits) -> Surface:
        surface = metal(hits)
        down = (hits.n[1] < -0.5).astype(np.float32)
        return Surface(
            albedo=surface.albedo, emission=down * np.array([[60.0], [40.0], [20.0]], np.float32)
        )

    return material
