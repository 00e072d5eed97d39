# SPDX-License-Identifier: Apache-2.0
"""A stairwell with a tall window."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, Sun, bounced
from pipeline.demo.materials import (
    boards,
    by_face,
    glowing,
    matt,
    plaster,
    stone_slabs,
)
from pipeline.demo.noise import Noise
from pipeline.demo.outdoors import Window, beam, day_view, walled
from pipeline.demo.solids import (
    Box,
    Cylinder,
    Hits,
    Room,
    Solid,
    Sphere,
    Surface,
)
from pipeline.demo.stage import Eye, Stage

__all__ = ["stairwell"]


def stairwell(rng: np.random.Generator) -> Stage:
    """Stairs that turn towards a tall window, an iron rail, sun on worn steps."""
    noise = Noise(rng)
    tones = [(0.50, 0.42, 0.28), (0.32, 0.42, 0.44), (0.52, 0.33, 0.25)]
    upper = plaster(noise, (0.62, 0.58, 0.50), wear=1.6)
    lower = plaster(noise, tones[int(rng.integers(len(tones)))], wear=1.8)
    step = stone_slabs(noise, (0.46, 0.43, 0.38), (0.46, 0.43, 0.38), size=1.7, checked=False)
    floor = stone_slabs(noise, (0.50, 0.46, 0.40), (0.10, 0.09, 0.10), size=0.4, gloss=0.5)
    iron = matt((0.03, 0.03, 0.035))
    rail = boards(noise, (0.22, 0.10, 0.04), width=0.3)
    window = Window(axis=2, at=6.5, a=(0.35, 2.0), b=(2.2, 5.4), bars=(3, 6), bar_width=0.04,
                    arched=False)  # fmt: skip
    side = Window(axis=0, at=-2.6, a=(-0.4, 0.7), b=(1.0, 2.6), bars=(2, 3))
    view = day_view(noise, level=30.0, eye_level=-0.35, turn=float(rng.uniform(0, 6)))

    def wall(hits: Hits) -> Surface:
        high, low = upper(hits), lower(hits)
        # The dado follows the stairs on the right wall.
        rise = np.clip((hits.p[2] - 1.0) * 0.58, 0, 2.3) * (hits.p[0] > 0)
        edge = hits.p[1] - rise - 1.3
        line = (np.abs(edge) < 0.025) * np.float32(0.75)
        albedo = low.albedo + (high.albedo - low.albedo) * (edge > 0)
        return Surface(albedo=albedo * (1 - line))

    solids: list[Solid] = [
        Room(
            lo=(-2.6, 0, -2.5), hi=(2.4, 5.9, 6.5),
            material=walled(
                [window, side], by_face(floor=floor, ceiling=upper, sides=wall), view,
                (0.45, 0.43, 0.4),
            ),
        ),
        Box(lo=(0.2, 2.1, 6.3), hi=(2.15, 2.2, 6.5), material=upper),
    ]  # fmt: skip
    count, depth, tall = 13, 0.3, 0.175
    for k in range(count):
        z = 1.0 + k * depth
        solids += [
            Box(lo=(0.3, 0, z), hi=(2.4, (k + 1) * tall - 0.03, z + depth + 0.01), material=upper),
            Box(lo=(0.26, (k + 1) * tall - 0.04, z - 0.03), hi=(2.4, (k + 1) * tall, z + depth),
                material=step),
        ]  # fmt: skip
        if k % 2 == 0:
            solids.append(
                Cylinder(
                    x=0.36,
                    z=z + 0.15,
                    radius=0.012,
                    bottom=(k + 1) * tall,
                    top=(k + 1) * tall + 0.9,
                    material=iron,
                )
            )
    top = count * tall
    z_end = 1.0 + count * depth
    solids += [
        Box(lo=(-2.6, top - 0.25, z_end), hi=(2.4, top, 6.5), material=step),
        # the second flight, seen from below, and its wall
        *(
            Box(
                lo=(-2.6, top + k * tall - 0.12, z_end - (k + 1) * 0.3),
                hi=(-0.5, top + (k + 1) * tall, z_end - k * 0.3),
                material=upper,
            )
            for k in range(11)
        ),
        Box(lo=(0.33, top + 0.88, z_end), hi=(0.39, top + 0.93, 6.5), material=rail),
        *(
            Box(
                lo=(0.33, (k + 1) * tall + 0.86, 1.0 + k * depth),
                hi=(0.39, (k + 1) * tall + 0.93 + tall * 0.5, 1.0 + (k + 1) * depth + 0.02),
                material=rail,
            )
            for k in range(count)
        ),
        Cylinder(x=0.36, z=0.85, radius=0.05, bottom=0, top=1.15, material=rail),
        Sphere(center=(0.36, 1.2, 0.85), radius=0.075, material=rail),
        Sphere(center=(-1.2, 1.95, 3.8), radius=0.13, material=glowing((30, 20, 9)), casts=False),
        Box(lo=(-2.2, 0, 4.6), hi=(-1.4, 2.05, 4.66), material=boards(noise, (0.16, 0.08, 0.04))),
    ]
    return Stage(
        eye=Eye(at=(-0.75, 1.55, -2.0), yaw=0.17, pitch=0.14, view=1.4),
        solids=solids,
        lights=(
            AreaLight(
                corner=(0.35, 2.2, 6.45), along=(1.65, 0, 0), across=(0, 3.2, 0),
                facing=(0, 0, -1), radiance=(8.5, 9.5, 12.0), samples=12,
            ),
            AreaLight(
                corner=(-2.58, 1.0, -0.4), along=(0, 0, 1.1), across=(0, 1.6, 0),
                facing=(1, 0, 0), radiance=(3.0, 3.3, 4.0), samples=4,
            ),
            PointLight(at=(-1.2, 1.9, 3.8), intensity=(1.8, 1.2, 0.55), samples=2, radius=0.13),
        ),
        suns=(
            Sun(towards=(float(rng.uniform(0.15, 0.4)), 0.75, 1.0), light=(420, 350, 250),
                passes=beam([window])),
        ),
        sky=view,
        ambient=bounced((0.35, 0.3, 0.22), (0.25, 0.24, 0.22), (-2.6, 0, -9), (2.4, 5.9, 6.5)),
    )  # fmt: skip
