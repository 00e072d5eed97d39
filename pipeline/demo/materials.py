# SPDX-License-Identifier: Apache-2.0
"""Wood, brick, plaster, cloth, paper: the materials of indoor scenes and streets.

Each function returns a :data:`pipeline.demo.solids.Material`. Colours are linear RGB albedo.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.solids import Hits, Material, Surface, Vector

__all__ = [
    "boards",
    "books",
    "bricks",
    "by_face",
    "cloth",
    "glowing",
    "matt",
    "plaster",
    "rug",
    "stone_slabs",
    "tinted",
    "written_page",
]


def tinted(colour: Vector, tone: Array) -> Array:
    """A colour (3, N) with its brightness scaled by ``tone`` (N,), kept a possible albedo."""
    return np.clip(np.array(colour, np.float32)[:, None] * tone, 0.004, 0.92).astype(np.float32)


def by_face(
    *, floor: Material, ceiling: Material, sides: Material, ends: Material | None = None
) -> Material:
    """One material for each kind of face: from the normal, as seen from inside a room."""

    def material(hits: Hits) -> Surface:
        albedo = np.zeros_like(hits.p)
        emission = np.zeros_like(hits.p)
        mirror = np.zeros(hits.p.shape[1], np.float32)
        up, along = hits.n[1], np.abs(hits.n[2])
        kinds = np.where(up > 0.7, 0, np.where(up < -0.7, 1, np.where(along > 0.7, 3, 2)))
        for kind, part in enumerate((floor, ceiling, sides, ends or sides)):
            chosen = np.flatnonzero(kinds == kind)
            if chosen.size:
                surface = part(hits.take(chosen))
                albedo[:, chosen] = surface.albedo
                if surface.emission is not None:
                    emission[:, chosen] = surface.emission
                if surface.mirror is not None:
                    mirror[chosen] = surface.mirror
        return Surface(albedo=albedo, emission=emission, mirror=mirror)

    return material


def plaster(noise: Noise, colour: Vector, *, wear: float = 1.0, seed: float = 0.0) -> Material:
    """A painted wall: brush marks, stains, a little grain."""

    def material(hits: Hits) -> Surface:
        u, v = hits.u + seed, hits.v
        tone = 1 + wear * (
            0.05 * noise.smooth(u * 0.13, v * 0.11)
            + 0.035 * noise.rough(u * 0.45, v * 0.4, hits.footprint * 0.45)
            + 0.03 * noise.rough(u * 3.1, v * 3.3, hits.footprint * 3.1)
        )
        return Surface(albedo=tinted(colour, tone))

    return material


def boards(
    noise: Noise,
    colour: Vector,
    *,
    width: float = 0.14,
    along: str = "v",
    gloss: float = 0.0,
    length: float = 1.9,
) -> Material:
    """Wooden boards: tones that differ, grain, joints, dark gaps. ``along`` names the axis."""

    def material(hits: Hits) -> Surface:
        across, run = (hits.u, hits.v) if along == "v" else (hits.v, hits.u)
        row = np.floor(across / width)
        offset = noise.hashed(row, salt=1) * length
        piece = np.floor((run + offset) / length)
        tone = 0.72 + 0.5 * noise.hashed(row, piece, salt=2)
        shift = noise.hashed(row, piece, salt=3) * 7
        grain = noise.rough(run * 0.11 + shift, across * 1.9, hits.footprint * 1.9)
        fine = noise.rough(run * 0.5 + shift, across * 9.0, hits.footprint * 9)
        tone = tone * np.exp(0.16 * grain + 0.10 * fine)
        inside = across / width - row
        gap = np.minimum(inside, 1 - inside) * width
        ahead = (run + offset) / length - piece
        gap = np.minimum(gap, np.minimum(ahead, 1 - ahead) * length)
        blur = hits.footprint + 0.0015
        line = smoothstep(0.002 - blur * 0.4, 0.003 + blur, gap)
        line = 1 - (1 - line) * np.clip(0.012 / (hits.footprint + 0.006), 0.25, 1)
        red = noise.hashed(row, piece, salt=5) - 0.5
        albedo = tinted(colour, tone * (0.25 + 0.75 * line))
        albedo[0] *= 1 + 0.12 * red
        albedo[2] *= 1 - 0.2 * red
        mirror = None
        if gloss:
            mirror = (gloss * (0.7 + 0.3 * np.tanh(grain)) * line).astype(np.float32)
        return Surface(albedo=np.clip(albedo, 0.003, 0.9), mirror=mirror)

    return material


def bricks(
    noise: Noise,
    colour: Vector,
    *,
    length: float = 0.24,
    height: float = 0.075,
    mortar: float = 0.01,
    mortar_colour: Vector = (0.36, 0.34, 0.31),
    variety: float = 0.5,
) -> Material:
    """Courses of bricks or ashlar in mortar, each stone with its own tone and wear."""

    def material(hits: Hits) -> Surface:
        row = np.floor(hits.v / height)
        x = hits.u / length + 0.5 * np.mod(row, 2)
        col = np.floor(x)
        fx, fy = x - col, hits.v / height - row
        wobble = 0.25 * mortar * noise.rough(hits.u * 1.7, hits.v * 1.7)
        gap = np.minimum(np.minimum(fx, 1 - fx) * length, np.minimum(fy, 1 - fy) * height)
        blur = hits.footprint * 0.7 + 0.12 * mortar
        stone = smoothstep(-0.3 * blur, blur + 0.2 * mortar, gap - 0.5 * mortar + wobble)
        plain = np.clip(hits.footprint / height * 1.4 - 0.3, 0, 1)
        tone = 1 + variety * (noise.hashed(row, col, salt=4) - 0.5) * (1 - plain)
        tone = tone * np.exp(
            0.14 * noise.rough(hits.u * 1.3, hits.v * 1.3, hits.footprint * 1.3)
            + 0.12 * noise.rough(hits.u * 7.0, hits.v * 7.3, hits.footprint * 7)
            + 0.10 * noise.smooth(hits.u * 0.07, hits.v * 0.09)
        )
        # Light from above catches the lower edge of the joints.
        tone = tone * (1 + 0.25 * (smoothstep(0.25, 0.05, fy) - smoothstep(0.75, 0.95, fy)) * stone)
        face = tinted(colour, tone)
        face[1:] *= 1 + 0.25 * variety * (noise.hashed(row, col, salt=6) - 0.5)
        joint = tinted(mortar_colour, 0.55 + 0.2 * tone)
        mix = stone * (1 - plain) + 0.85 * plain
        return Surface(albedo=np.clip(joint + (face - joint) * mix, 0.004, 0.9))

    return material


def stone_slabs(
    noise: Noise,
    light: Vector,
    dark: Vector,
    *,
    size: float = 0.6,
    gloss: float = 0.0,
    checked: bool = True,
) -> Material:
    """Floor slabs in two tones, veined like marble, with joints; ``gloss`` makes them polished."""

    def material(hits: Hits) -> Surface:
        i, j = np.floor(hits.u / size), np.floor(hits.v / size)
        fu, fv = hits.u / size - i, hits.v / size - j
        shift = noise.hashed(i, j, salt=7) * 5
        vein = noise.rough(hits.u * 0.31 + shift, hits.v * 0.37 - shift, hits.footprint * 0.3)
        lines = np.exp(-np.abs(vein) * 7)
        tone = (0.86 + 0.28 * noise.hashed(i, j, salt=8)) * np.exp(
            0.10 * noise.rough(hits.u * 2.1, hits.v * 2.3, hits.footprint * 2.1) + 0.10 * vein
        )
        odd = np.mod(i + j, 2) if checked else np.zeros_like(fu)
        a = tinted(light, tone * (1 - 0.3 * lines))
        b = tinted(dark, tone * (1 + 0.9 * lines))
        albedo = a + (b - a) * odd
        gap = np.minimum(np.minimum(fu, 1 - fu), np.minimum(fv, 1 - fv)) * size
        line = smoothstep(0.002 - hits.footprint * 0.4, 0.005 + hits.footprint, gap)
        line = 1 - (1 - line) * np.clip(0.02 / (hits.footprint + 0.01), 0.1, 1)
        mirror = None
        if gloss:
            mirror = (gloss * line * np.clip(1 + 0.12 * vein, 0.5, 1.3)).astype(np.float32)
        return Surface(albedo=albedo * (0.45 + 0.55 * line), mirror=mirror)

    return material


def cloth(noise: Noise, colour: Vector, *, scale: float = 1.0, folds: float = 0.0) -> Material:
    """Woven cloth; ``folds`` per metre makes a hanging curtain."""

    def material(hits: Hits) -> Surface:
        thread = np.clip(0.004 / (hits.footprint + 0.001), 0, 1)
        weave = np.sin(hits.u * 700 / scale) * np.sin(hits.v * 700 / scale) * thread
        tone = 1 + 0.06 * weave + 0.09 * noise.rough(hits.u * 1.9, hits.v * 1.7, hits.footprint * 2)
        tone = tone + 0.06 * noise.smooth(hits.u * 0.4, hits.v * 0.4)
        if folds:
            phase = hits.u * folds + 0.35 * noise.smooth(hits.u * 0.3, hits.v * 0.05)
            tone = tone * (0.62 + 0.38 * np.sin(phase * 6.283) * (0.7 + 0.3 * np.cos(phase * 2.2)))
        return Surface(albedo=tinted(colour, tone))

    return material


def rug(noise: Noise, colours: tuple[Vector, Vector, Vector]) -> Material:
    """A patterned carpet: borders and diamonds in three colours, worn pile."""

    def material(hits: Hits) -> Surface:
        cx, cz = (hits.lo[0] + hits.hi[0]) / 2, (hits.lo[2] + hits.hi[2]) / 2
        half_x, half_z = (hits.hi[0] - hits.lo[0]) / 2, (hits.hi[2] - hits.lo[2]) / 2
        x, z = hits.p[0] - cx, hits.p[2] - cz
        edge = np.minimum(half_x - np.abs(x), half_z - np.abs(z))
        fx, fz = np.abs(np.mod(x / 0.36, 1) - 0.5), np.abs(np.mod(z / 0.36, 1) - 0.5)
        diamond = np.mod(np.floor((fx + fz) * 6), 3)
        band = np.mod(np.floor(edge / 0.06), 2)
        kind = np.where(edge < 0.24, np.where(edge < 0.04, 0, 1 + band), diamond)
        tone = np.exp(0.2 * noise.rough(hits.u * 2.3, hits.v * 2.1, hits.footprint * 2))
        albedo = np.zeros_like(hits.p)
        for k, colour in enumerate(colours):
            albedo += tinted(colour, tone) * (kind == k)
        return Surface(albedo=albedo)

    return material


def books(noise: Noise) -> Material:
    """Spines on a shelf: widths, heights, colours, bands and title marks that differ."""

    def material(hits: Hits) -> Surface:
        x, y = hits.u / 0.045, hits.v
        x = x + 0.3 * np.sin(x * 0.9)
        col = np.floor(x)
        f = x - col
        salt = int(abs(hits.lo[1]) * 10)
        tones = np.stack([noise.hashed(col, salt=salt + c) for c in range(3)])
        base = 0.03 + 0.45 * tones**2
        tall = hits.lo[1] + (hits.hi[1] - hits.lo[1]) * (0.72 + 0.26 * noise.hashed(col, salt=9))
        edge = smoothstep(0.0, 0.12, f) * smoothstep(1.0, 0.85, f)
        part = (y - hits.lo[1]) / np.maximum(tall - hits.lo[1], 1e-3)
        band = ((part > 0.8) & (part < 0.84)) | ((part > 0.12) & (part < 0.15))
        mark = noise.hashed(np.floor(part * 60), col, salt=11) > 0.45
        title = (part > 0.3) & (part < 0.7) & (np.abs(f - 0.5) < 0.18) & mark
        gold = np.array([[0.6], [0.45], [0.18]], np.float32)
        albedo = np.where(band | title, gold, base) * (0.35 + 0.65 * edge)
        albedo *= np.exp(0.15 * noise.rough(hits.u * 3, hits.v * 3, hits.footprint * 3))
        albedo = np.where(y < tall, albedo, np.float32(0.012))
        front = np.abs(hits.n[1]) < 0.5
        return Surface(albedo=np.where(front, albedo, np.float32(0.25)).astype(np.float32))

    return material


def written_page(noise: Noise, colour: Vector = (0.78, 0.74, 0.64)) -> Material:
    """Paper with lines of text-like marks, seen from above (u, v in metres)."""

    def material(hits: Hits) -> Surface:
        pitch = 0.0085
        line = np.floor(hits.v / pitch)
        fy = hits.v / pitch - line
        glyph = np.floor(hits.u / 0.0032)
        ink = (noise.hashed(glyph, line, salt=12) > 0.3) & (noise.hashed(glyph, line, 13) > 0.12)
        word = noise.hashed(np.floor(glyph / 5.3), line, salt=14) > 0.14
        lines = (fy > 0.3) & (fy < 0.75) & ink & word
        x0, x1, z0, z1 = hits.lo[0], hits.hi[0], hits.lo[2], hits.hi[2]
        margin = 0.14 * (x1 - x0)
        inside = (hits.p[0] > x0 + margin) & (hits.p[0] < x1 - margin)
        inside &= (hits.p[2] > z0 + margin) & (hits.p[2] < z1 - margin)
        blur = np.clip(0.003 / (hits.footprint + 0.001), 0, 1)
        dark = (lines & inside & (hits.n[1] > 0.5)) * blur + 0.3 * (1 - blur) * inside
        tone = 1 + 0.04 * noise.rough(hits.u * 1.3, hits.v * 1.3)
        return Surface(albedo=tinted(colour, tone * (1 - 0.85 * dark)))

    return material


def glowing(colour: Vector, *, pattern: Callable[[Hits], Array] | None = None) -> Material:
    """A thing that gives light itself: a lamp, a shade, a lit sign."""

    def material(hits: Hits) -> Surface:
        tone = pattern(hits) if pattern is not None else np.ones_like(hits.u)
        light = np.array(colour, np.float32)[:, None] * tone
        return Surface(albedo=np.full_like(hits.p, 0.3), emission=light.astype(np.float32))

    return material


def matt(colour: Vector) -> Material:
    """One plain colour."""

    def material(hits: Hits) -> Surface:
        return Surface(albedo=np.tile(np.array(colour, np.float32)[:, None], hits.p.shape[1]))

    return material
