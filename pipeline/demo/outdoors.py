# SPDX-License-Identifier: Apache-2.0
"""What is seen through windows and gates: sky, clouds, hills, trees, a lawn; and the windows.

A view is a function of direction alone, so it is infinitely far away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.noise import Array, Noise, smoothstep
from pipeline.demo.solids import Hits, Material, Surface, Vector

__all__ = ["Window", "beam", "day_view", "night_view", "walled"]

View = Callable[[Array], Array]


def _colour(v: Vector) -> Array:
    return np.array(v, np.float32)[:, None]


def _mix(a: Array, b: Array, share: Array) -> Array:
    return np.asarray(a + (b - a) * share, np.float32)


def day_view(
    noise: Noise,
    *,
    zenith: Vector = (0.28, 0.5, 1.0),
    horizon: Vector = (0.95, 1.0, 1.1),
    green: Vector = (0.10, 0.17, 0.045),
    level: float = 40.0,
    eye_level: float = 0.0,
    turn: float = 0.0,
) -> View:
    """A summer landscape: cumulus over hills, trees with leaves, a mown lawn.

    Args:
        level: radiance of the sky near the horizon.
        eye_level: shifts the horizon, in units of the tangent of elevation.
        turn: which part of the landscape is in view.
    """

    def view(d: Array) -> Array:
        flat = np.maximum(np.hypot(d[0], d[2]), 1e-4)
        e = d[1] / flat - eye_level
        az = np.arctan2(d[0], d[2]) + turn
        sky = _mix(_colour(horizon), _colour(zenith), np.clip(e * 1.4, 0, 1) ** 0.7)
        drop = 1.0 / np.maximum(e + 0.12, 0.02)
        puff = noise.smooth(az * 0.16 + 0.1, drop * 0.035) * 0.7 + 0.45 * noise.rough(
            az * 0.3, e * 0.8
        )
        cover = smoothstep(0.1, 0.9, puff)
        shade = np.clip(0.75 + 0.3 * noise.smooth(az * 0.16 + 0.12, drop * 0.035 + 0.02), 0.5, 1.3)
        sky = _mix(sky, _colour((1.5, 1.45, 1.4)) * shade, 0.85 * cover)

        far = 0.05 + 0.025 * noise.smooth(az * 0.25, az * 0 + 0.3)
        mist = _colour((0.35, 0.45, 0.55)) * (1 + 0.1 * noise.rough(az * 0.8, e * 3))
        out = _mix(sky, mist, smoothstep(0.004, -0.004, e - far))
        crown = 0.02 + 0.05 * noise.smooth(az * 0.6 + 0.5, az * 0 + 0.7)
        crown = crown + 0.02 * noise.rough(az * 1.7, e * 0.2) + 0.012 * noise.rough(az * 5, e * 5)
        leaf = noise.rough(az * 1.5, e * 1.6)
        fine = noise.rough(az * 5.5, e * 6)
        lit = np.exp(0.55 * leaf + 0.35 * fine + 5.0 * np.clip(e - crown + 0.06, -0.1, 0.06))
        out = _mix(out, _colour(green) * 1.6 * lit, smoothstep(0.003, -0.003, e - crown))
        near = 1.0 / np.maximum(-e, 0.015)
        grass = noise.rough(az * near * 0.12, near * 0.12)
        mow = 0.85 + 0.15 * np.sin(near * 1.1 + az * near * 0.6)
        lawn = _colour((0.17, 0.27, 0.06)) * mow * np.exp(0.25 * grass)
        out = _mix(out, lawn, smoothstep(-0.02, -0.035, e + 0.008 * leaf))
        path = smoothstep(0.9, 0.6, np.abs((az - turn) * near * 0.6 - 0.4 * np.sin(near * 0.25)))
        out = _mix(out, _colour((0.55, 0.5, 0.42)) * np.exp(0.15 * grass), path * (e < -0.045))
        return np.asarray(out * np.float32(level), np.float32)

    return view


def night_view(noise: Noise, *, level: float = 1.0) -> View:
    """A town at night far below: a blue sky, dark roofs, out-of-focus lights."""

    def view(d: Array) -> Array:
        flat = np.maximum(np.hypot(d[0], d[2]), 1e-4)
        e = d[1] / flat
        az = np.arctan2(d[0], d[2])
        sky = _mix(_colour((0.10, 0.07, 0.07)), _colour((0.010, 0.02, 0.06)), np.clip(e * 2, 0, 1))
        sky = sky * np.exp(0.25 * noise.smooth(az * 0.2, e * 0.5))
        roofs = 0.03 + 0.12 * noise.hashed(np.floor(az * 14), salt=21) * noise.hashed(
            np.floor(az * 5), salt=22
        )
        town = _colour((0.008, 0.008, 0.012)) * np.ones_like(e)
        out = _mix(sky, town, smoothstep(0.003, -0.003, e - roofs))
        for size, salt in ((0.035, 31), (0.055, 37), (0.09, 41)):
            i, j = np.floor(az / size), np.floor(e / size)
            x = az / size - i - 0.3 - 0.4 * noise.hashed(i, j, salt=salt)
            y = e / size - j - 0.3 - 0.4 * noise.hashed(i, j, salt=salt + 1)
            r = np.hypot(x, y)
            on = (noise.hashed(i, j, salt=salt + 2) > 0.55) & (e < 0.1)
            disc = smoothstep(0.25, 0.2, r) * (0.6 + 0.6 * r / 0.25) * on
            warm = noise.hashed(i, j, salt=salt + 3)
            hue = np.stack([0.9 + 0 * warm, 0.35 + 0.5 * warm, 0.08 + 0.8 * warm**3])
            out = out + hue * disc * (0.3 + 3.0 * noise.hashed(i, j, salt=salt + 4) ** 3)
        return np.asarray(out * np.float32(level), np.float32)

    return view


@dataclass(frozen=True, kw_only=True)
class Window:
    """An opening in a wall of a room.

    ``axis`` 0 for a wall at ``x = at``, 2 for one at ``z = at``, 1 for a skylight at ``y = at``;
    ``a`` and ``b`` are its extent along the other two axes (z or x first, height or z second).
    ``glass(a, b)`` gives the colour (3, N) of the panes, ``bars`` the number of panes.
    """

    axis: int
    at: float
    a: tuple[float, float]
    b: tuple[float, float]
    bars: tuple[int, int] = (2, 3)
    bar_width: float = 0.04
    arched: bool = False
    glass: Callable[[Array, Array], Array] | None = None

    def coordinates(self, p: Array) -> tuple[Array, Array]:
        """Places (N,) along the wall."""
        if self.axis == 0:
            return p[2], p[1]
        if self.axis == 1:
            return p[0], p[2]
        return p[0], p[1]

    def inside(self, a: Array, b: Array, blur: Array | float = 0.004) -> Array:
        """1 in the opening, 0 outside, soft over ``blur`` metres."""
        out = np.minimum(a - self.a[0], self.a[1] - a)
        if self.arched:
            half = (self.a[1] - self.a[0]) / 2
            spring = self.b[1] - half * 1.6
            # A pointed arch: two circles whose centres lie on the springing line.
            reach = 1.6 * half * (1.6 / 2 + 1 / 3.2)
            middle = (self.a[0] + self.a[1]) / 2
            x = np.abs(a - middle) + (reach - half)
            arch = reach - np.hypot(x, np.maximum(b - spring, 0))
            out = np.minimum(out, arch)
        else:
            out = np.minimum(out, self.b[1] - b)
        out = np.minimum(out, b - self.b[0])
        return smoothstep(-np.asarray(blur, np.float32) - 1e-4, 1e-4, out)

    def clear(self, a: Array, b: Array, blur: Array | float = 0.004) -> Array:
        """1 on the panes, 0 on bars and outside."""
        share = self.inside(a, b, blur)
        for x, (low, high), count in ((a, self.a, self.bars[0]), (b, self.b, self.bars[1])):
            if count > 1:
                pitch = (high - low) / count
                f = np.abs(np.mod((x - low) / pitch + 0.5, 1) - 0.5) * pitch
                outer = (x - low < pitch / 2) | (high - x < pitch / 2)
                bar = smoothstep(self.bar_width / 2, self.bar_width / 2 + 0.004 + blur, f)
                share = share * np.where(outer & (f * 0 + 1 > 0), np.maximum(bar, 0), bar)
        return np.asarray(share, np.float32)


def walled(windows: Sequence[Window], wall: Material, view: View, bar: Vector) -> Material:
    """A wall with windows in it: ``view`` shows through the panes, bars have the colour ``bar``."""

    def material(hits: Hits) -> Surface:
        surface = wall(hits)
        albedo = surface.albedo.copy()
        light = np.zeros_like(albedo) if surface.emission is None else surface.emission.copy()
        for window in windows:
            on = np.abs(hits.p[window.axis] - window.at) < 0.02
            if not on.any():
                continue
            a, b = window.coordinates(hits.p)
            blur = hits.footprint
            inside = window.inside(a, b, blur) * on
            some = np.flatnonzero(inside > 0)
            if not some.size:
                continue
            clear = window.clear(a[some], b[some], blur[some])
            seen = view(hits.d[:, some])
            if window.glass is not None:
                seen = seen * window.glass(a[some], b[some])
            part = inside[some]
            albedo[:, some] *= 1 - part
            albedo[:, some] += _colour(bar) * (part - clear * part)
            light[:, some] = light[:, some] * (1 - part) + seen * clear * part
        return Surface(albedo=albedo, emission=light, mirror=surface.mirror)

    return material


def beam(windows: Sequence[Window]) -> Callable[[Array, Array], Array]:
    """The share (3, N) of sunlight that reaches places ``p`` through the windows."""

    def passes(p: Array, to: Array) -> Array:
        total = np.zeros_like(p)
        for window in windows:
            slope = float(to[window.axis, 0])
            if abs(slope) < 1e-4:
                continue
            t = (window.at - p[window.axis]) / slope
            q = p + to * t
            a, b = window.coordinates(q)
            clear = window.clear(a, b, 0.012) * (t > 0)
            some = np.flatnonzero(clear > 0)
            if some.size:
                colour = np.ones((3, some.size), np.float32)
                if window.glass is not None:
                    colour = window.glass(a[some], b[some])
                total[:, some] += colour * clear[some]
        return total

    return passes
