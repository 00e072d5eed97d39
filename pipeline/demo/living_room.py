# SPDX-License-Identifier: Apache-2.0
"""A living room against the light."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, Sun, bounced
from pipeline.demo.materials import boards, books, by_face, cloth, glowing, matt, plaster, rug
from pipeline.demo.noise import Noise
from pipeline.demo.outdoors import Window, beam, day_view, walled
from pipeline.demo.paintings import painting
from pipeline.demo.solids import Box, Cylinder, Hits, Material, Room, Solid, Sphere, Surface, Vector
from pipeline.demo.stage import Eye, Stage

__all__ = ["living_room"]


def living_room(rng: np.random.Generator) -> Stage:
    """A living room against the light: sun on the boards, a garden behind the window."""
    noise = Noise(rng)
    paint = [(0.62, 0.55, 0.44), (0.40, 0.50, 0.50), (0.62, 0.42, 0.34), (0.5, 0.54, 0.42)]
    colour = paint[int(rng.integers(len(paint)))]
    fabric = [(0.08, 0.14, 0.24), (0.33, 0.10, 0.06), (0.10, 0.20, 0.13), (0.38, 0.26, 0.12)]
    sofa = cloth(noise, fabric[int(rng.integers(len(fabric)))])
    shift = float(rng.uniform(-0.35, 0.35))
    window = Window(axis=2, at=5.0, a=(-1.25 + shift, 1.25 + shift), b=(0.75, 2.35), bars=(3, 2))
    side = Window(axis=0, at=2.7, a=(1.6, 3.2), b=(0.1, 2.3), bars=(2, 3), bar_width=0.05)
    view = day_view(noise, level=26.0, eye_level=-0.02, turn=float(rng.uniform(0, 6)))
    wall = plaster(noise, colour)
    oak = boards(noise, (0.34, 0.20, 0.10), gloss=0.5)
    white = plaster(noise, (0.78, 0.77, 0.74), wear=0.3)
    dark_wood = boards(noise, (0.15, 0.075, 0.035), width=0.4, along="u")
    curtain = _curtain(noise, (0.72, 0.66, 0.55), 6.0)
    left, right = window.a
    solids: list[Solid] = [
        Room(
            lo=(-2.7, 0, -1.5),
            hi=(2.7, 2.7, 5.0),
            material=walled(
                [window, side],
                by_face(floor=oak, ceiling=white, sides=wall),
                view,
                (0.7, 0.68, 0.64),
            ),
        ),
        # sill, skirting, curtains with their rod
        Box(lo=(left - 0.1, 0.68, 4.75), hi=(right + 0.1, 0.74, 5.0), material=white),
        Box(lo=(-2.7, 0, 4.97), hi=(2.7, 0.11, 5.0), material=white),
        Box(lo=(-2.7, 0, -1.5), hi=(-2.67, 0.11, 5.0), material=white),
        Box(lo=(left - 0.5, 0.1, 4.84), hi=(left + 0.02, 2.5, 4.9), material=curtain),
        Box(lo=(right - 0.02, 0.1, 4.84), hi=(right + 0.5, 2.5, 4.9), material=curtain),
        Box(lo=(left - 0.6, 2.5, 4.85), hi=(right + 0.6, 2.53, 4.88), material=dark_wood),
        # sofa at the left, seen from its end
        Box(lo=(-2.5, 0.1, 1.6), hi=(-1.6, 0.42, 3.7), material=sofa),
        Box(lo=(-2.65, 0.1, 1.6), hi=(-2.35, 0.85, 3.7), material=sofa),
        Box(lo=(-2.6, 0.1, 1.4), hi=(-1.6, 0.62, 1.62), material=sofa),
        Box(lo=(-2.6, 0.1, 3.68), hi=(-1.6, 0.62, 3.9), material=sofa),
        Box(
            lo=(-2.36, 0.42, 1.75),
            hi=(-2.2, 0.8, 2.2),
            material=cloth(noise, (0.55, 0.36, 0.08), scale=2),
        ),
        # rug, table with books, a bowl and oranges
        Box(
            lo=(-1.4, 0, 1.4),
            hi=(1.3, 0.015, 3.6),
            material=rug(noise, ((0.32, 0.06, 0.04), (0.42, 0.32, 0.18), (0.05, 0.07, 0.15))),
        ),
        Box(lo=(-0.75, 0.38, 2.0), hi=(0.65, 0.43, 2.9), material=dark_wood),
        *(
            Box(lo=(x, 0, z), hi=(x + 0.06, 0.38, z + 0.06), material=dark_wood)
            for x in (-0.73, 0.57)
            for z in (2.02, 2.82)
        ),
        Box(lo=(-0.55, 0.43, 2.15), hi=(-0.2, 0.47, 2.4), material=matt((0.4, 0.08, 0.05))),
        Box(lo=(-0.52, 0.47, 2.17), hi=(-0.22, 0.50, 2.38), material=matt((0.08, 0.2, 0.3))),
        Cylinder(
            x=0.25,
            z=2.45,
            radius=0.09,
            bottom=0.43,
            top=0.52,
            top_radius=0.2,
            material=plaster(noise, (0.2, 0.33, 0.4)),
        ),
        *(
            Sphere(
                center=(0.25 + dx, 0.54, 2.45 + dz),
                radius=0.06,
                material=plaster(noise, (0.75, 0.30, 0.03), wear=2),
            )
            for dx, dz in ((-0.06, -0.03), (0.06, 0.0), (0.0, 0.08))
        ),
        # shelf with books, picture, floor lamp
        *_shelf(noise, dark_wood, x=2.35, z0=3.5, z1=4.7),
        Box(
            lo=(-2.7, 1.25, 2.0), hi=(-2.66, 2.05, 3.2), material=painting(noise, rng.uniform(1, 9))
        ),
        Box(lo=(-2.35, 1.2, 4.985), hi=(-1.85, 1.9, 5.0), material=painting(noise, 3.3)),
        Cylinder(x=-2.2, z=4.35, radius=0.16, bottom=0, top=0.03, material=dark_wood),
        Cylinder(x=-2.2, z=4.35, radius=0.015, bottom=0, top=1.45, material=dark_wood),
        Cylinder(
            x=-2.2,
            z=4.35,
            radius=0.24,
            bottom=1.4,
            top=1.72,
            top_radius=0.15,
            casts=False,
            material=glowing((3.4, 2.0, 0.85)),
        ),
        _pot(noise, 1.45, 4.55),
        *_plant(noise, rng, 1.45, 4.55),
    ]
    sun = (float(rng.uniform(0.25, 0.5)), 0.62, 1.0)
    return Stage(
        eye=Eye(at=(0.35, 1.35, -1.2), yaw=-0.1, pitch=-0.1, view=1.5),
        solids=solids,
        lights=(
            AreaLight(
                corner=(left, 0.75, 4.8),
                along=(right - left, 0, 0),
                across=(0, 1.6, 0),
                facing=(0, 0, -1),
                radiance=(9.0, 10.5, 13.0),
                samples=12,
            ),
            AreaLight(
                corner=(2.66, 0.1, 1.6),
                along=(0, 0, 1.6),
                across=(0, 2.2, 0),
                facing=(-1, 0, 0),
                radiance=(4.5, 5.2, 6.5),
                samples=10,
            ),
            PointLight(at=(-2.2, 1.75, 4.35), intensity=(2.4, 1.5, 0.7), samples=1),
        ),
        suns=(Sun(towards=sun, light=(420.0, 350.0, 250.0), passes=beam([window])),),
        sky=view,
        ambient=bounced((0.75, 0.6, 0.42), (0.45, 0.42, 0.38), (-2.7, 0, -9), (2.7, 2.7, 5.0)),
    )


def _curtain(noise: Noise, colour: Vector, light: float) -> Material:
    base = cloth(noise, colour, folds=9.0)

    def material(hits: Hits) -> Surface:
        surface = base(hits)
        tint = np.array([[1.0], [0.9], [0.75]], np.float32)
        return Surface(
            albedo=surface.albedo, emission=surface.albedo**1.5 * tint * np.float32(light)
        )

    return material


def _shelf(noise: Noise, wood: Material, *, x: float, z0: float, z1: float) -> list[Solid]:
    out: list[Solid] = [
        Box(lo=(x, 0, z0), hi=(x + 0.35, 1.95, z0 + 0.04), material=wood),
        Box(lo=(x, 0, z1 - 0.04), hi=(x + 0.35, 1.95, z1), material=wood),
    ]
    for level in (0.08, 0.55, 1.02, 1.49):
        out.append(Box(lo=(x, level - 0.04, z0), hi=(x + 0.35, level, z1), material=wood))
        out.append(
            Box(
                lo=(x + 0.06, level, z0 + 0.04),
                hi=(x + 0.35, level + 0.33, z1 - 0.04),
                material=books(noise),
            )
        )
    out.append(Box(lo=(x, 1.92, z0), hi=(x + 0.35, 1.96, z1), material=wood))
    return out


def _pot(noise: Noise, x: float, z: float) -> Solid:
    return Cylinder(
        x=x,
        z=z,
        radius=0.14,
        bottom=0,
        top=0.34,
        top_radius=0.2,
        material=plaster(noise, (0.45, 0.18, 0.09), wear=2),
    )


def _plant(noise: Noise, rng: np.random.Generator, x: float, z: float) -> list[Solid]:
    leaf = plaster(noise, (0.07, 0.16, 0.035), wear=5)
    out: list[Solid] = []
    for _ in range(12):
        turn, up = rng.uniform(0, 6.28), rng.uniform(0.45, 1.0)
        r = 0.22 * np.sin((up - 0.3) * 3.2) + 0.03
        out.append(
            Sphere(
                center=(x + r * np.cos(turn), up, z + r * np.sin(turn)),
                radius=float(rng.uniform(0.05, 0.11)),
                material=leaf,
            )
        )
    return out
