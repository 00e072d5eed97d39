# SPDX-License-Identifier: Apache-2.0
"""A wet street at night."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, bounced
from pipeline.demo.materials import (
    bricks,
    glowing,
    matt,
    plaster,
    stone_slabs,
    tinted,
)
from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.solids import (
    Box,
    Cylinder,
    Hits,
    Material,
    Solid,
    Surface,
    Vector,
)
from pipeline.demo.stage import Eye, Haze, Stage

__all__ = ["night_street"]


def night_street(rng: np.random.Generator) -> Stage:
    """A narrow street after rain: lamps, shop windows, lit rooms, all mirrored in the paving."""
    noise = Noise(rng)

    def sky(d: Array) -> Array:
        up = np.clip(d[1], 0, 1)
        low = np.array([[0.035], [0.026], [0.03]], np.float32)
        high = np.array([[0.004], [0.006], [0.014]], np.float32)
        cloud = np.exp(0.35 * noise.smooth(d[0] * 0.5, d[2] * 0.3))
        star = (noise.hashed(np.floor(d[0] * 260), np.floor(d[1] * 260), salt=3) > 0.9985) * 0.1
        return np.asarray((low + (high - low) * up**0.5) * cloud + star, np.float32)

    stucco: tuple[Vector, ...] = (
        (0.45, 0.30, 0.18), (0.40, 0.20, 0.13), (0.42, 0.40, 0.33), (0.28, 0.30, 0.30),
        (0.45, 0.36, 0.20), (0.30, 0.22, 0.20),
    )  # fmt: skip
    solids: list[Solid] = [
        Box(lo=(-60, -1, -6), hi=(60, 0, 120), material=_cobbles(noise)),
        Box(lo=(-3.4, 0, -6), hi=(-2.5, 0.13, 60), material=stone_slabs(
            noise, (0.16, 0.15, 0.14), (0.14, 0.13, 0.12), size=0.5, gloss=1.0)),
        Box(lo=(2.5, 0, -6), hi=(3.4, 0.13, 60), material=stone_slabs(
            noise, (0.16, 0.15, 0.14), (0.14, 0.13, 0.12), size=0.5, gloss=1.0)),
    ]  # fmt: skip
    for side in (-1, 1):
        z = -5.0
        k = 0
        while z < 46:
            deep = float(rng.uniform(3.6, 6.0))
            tall = float(rng.uniform(6.5, 11.5))
            front = 3.4 + float(rng.uniform(-0.15, 0.25))
            wall = plaster(noise, stucco[int(rng.integers(len(stucco)))], wear=2.2)
            if rng.random() < 0.4:
                wall = bricks(noise, (0.26, 0.12, 0.08), variety=0.5)
            faces = sorted((side * front, side * (front + 8)))
            facade = _facade(noise, wall, z, deep, float(rng.integers(1, 90)), side)
            solids.append(Box(lo=(faces[0], 0, z), hi=(faces[1], tall, z + deep), material=facade))
            eave = sorted((side * (front - 0.3), side * (front + 8)))
            solids.append(
                Box(lo=(eave[0], tall, z), hi=(eave[1], tall + 0.22, z + deep), casts=False,
                    material=matt((0.06, 0.045, 0.04)))
            )  # fmt: skip
            z += deep
            k += 1
    end = plaster(noise, (0.40, 0.33, 0.24), wear=2)
    solids += [
        Box(lo=(-6, 0, 47), hi=(6, 9, 52), material=_facade(noise, end, -6.0, 12.0, 7.0, 0)),
        Box(lo=(-1.3, 9, 47.5), hi=(1.3, 17, 50), material=end),
        Cylinder(x=0, z=48.8, radius=1.7, bottom=17, top=22, top_radius=0.05,
                 material=matt((0.08, 0.10, 0.10))),
    ]  # fmt: skip
    lights: list[AreaLight | PointLight] = []
    iron = matt((0.02, 0.02, 0.022))
    for j, z in enumerate((2.6, 9.0, 15.5, 23.0, 32.0, 42.0)):
        x = -2.55 if j % 2 else 2.55
        warm = (1.0, 0.55, 0.2) if j != 3 else (0.9, 0.95, 1.0)
        solids += [
            Cylinder(x=x, z=z, radius=0.05, bottom=0, top=3.5, material=iron, casts=False),
            Cylinder(x=x, z=z, radius=0.11, bottom=0, top=0.7, top_radius=0.07, material=iron),
            Cylinder(
                x=x,
                z=z,
                radius=0.10,
                bottom=3.5,
                top=3.92,
                top_radius=0.17,
                casts=False,
                material=glowing((warm[0] * 320, warm[1] * 320, warm[2] * 320)),
            ),
            Cylinder(
                x=x,
                z=z,
                radius=0.21,
                bottom=3.92,
                top=4.12,
                top_radius=0.02,
                material=iron,
                casts=False,
            ),
        ]
        lights.append(
            PointLight(
                at=(x, 3.7, z),
                intensity=(warm[0] * 30, warm[1] * 30, warm[2] * 30),
                radius=0.15,
                samples=1 if j > 2 else 2,
            )
        )
    solids += _car(noise, x=1.55, z=6.2, colour=(0.22, 0.02, 0.02))
    solids += _car(noise, x=-1.6, z=13.0, colour=(0.03, 0.06, 0.13))
    return Stage(
        eye=Eye(at=(-0.35, 1.55, -2.6), yaw=0.03, pitch=0.09, view=1.3),
        solids=solids, lights=lights, sky=sky,
        ambient=bounced((0.03, 0.02, 0.014), (0.02, 0.017, 0.018), (-3.4, 0, -9), (3.4, 99, 99)),
        haze=Haze(density=0.001, glow=(1.5, 0.9, 0.5), reach=50, steps=1),
    )  # fmt: skip


def _cobbles(noise: Noise) -> Material:
    """Rounded paving stones in arcs, wet: they mirror the more the lower one looks."""

    def material(hits: Hits) -> Surface:
        v = hits.v + 0.12 * np.sin(hits.u * 2.0)
        row = np.floor(v / 0.11)
        x = hits.u / 0.13 + 0.5 * np.mod(row, 2) + 0.2 * noise.hashed(row, salt=2)
        col = np.floor(x)
        fx, fy = x - col - 0.5, v / 0.11 - row - 0.5
        dome = np.clip(1.15 - 2.4 * np.maximum(np.abs(fx), np.abs(fy)) ** 2 * 1.9, 0.1, 1)
        plain = np.clip(hits.footprint / 0.08 - 0.3, 0, 1)
        dome = dome + (0.75 - dome) * plain
        tone = dome * (0.6 + 0.7 * noise.hashed(row, col, salt=5) * (1 - plain) + 0.3 * plain)
        tone = tone * np.exp(0.2 * noise.rough(hits.u * 2, hits.v * 2, hits.footprint * 2))
        puddle = smoothstep(0.35, 0.9, noise.smooth(hits.u * 0.12, hits.v * 0.05))
        mirror = (0.25 + 1.3 * dome**3) * (1 - puddle) + 1.9 * puddle
        sheen = np.exp(0.35 * noise.rough(hits.u * 1.5, hits.v * 1.5, hits.footprint))
        return Surface(
            albedo=tinted((0.10, 0.095, 0.09), tone * (1 - 0.6 * puddle)),
            mirror=(mirror * sheen).astype(np.float32),
        )

    return material


def _facade(
    noise: Noise, wall: Material, start: float, deep: float, seed: float, side: int
) -> Material:
    """A house front with shutters, lit and dark windows, and a shop on the ground floor."""
    count = max(2, round(deep / 1.7))
    pitch = deep / count
    salt = int(seed) * 3

    def material(hits: Hits) -> Surface:
        surface = wall(hits)
        along = hits.p[2] - start if side else hits.p[0] - start
        front = np.abs(hits.n[0]) > 0.5 if side else np.abs(hits.n[2]) > 0.5
        i = np.floor(along / pitch)
        fx = (along / pitch - i - 0.5) * pitch
        floor = np.floor((hits.p[1] - 3.3) / 2.7)
        fy = (hits.p[1] - 3.3) / 2.7 - floor
        up = (fy - 0.55) * 2.7
        upper = (hits.p[1] > 3.3) & front
        pane = upper & (np.abs(fx) < 0.42) & (np.abs(up) < 0.72)
        rim = upper & (np.abs(fx) < 0.54) & (np.abs(up) < 0.84) & ~pane
        shutter = upper & (np.abs(fx) >= 0.54) & (np.abs(fx) < 0.95) & (np.abs(up) < 0.8)
        night = noise.hashed(i, floor, salt=salt)
        on = night > 0.52
        cross = (np.abs(fx) < 0.025) | (np.abs(up - 0.2) < 0.025)
        curtain = 0.5 + 0.5 * np.abs(np.sin(fx * 40)) * (np.abs(fx) > 0.2)
        lampy = np.exp(-((fx - 0.15) ** 2 + (up + 0.1) ** 2) * 5)
        warm = noise.hashed(i, floor, salt=salt + 1)
        hue = np.stack([1.0 + 0 * warm, 0.5 + 0.3 * warm, 0.14 + 0.5 * warm**2])
        level = 3.0 + 9.0 * night
        room = hue * (curtain * (0.35 + lampy) * level)
        light = room * (pane & on & ~cross)
        albedo = np.where(pane, np.float32(0.02), surface.albedo)
        albedo = np.where(rim, np.float32(0.5) * (0.8 + 0.2 * noise.rough(fx, up)), albedo)
        slats = 0.5 + 0.5 * (np.mod(up * 14, 1) > 0.35)
        paint = np.array([[0.05], [0.12], [0.09]], np.float32)
        albedo = np.where(shutter, paint * slats, albedo)
        # the shop below
        y = hits.p[1]
        low = front & (y < 2.75) & (y > 0.45) & (np.abs(fx) < pitch * 0.42)
        shop = noise.hashed(i, salt=salt + 4) > 0.45
        goods = noise.hashed(np.floor(fx * 9), np.floor(y * 6), salt=salt + 6)
        tint = np.stack(
            [noise.hashed(np.floor(fx * 9), np.floor(y * 6), salt + c) for c in (7, 8, 9)]
        )
        shelf = np.mod(y * 6, 1) > 0.16
        shine = np.where(
            goods > 0.35, (tint * 0.35 + 0.2) * (0.3 + goods), np.float32(0.35)
        ) * np.where(shelf, 1, 0.25)
        spot = 14.0 * np.exp(-((y - 2.3) ** 2) * 1.3) + 5.0
        bars = (np.abs(np.abs(fx) - pitch * 0.14) < 0.02) | (np.abs(y - 2.15) < 0.02)
        window = low & shop & ~bars
        glow = np.array([[1.0], [0.72], [0.42]], np.float32) * shine * spot
        light = light + glow * window
        door = low & ~shop
        wood = np.array([[0.10], [0.05], [0.02]], np.float32)
        panel = 0.6 + 0.4 * (np.abs(np.mod(fx * 2.2 + 0.5, 1) - 0.5) < 0.4)
        albedo = np.where(door, wood * panel, albedo)
        albedo = np.where(window, np.float32(0.02), albedo)
        sign = front & (y > 2.8) & (y < 3.15) & (np.abs(fx) < pitch * 0.45)
        ink = noise.hashed(np.floor(fx * 17), np.floor((y - 2.8) * 22), salt=salt + 11) > 0.5
        letters = sign & ink & (y > 2.88) & (y < 3.07) & (np.mod(fx * 17, 1) > 0.2)
        board = np.array([[0.04], [0.10], [0.05]], np.float32)
        albedo = np.where(sign, board, albedo)
        albedo = np.where(letters, np.array([[0.6], [0.45], [0.15]], np.float32), albedo)
        neon = letters & (noise.hashed(i, salt=salt + 12) > 0.55)
        light = light + neon * np.array([[22.0], [2.5], [3.5]], np.float32)
        return Surface(albedo=albedo.astype(np.float32), emission=light.astype(np.float32))

    return material


def _car(noise: Noise, *, x: float, z: float, colour: Vector) -> list[Solid]:
    paint = plaster(noise, colour, wear=0.2)
    dark = matt((0.012, 0.012, 0.014))

    def body(hits: Hits) -> Surface:
        surface = paint(hits)
        return Surface(albedo=surface.albedo, mirror=((hits.n[1] > 0.5) * np.float32(0.8)))

    out: list[Solid] = [
        Box(lo=(x - 0.8, 0.28, z), hi=(x + 0.8, 0.82, z + 3.9), material=body),
        Box(lo=(x - 0.72, 0.82, z + 0.75), hi=(x + 0.72, 1.05, z + 3.0), material=dark),
        Box(lo=(x - 0.66, 1.05, z + 0.95), hi=(x + 0.66, 1.36, z + 2.7), material=dark),
        Box(lo=(x - 0.64, 1.36, z + 0.98), hi=(x + 0.64, 1.42, z + 2.66), material=body),
        Box(lo=(x - 0.82, 0.3, z - 0.05), hi=(x + 0.82, 0.48, z), material=dark),
        Box(lo=(x - 0.25, 0.5, z - 0.01), hi=(x + 0.25, 0.62, z), material=matt((0.6, 0.6, 0.5))),
    ]
    for side in (-1, 1):
        a = sorted((x + side * 0.76, x + side * 0.48))
        out += [
            Box(lo=(a[0], 0.58, z - 0.02), hi=(a[1], 0.72, z), material=glowing((9, 0.35, 0.2))),
            Cylinder(x=x + side * 0.66, z=z + 0.7, radius=0.32, bottom=0, top=0.6, material=dark),
        ]
    return out
