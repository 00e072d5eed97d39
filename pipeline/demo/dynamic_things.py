# SPDX-License-Identifier: Apache-2.0
"""Things that move through a scene: people-like, leaf-like, vehicle-like, with soft edges.

A thing is a handful of simple parts in coordinates of its own, one unit tall, y pointing down.
A phase poses them: legs stride, leaves sway, wheels stay round. Surfaces are cut out of other
pictures, so a thing is as rich as what it passes, and they stick to the part they lie on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from pipeline.demo.noise import Array

__all__ = ["KINDS", "Thing", "ThingKind", "draw", "make_thing"]

ThingKind = Literal["person", "leaves", "vehicle"]
KINDS: tuple[ThingKind, ...] = ("person", "leaves", "vehicle")

_EXTENT = 0.75  # no part reaches further from the middle, in units
_SURFACE_PX = 160  # side of the cut-out that covers one unit
_LAMP = 40.0  # how many times brighter than its body a headlight is

Sdf = Callable[[Array, Array], Array]
"""Signed distance from a part's edge, negative inside, of points in units."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    distance: Sdf
    origin: tuple[float, float]
    turn: float
    """Of its surface, radians."""
    tint: int
    """Which of the thing's colours; -1 for a lamp."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that moves; all but its place and phase stays the same.

    Attributes:
        kind: what it is like.
        height_px: its size.
        colours: (N, 3) linear radiances of its parts.
        surface: (S, S, 3) pattern around 1 that modulates them.
        edge_px: width of its soft edge.
        facing: 1 or -1, where it looks.
        shape: numbers in 0..1 that make it differ from others of its kind.
    """

    kind: ThingKind
    height_px: float
    colours: Array
    surface: Array
    edge_px: float
    facing: float
    shape: tuple[float, ...]


def make_thing(
    rng: np.random.Generator, kind: ThingKind, *, height_px: float, light: float, cut_from: Array
) -> Thing:
    """A thing at random.

    Args:
        rng: the only source of chance.
        kind: what it is to be like.
        height_px: its size.
        light: its typical radiance.
        cut_from: a picture (H, W, 3), linear, whose parts become its surface.
    """
    side = min(_SURFACE_PX, *cut_from.shape[:2])
    top = int(rng.integers(cut_from.shape[0] - side + 1))
    left = int(rng.integers(cut_from.shape[1] - side + 1))
    cut = cut_from[top : top + side, left : left + side]
    pattern = cut / np.maximum(np.median(cut, axis=(0, 1)), 1e-6)
    hues = rng.uniform(0.35, 1.0, (4, 3)).astype(np.float32)
    if kind == "leaves":
        hues *= np.array([0.5, 1.0, 0.3], np.float32)
    shades = np.exp2(rng.uniform(-1.0, 1.0, (4, 1))).astype(np.float32)
    return Thing(
        kind=kind,
        height_px=height_px,
        colours=np.float32(light) * hues * shades,
        surface=np.asarray(np.clip(pattern, 0.25, 4.0) ** 0.6, np.float32),
        edge_px=float(rng.uniform(1.0, 3.0)),
        facing=1.0 if rng.random() < 0.5 else -1.0,
        shape=tuple(rng.random(8).tolist()),
    )


def draw(
    canvas: Array, thing: Thing, *, x: float, y: float, phase: float, turn: float = 0.0
) -> None:
    """Draw a thing over a canvas (H, W, 3), linear radiance, in place.

    Args:
        x: where its middle is, in pixels; likewise ``y``.
        phase: radians, of its stride or sway.
        turn: radians, of the whole thing.
    """
    reach = thing.height_px * _EXTENT + thing.edge_px
    rows = slice(max(0, int(y - reach)), min(canvas.shape[0], int(y + reach) + 2))
    cols = slice(max(0, int(x - reach)), min(canvas.shape[1], int(x + reach) + 2))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    dx = ((np.arange(cols.start, cols.stop, dtype=np.float32) - x) / thing.height_px)[None, :]
    dy = ((np.arange(rows.start, rows.stop, dtype=np.float32) - y) / thing.height_px)[:, None]
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u = (c * dx + s * dy) * np.float32(thing.facing)
    v = c * dy - s * dx
    for part in _PARTS[thing.kind](thing.shape, phase):
        cover = np.clip(
            0.5 - part.distance(u, v) * np.float32(thing.height_px / thing.edge_px), 0, 1
        )[..., None].astype(np.float32)
        if part.tint < 0:
            color = thing.colours[0] * np.float32(_LAMP)
        else:
            color = thing.colours[part.tint] * _surface(thing, part, u, v)
        under = canvas[rows, cols]
        under += cover * (color - under)


def _surface(thing: Thing, part: _Part, u: Array, v: Array) -> Array:
    """The cut-out where a part's points lie on it; it goes on mirrored."""
    c, s = np.float32(np.cos(part.turn)), np.float32(np.sin(part.turn))
    du, dv = u - np.float32(part.origin[0]), v - np.float32(part.origin[1])
    side = thing.surface.shape[0]
    found = cv2.remap(
        thing.surface,
        np.asarray((c * du + s * dv + 0.5) * side, np.float32),
        np.asarray((c * dv - s * du + 0.5) * side, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(found, np.float32)


def _capsule(a: tuple[float, float], b: tuple[float, float], radius: float) -> Sdf:
    ax, ay = a
    bx, by = b[0] - ax, b[1] - ay
    length = max(bx * bx + by * by, 1e-9)

    def distance(u: Array, v: Array) -> Array:
        t = np.clip(((u - ax) * bx + (v - ay) * by) / length, 0, 1)
        return np.asarray(np.hypot(u - ax - t * bx, v - ay - t * by) - radius, np.float32)

    return distance


def _box(x: float, y: float, half_width: float, half_height: float, rounding: float) -> Sdf:
    def distance(u: Array, v: Array) -> Array:
        qx, qy = np.abs(u - x) - half_width + rounding, np.abs(v - y) - half_height + rounding
        outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
        return np.asarray(outside + np.minimum(np.maximum(qx, qy), 0) - rounding, np.float32)

    return distance


def _leaf(x: float, y: float, turn: float, length: float, width: float) -> Sdf:
    """Where two circles overlap: pointed at both ends."""
    radius = (length**2 + width**2) / (4 * width)
    shift = radius - width / 2
    c, s = float(np.cos(turn)), float(np.sin(turn))

    def distance(u: Array, v: Array) -> Array:
        du, dv = u - x, v - y
        along, across = c * du + s * dv, c * dv - s * du
        one, other = np.hypot(along, across - shift), np.hypot(along, across + shift)
        return np.asarray(np.maximum(one, other) - radius, np.float32)

    return distance


def _along(a: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
    """The end of a limb that hangs down from ``a``, swung forward by an angle."""
    return a[0] + float(np.sin(angle)) * length, a[1] + float(np.cos(angle)) * length


def _person(shape: tuple[float, ...], phase: float) -> list[_Part]:
    parts: list[_Part] = []
    stride, girth = 0.35 + 0.35 * shape[0], 0.8 + 0.5 * shape[1]
    neck, hip = (0.0, -0.31), (0.0, 0.02)

    def limb(start: tuple[float, float], swing: float, bend: float, tint: int, size: float) -> None:
        joint = _along(start, swing, 0.2 * size)
        end = _along(joint, swing + bend, 0.21 * size)
        for a, b, angle, radius in (
            (start, joint, swing, 0.036 * girth),
            (joint, end, swing + bend, 0.028 * girth),
        ):
            parts.append(_Part(distance=_capsule(a, b, radius), origin=a, turn=-angle, tint=tint))

    swing = stride * float(np.sin(phase))
    limb(hip, -swing, -0.3 - 0.3 * float(np.cos(phase)), 1, 1.0)
    limb(neck, swing * 1.1, 0.5, 2, 0.85)
    parts.append(
        _Part(distance=_capsule((0.0, -0.26), hip, 0.095 * girth), origin=hip, turn=0.0, tint=0)
    )
    limb(hip, swing, -0.3 + 0.3 * float(np.cos(phase)), 1, 1.0)
    limb(neck, -swing * 1.1, 0.5, 2, 0.85)
    head = (0.015, -0.41)
    parts.append(_Part(distance=_capsule(head, head, 0.072), origin=head, turn=0.0, tint=3))
    return parts


def _leaves(shape: tuple[float, ...], phase: float) -> list[_Part]:
    parts = []
    count = 5 + int(5 * shape[0])
    sway = 0.3 * float(np.sin(phase))
    for k in range(count):
        share = (k + 0.5) / count
        root = (0.12 * sway * (1 - share), 0.5 - 0.85 * share)
        side = -1.0 if k % 2 else 1.0
        turn = side * (0.5 + 0.6 * shape[1 + k % 6]) - np.pi / 2 + sway * (1.3 - share)
        length = 0.34 * (1.1 - 0.5 * share)
        middle = (
            root[0] + float(np.cos(turn)) * length / 2,
            root[1] + float(np.sin(turn)) * length / 2,
        )
        leaf = _leaf(*middle, turn, length, length * (0.25 + 0.2 * shape[7]))
        parts.append(_Part(distance=leaf, origin=middle, turn=turn, tint=k % 4))
    return parts


def _vehicle(shape: tuple[float, ...], phase: float) -> list[_Part]:
    half = 0.42 + 0.2 * shape[0]
    body, cabin = (0.0, 0.14), (-0.06, -0.08)
    parts = [
        _Part(distance=_box(*cabin, half * 0.55, 0.16, 0.07), origin=cabin, turn=0.0, tint=1),
        _Part(distance=_box(*body, half, 0.14, 0.06), origin=body, turn=0.0, tint=0),
    ]
    for x in (-half * 0.6, half * 0.6):
        wheel = (x, 0.29)
        parts.append(
            _Part(distance=_capsule(wheel, wheel, 0.095), origin=wheel, turn=phase, tint=2)
        )
    if shape[1] < 0.5:
        lamp = (half - 0.03, 0.1)
        parts.append(_Part(distance=_capsule(lamp, lamp, 0.035), origin=lamp, turn=0.0, tint=-1))
    return parts


_PARTS: dict[ThingKind, Callable[[tuple[float, ...], float], list[_Part]]] = {
    "person": _person,
    "leaves": _leaves,
    "vehicle": _vehicle,
}
