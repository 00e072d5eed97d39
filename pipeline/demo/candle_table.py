# SPDX-License-Identifier: Apache-2.0
"""A laid table by candlelight."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import PointLight, bounced
from pipeline.demo.materials import (
    boards,
    books,
    by_face,
    cloth,
    glowing,
    matt,
    plaster,
)
from pipeline.demo.noise import Noise
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
)
from pipeline.demo.stage import Eye, Stage

__all__ = ["candle_table"]


def candle_table(rng: np.random.Generator) -> Stage:
    """Bread, fruit, wine and candles on a wooden table, the room behind in the dark."""
    noise = Noise(rng)
    picture = painting(noise, rng.uniform(1, 9))
    wood = boards(noise, (0.24, 0.13, 0.065), width=0.17, along="v", gloss=0.45, length=5)
    wall = plaster(noise, (0.30, 0.20, 0.13), wear=3)
    wax = plaster(noise, (0.70, 0.62, 0.45), wear=0.5)
    pewter = plaster(noise, (0.30, 0.30, 0.31), wear=2)
    solids: list[Solid] = [
        Room(lo=(-2.2, -0.2, -2.0), hi=(2.2, 2.5, 2.1),
             material=by_face(floor=wood, ceiling=wall, sides=wall)),
        Box(lo=(-1.3, 0.69, -0.3), hi=(1.3, 0.75, 1.2), material=wood),
        Box(lo=(-0.40, 0.75, 0.04), hi=(0.42, 0.756, 0.50),
            material=cloth(noise, (0.42, 0.40, 0.34), scale=1.5)),
        Box(lo=(-1.25, 1.3, 2.05), hi=(-0.2, 2.0, 2.1), material=picture),
        Box(lo=(0.35, 1.1, 1.75), hi=(1.7, 1.14, 2.1), material=wood),
        Box(lo=(0.45, 1.14, 1.85), hi=(1.1, 1.43, 2.08), material=books(noise)),
        Cylinder(x=1.35, z=1.92, radius=0.11, bottom=1.14, top=1.45, top_radius=0.06,
                 material=plaster(noise, (0.10, 0.18, 0.28), wear=2)),
    ]  # fmt: skip
    lights: list[PointLight] = []
    for x, z, tall in ((-0.48, 0.62, 0.27), (-0.27, 0.82, 0.37), (0.52, 0.78, 0.22)):
        tall += float(rng.uniform(-0.03, 0.03))
        top = 0.79 + tall
        solids += [
            Cylinder(x=x, z=z, radius=0.085, bottom=0.75, top=0.765, material=pewter),
            Cylinder(x=x, z=z, radius=0.035, bottom=0.765, top=0.80, material=pewter),
            Cylinder(x=x, z=z, radius=0.023, bottom=0.80, top=top, material=_wax(wax, top)),
            Cylinder(x=x, z=z, radius=0.0025, bottom=top, top=top + 0.014, casts=False,
                     material=matt((0.01, 0.01, 0.01))),
            Cylinder(x=x, z=z, radius=0.0105, bottom=top + 0.008, top=top + 0.027, casts=False,
                     top_radius=0.0125, material=glowing((90, 43, 13))),
            Cylinder(x=x, z=z, radius=0.0125, bottom=top + 0.027, top=top + 0.072, casts=False,
                     top_radius=0.0008, material=glowing((200, 112, 38))),
        ]  # fmt: skip
        lights.append(
            PointLight(at=(x, top + 0.05, z), intensity=(0.62, 0.33, 0.115), radius=0.03,
                       samples=5)
        )  # fmt: skip
    apple = plaster(noise, (0.42, 0.05, 0.025), wear=4)
    lime = plaster(noise, (0.24, 0.27, 0.04), wear=3)
    solids += [
        Cylinder(x=0.08, z=0.72, radius=0.08, bottom=0.75, top=0.82, top_radius=0.17,
                 material=plaster(noise, (0.16, 0.22, 0.30), wear=2)),
        *(
            Sphere(center=(0.08 + dx, 0.845 + dy, 0.72 + dz), radius=0.047, material=m)
            for dx, dy, dz, m in (
                (-0.08, 0, -0.02, apple), (0.03, 0, -0.075, lime), (0.085, 0, 0.03, apple),
                (-0.02, 0, 0.075, apple), (0.005, 0.055, 0.0, lime),
            )
        ),
        # a loaf on a board, its slices
        Box(lo=(-0.36, 0.756, 0.20), hi=(0.06, 0.776, 0.42), material=wood),
        *(
            Sphere(center=(-0.27 + 0.045 * k, 0.822, 0.31), radius=0.062 - 0.004 * abs(k - 2),
                   material=plaster(noise, (0.32, 0.16, 0.05), wear=4))
            for k in range(5)
        ),
        Cylinder(x=0.0, z=0.28, radius=0.05, bottom=0.776, top=0.79,
                 material=plaster(noise, (0.62, 0.50, 0.30), wear=3)),
        # plate, goblet, bottle
        Cylinder(x=0.27, z=0.30, radius=0.10, bottom=0.756, top=0.768, top_radius=0.135,
                 material=pewter),
        Sphere(center=(0.24, 0.80, 0.29), radius=0.035, material=lime),
        Sphere(center=(0.315, 0.797, 0.33), radius=0.03, material=apple),
        Cylinder(x=0.62, z=0.42, radius=0.045, bottom=0.75, top=0.757, material=pewter),
        Cylinder(x=0.62, z=0.42, radius=0.010, bottom=0.757, top=0.85, material=pewter),
        Cylinder(x=0.62, z=0.42, radius=0.022, bottom=0.85, top=0.955, top_radius=0.052,
                 material=pewter),
        Cylinder(x=-0.72, z=0.66, radius=0.052, bottom=0.75, top=0.96, material=_glass(noise)),
        Cylinder(x=-0.72, z=0.66, radius=0.052, bottom=0.96, top=1.03, top_radius=0.017,
                 material=_glass(noise)),
        Cylinder(x=-0.72, z=0.66, radius=0.017, bottom=1.03, top=1.11, material=_glass(noise)),
        Cylinder(x=0.82, z=0.62, radius=0.06, bottom=0.75, top=0.93, top_radius=0.045,
                 material=plaster(noise, (0.40, 0.28, 0.16), wear=3)),
    ]  # fmt: skip
    return Stage(
        eye=Eye(at=(0.05, 1.16, -0.62), yaw=0.0, pitch=-0.16, view=1.15),
        solids=solids, lights=lights,
        sky=lambda d: np.zeros_like(d),
        ambient=bounced((0.07, 0.04, 0.022), (0.03, 0.02, 0.013), (-2.2, -9, -9),
                        (2.2, 2.5, 2.1)),
    )  # fmt: skip


def _wax(wax: Material, top: float) -> Material:
    """A candle glows through below its flame."""

    def material(hits: Hits) -> Surface:
        surface = wax(hits)
        glow = np.exp((hits.p[1] - top) / 0.045) * 5.0
        drip = np.exp(0.3 * np.sin(hits.u * 300) * np.sin(hits.v * 40))
        light = np.array([[1.0], [0.52], [0.16]], np.float32) * (glow * drip)
        return Surface(albedo=surface.albedo, emission=light.astype(np.float32))

    return material


def _glass(noise: Noise) -> Material:
    """A dark green bottle with a highlight down its side and a label."""

    def material(hits: Hits) -> Surface:
        shine = np.exp(-(((hits.n[0] - 0.55) / 0.10) ** 2)) * np.clip(-hits.n[2], 0, 1)
        light = np.array([[1.0], [0.75], [0.4]], np.float32) * (0.9 * shine)
        label = (hits.p[1] > 0.81) & (hits.p[1] < 0.91) & (hits.n[0] > -0.9)
        ink = noise.hashed(np.floor(hits.u * 200), np.floor(hits.v * 120), salt=4) > 0.62
        albedo = np.where(label, np.where(ink, np.float32(0.12), 0.5), np.float32(0.015))
        tint = np.where(label, np.float32(1.0), np.array([[0.6], [1.0], [0.5]], np.float32))
        return Surface(
            albedo=(albedo * tint).astype(np.float32), emission=(light * ~label).astype(np.float32)
        )

    return material
