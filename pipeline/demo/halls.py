# SPDX-License-Identifier: Apache-2.0
"""Large halls: a church with stained glass, a museum, a stairwell, a railway tunnel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, Sun, bounced
from pipeline.demo.materials import (
    boards,
    bricks,
    by_face,
    glowing,
    matt,
    plaster,
    stone_slabs,
    tinted,
)
from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.outdoors import Window, beam, day_view, walled
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
    Vault,
)

__all__ = ["church", "museum", "stairwell", "tunnel"]


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


def tunnel(rng: np.random.Generator) -> Stage:
    """Out of an old railway tunnel: wet bricks, rails that catch the light, a bright valley."""
    noise = Noise(rng)
    wall = bricks(
        noise,
        (0.20, 0.115, 0.075),
        length=0.23,
        height=0.08,
        mortar=0.012,
        variety=0.7,
        mortar_colour=(0.17, 0.16, 0.145),
    )
    wall = _soot(noise, wall)
    view = day_view(noise, level=22.0, eye_level=-0.01, turn=float(rng.uniform(0, 6)))
    far = 16.0

    def gravel(hits: Hits) -> Surface:
        near, ids = noise.cells(hits.u * 1.1, hits.v * 1.1)
        fine, other = noise.cells(hits.u * 2.7, hits.v * 2.7)
        tone = (0.5 + 0.9 * ids) * (0.25 + 0.9 * near) * (0.7 + 0.4 * other) * (0.75 + 0.4 * fine)
        tone = tone * np.exp(0.2 * noise.smooth(hits.u * 0.3, hits.v * 0.3))
        wet = smoothstep(0.4, 1.2, noise.smooth(hits.u * 0.16, hits.v * 0.09))
        albedo = tinted((0.17, 0.155, 0.135), tone * (1 - 0.5 * wet))
        return Surface(albedo=albedo, mirror=(0.9 * wet).astype(np.float32))

    steel = plaster(noise, (0.24, 0.21, 0.19))

    def rail(hits: Hits) -> Surface:
        surface = steel(hits)
        return Surface(albedo=surface.albedo, mirror=((hits.n[1] > 0.5) * np.float32(3)))

    wood = boards(noise, (0.13, 0.09, 0.06), width=0.24, along="v", length=9)
    floor_hi = far + 8.0
    solids: list[Solid] = [
        Vault(x=0, spring=1.6, radius=2.6, end=far, material=wall),
        Box(lo=(-2.75, -0.2, -4), hi=(-2.6, 1.62, far), material=wall),
        Box(lo=(2.6, -0.2, -4), hi=(2.75, 1.62, far), material=wall),
        Box(lo=(-40, -0.5, -4), hi=(40, 0, floor_hi), material=gravel),
        Box(lo=(-2.6, 0, -4), hi=(-1.95, 0.3, far), material=wall),
        *(
            Box(lo=(x - 0.035, 0.04, -4), hi=(x + 0.035, 0.19, floor_hi), material=rail)
            for x in (-0.72, 0.72)
        ),
        *(
            Box(lo=(-1.25, -0.05, float(z)), hi=(1.25, 0.045, float(z) + 0.24), material=wood)
            for z in np.arange(-1.5, floor_hi, 0.65)
        ),
        Cylinder(x=2.45, z=6.0, radius=0.05, bottom=0, top=2.0, material=steel),
        Box(lo=(2.2, 1.2, 3.1), hi=(2.6, 1.75, 3.5), material=matt((0.3, 0.2, 0.02))),
    ]
    return Stage(
        eye=Eye(at=(-0.35, 1.45, -1.6), yaw=0.035, pitch=0.02, view=1.3),
        solids=solids,
        lights=(
            AreaLight(
                corner=(-2.5, 0.1, far), along=(5, 0, 0), across=(0, 4.0, 0), facing=(0, 0, -1),
                radiance=(15.0, 16.5, 18.5), samples=10,
            ),
            PointLight(at=(2.3, 2.6, 2.2), intensity=(0.9, 0.5, 0.2), samples=1, shadows=False),
        ),
        suns=(
            Sun(towards=(float(rng.uniform(0.3, 0.55)), 0.75, 0.9), light=(230.0, 205.0, 170.0),
                passes=_mouth(far)),
        ),
        haze=Haze(density=0.003, glow=(0.02, 0.022, 0.026), reach=20, steps=16),
        sky=view,
        ambient=bounced((0.12, 0.12, 0.13), (0.12, 0.12, 0.13), (-9, 0, -9), (9, 9, 99)),
    )  # fmt: skip


def _soot(noise: Noise, wall: Material) -> Material:
    """Bricks under soot, with streaks of lime and wet."""

    def material(hits: Hits) -> Surface:
        surface = wall(hits)
        crown = smoothstep(1.8, 4.2, hits.p[1])
        streak = smoothstep(1.0, 2.2, noise.rough(hits.p[2] * 0.22, hits.p[1] * 0.015))
        tone = (1 - 0.7 * crown) * np.exp(
            0.3 * noise.smooth(hits.p[2] * 0.08, hits.p[1] * 0.08 + hits.p[0] * 0.05)
        )
        lime = tinted((0.42, 0.41, 0.37), tone)
        albedo = surface.albedo * tone
        moss = smoothstep(0.9, 0.2, hits.p[1]) * smoothstep(
            0.0, 1.0, noise.rough(hits.p[2] * 0.3, hits.p[1] * 0.5)
        )
        green = tinted((0.06, 0.10, 0.03), tone)
        albedo = albedo + (lime - albedo) * (0.4 * streak)
        albedo = albedo + (green - albedo) * (0.8 * moss)
        return Surface(albedo=np.clip(albedo, 0.003, 0.9))

    return material


def _mouth(far: float) -> Callable[[Array, Array], Array]:
    """Sun that falls in through the mouth of the tunnel."""

    def passes(p: Array, to: Array) -> Array:
        t = (far - p[2]) / to[2, 0]
        x, y = p[0] + to[0, 0] * t, p[1] + to[1, 0] * t
        inside = (np.abs(x) < 2.6) & (np.hypot(x, np.maximum(y - 1.6, 0)) < 2.6) | (t < 0)
        return np.broadcast_to(inside.astype(np.float32), p.shape)

    return passes
