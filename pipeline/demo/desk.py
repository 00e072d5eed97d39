# SPDX-License-Identifier: Apache-2.0
"""A desk by lamplight."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, bounced
from pipeline.demo.materials import (
    boards,
    books,
    by_face,
    cloth,
    glowing,
    matt,
    plaster,
    tinted,
    written_page,
)
from pipeline.demo.noise import Noise, smoothstep
from pipeline.demo.outdoors import Window, night_view, walled
from pipeline.demo.paintings import painting
from pipeline.demo.solids import (
    Box,
    Cylinder,
    Hits,
    Material,
    Room,
    Solid,
    Sphere,
    Surface,
    Vector,
)
from pipeline.demo.stage import Eye, Stage

__all__ = ["desk"]


def desk(rng: np.random.Generator) -> Stage:
    """A desk by a night window: the lamp's cone on papers and books, town lights outside."""
    noise = Noise(rng)
    picture = painting(noise, rng.uniform(1, 9))
    wood = boards(noise, (0.25, 0.12, 0.05), width=0.5, along="u", gloss=0.5, length=4)
    wall = plaster(noise, (0.30, 0.33, 0.30))
    view = night_view(noise, level=0.9)
    window = Window(axis=2, at=1.5, a=(-0.15, 1.5), b=(0.95, 2.3), bars=(2, 2), bar_width=0.05)
    cover = [tuple(0.03 + 0.5 * rng.random(3) ** 2) for _ in range(6)]
    brass = plaster(noise, (0.42, 0.28, 0.08))
    china = plaster(noise, (0.55, 0.53, 0.48), wear=0.4)
    lamp_x, lamp_z = -0.42, 0.85
    solids: list[Solid] = [
        Room(
            lo=(-2.4, -0.2, -2.5), hi=(2.4, 2.6, 1.5),
            material=walled([window], by_face(floor=wood, ceiling=wall, sides=wall), view,
                            (0.5, 0.48, 0.44)),
        ),
        Box(lo=(-1.4, 0.70, -0.2), hi=(1.5, 0.75, 1.3), material=wood),
        Box(lo=(-0.2, 0.90, 1.38), hi=(1.6, 0.95, 1.5), material=china),
        # papers and an open book
        Box(lo=(-0.42, 0.75, 0.18), hi=(-0.12, 0.755, 0.58), material=written_page(noise)),
        Box(lo=(-0.08, 0.75, 0.14), hi=(0.14, 0.765, 0.46), material=written_page(noise)),
        Box(lo=(0.145, 0.75, 0.14), hi=(0.365, 0.765, 0.46), material=written_page(noise)),
        Box(lo=(-0.11, 0.75, 0.12), hi=(0.395, 0.756, 0.48), material=matt((0.15, 0.03, 0.02))),
        Box(lo=(0.45, 0.75, 0.25), hi=(0.60, 0.752, 0.45),
            material=written_page(noise, (0.7, 0.62, 0.3))),
        # a pile of books
        *_pile(noise, rng, 0.62, 0.72, cover),
        # a row of books against the wall
        Box(lo=(-1.35, 0.75, 1.05), hi=(-0.62, 1.08, 1.28), material=books(noise)),
        # the lamp
        Cylinder(x=lamp_x, z=lamp_z, radius=0.11, bottom=0.75, top=0.78, material=brass),
        Cylinder(x=lamp_x, z=lamp_z, radius=0.012, bottom=0.78, top=1.3, material=brass,
                 casts=False),
        Cylinder(x=lamp_x, z=lamp_z, radius=0.22, bottom=1.17, top=1.36, top_radius=0.10,
                 casts=False, material=_shade(noise, (0.10, 0.85, 0.25))),
        Sphere(center=(lamp_x, 1.19, lamp_z), radius=0.045, casts=False,
               material=glowing((500, 330, 170))),
        # cup, pencil holder, ink, globe
        Cylinder(x=0.22, z=0.66, radius=0.034, bottom=0.757, top=0.85, top_radius=0.045,
                 material=china),
        Cylinder(x=0.22, z=0.66, radius=0.041, bottom=0.83, top=0.8505,
                 material=matt((0.03, 0.012, 0.005))),
        Cylinder(x=0.22, z=0.66, radius=0.085, bottom=0.75, top=0.757, material=china),
        Cylinder(x=-0.72, z=0.62, radius=0.045, bottom=0.75, top=0.87, material=brass),
        *(
            Cylinder(x=-0.72 + dx, z=0.62 + dz, radius=0.004, bottom=0.75, top=0.93 + h,
                     material=matt(c), casts=False)
            for dx, dz, h, c in (
                (-0.02, 0.01, 0.03, (0.6, 0.1, 0.05)), (0.015, 0.0, 0.0, (0.1, 0.25, 0.5)),
                (0.0, -0.02, 0.05, (0.6, 0.45, 0.05)), (0.02, 0.02, 0.02, (0.1, 0.3, 0.1)),
            )
        ),
        Sphere(center=(0.98, 1.0, 1.0), radius=0.17, material=_globe(noise)),
        Cylinder(x=0.98, z=1.0, radius=0.10, bottom=0.75, top=0.84, top_radius=0.02,
                 material=brass),
        Box(lo=(-1.15, 1.35, 1.46), hi=(-0.45, 1.9, 1.5), material=picture),
    ]  # fmt: skip
    return Stage(
        eye=Eye(at=(0.08, 1.28, -0.75), yaw=0.0, pitch=-0.2, view=1.25),
        solids=solids,
        lights=(
            PointLight(at=(lamp_x, 1.17, lamp_z), intensity=(3.6, 2.4, 1.25), radius=0.06,
                       samples=8, aim=(0.05, -1, -0.1), spread=(0.15, 0.62)),
            PointLight(at=(lamp_x, 1.42, lamp_z), intensity=(0.22, 0.15, 0.08), radius=0.09,
                       samples=3),
            AreaLight(corner=(-0.15, 0.95, 1.49), along=(1.65, 0, 0), across=(0, 1.35, 0),
                      facing=(0, 0, -1), radiance=(0.010, 0.016, 0.035), samples=4),
        ),
        sky=view,
        ambient=bounced((0.12, 0.08, 0.045), (0.03, 0.025, 0.025), (-2.4, -9, -9),
                        (2.4, 2.6, 1.5)),
    )  # fmt: skip


def _pile(
    noise: Noise, rng: np.random.Generator, x: float, z: float, colours: list[Vector]
) -> list[Solid]:
    out: list[Solid] = []
    level = 0.75
    for colour in colours[:5]:
        thick, dx = float(rng.uniform(0.02, 0.045)), float(rng.uniform(-0.02, 0.02))
        lo, hi = (x - 0.15 + dx, z - 0.11), (x + 0.15 + dx, z + 0.11)
        jacket = cloth(noise, colour)
        paper = plaster(noise, (0.62, 0.56, 0.44), wear=3)
        out += [
            Box(lo=(lo[0], level, lo[1]), hi=(hi[0], level + 0.004, hi[1]), material=jacket),
            Box(lo=(lo[0] + 0.006, level + 0.004, lo[1] + 0.006),
                hi=(hi[0] - 0.006, level + thick, hi[1]), material=paper),
            Box(lo=(lo[0], level + thick, lo[1]), hi=(hi[0], level + thick + 0.004, hi[1]),
                material=jacket),
        ]  # fmt: skip
        level += thick + 0.004
    return out


def _shade(noise: Noise, colour: Vector) -> Material:
    """Green glass lit from within, brighter towards its lower rim."""

    def material(hits: Hits) -> Surface:
        t = (hits.p[1] - hits.lo[1]) / (hits.hi[1] - hits.lo[1])
        tone = (1.4 - 0.9 * t) * np.exp(0.1 * noise.rough(hits.u * 3, hits.v * 3))
        tone = np.where(hits.n[1] < -0.5, 20.0, tone)
        light = np.array(colour, np.float32)[:, None] * tone
        return Surface(albedo=np.full_like(hits.p, 0.15), emission=light.astype(np.float32))

    return material


def _globe(noise: Noise) -> Material:
    def material(hits: Hits) -> Surface:
        u, v = hits.u, hits.v
        land = smoothstep(0.15, 0.25, noise.rough(u * 0.9, v * 0.9))
        sea, soil = tinted((0.06, 0.16, 0.28), 1 + 0 * u), tinted((0.40, 0.32, 0.14), 1 + v * 2)
        grid = np.minimum(np.abs(np.mod(u / 0.05, 1) - 0.5), np.abs(np.mod(v / 0.05, 1) - 0.5))
        albedo = (sea + (soil - sea) * land) * (0.75 + 0.25 * smoothstep(0.01, 0.04, grid))
        return Surface(albedo=albedo.astype(np.float32))

    return material
