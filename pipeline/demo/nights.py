# SPDX-License-Identifier: Apache-2.0
"""By lamp and candle: a wet street at night, a desk, a laid table."""

from __future__ import annotations

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, bounced
from pipeline.demo.materials import (
    boards,
    books,
    bricks,
    by_face,
    cloth,
    glowing,
    matt,
    plaster,
    stone_slabs,
    tinted,
    written_page,
)
from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.outdoors import Window, night_view, walled
from pipeline.demo.paintings import painting
from pipeline.demo.raycast import Eye, Haze, Stage
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

__all__ = ["candle_table", "desk", "night_street"]


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
