# SPDX-License-Identifier: Apache-2.0
"""A railway tunnel, seen from inside towards the light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.demo.lights import AreaLight, PointLight, Sun, bounced
from pipeline.demo.materials import (
    boards,
    bricks,
    matt,
    plaster,
    tinted,
)
from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.outdoors import day_view
from pipeline.demo.solids import (
    Box,
    Cylinder,
    Hits,
    Material,
    Solid,
    Surface,
    Vault,
)
from pipeline.demo.stage import Eye, Haze, Stage

__all__ = ["tunnel"]


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
