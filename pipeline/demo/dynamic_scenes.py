# SPDX-License-Identifier: Apache-2.0
"""Brackets of scenes in which something moves, with the exact radiance at the reference's moment.

Two kinds of motion: in a ``drift`` the camera moves on between frames and near plants pass by
faster than what is behind them; before ``objects`` it is merely held by hand, while people,
vehicles and leaves of a scene go their own ways. A frame is what its moment shows, seen by a
moving camera, exposed, with noise, clipped, and encoded with a gamma of 2.2 as the HDR data sets
are. The truth is the reference's moment without any of this, in units of the darkest frame's white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.radiance import GAMMA
from pipeline.demo.backdrops import Backdrops, RenderedBackdrops
from pipeline.demo.camera import STILL, Camera, Motion, expose, hand_motion
from pipeline.demo.dynamic_plan import FIRST_SEED, DynamicPlan, MotionKind
from pipeline.demo.dynamic_things import KINDS, Thing, ThingKind, draw, make_thing
from pipeline.demo.noise import Array

__all__ = ["DynamicScene", "make_scene", "rendered_for"]

_VARIANTS = 2
_ROOM = 1.25  # how much larger than a view a backdrop is
_VIEWS = (0.7, 1.25)  # backdrop pixels for one pixel of a view
_WHITE_SHARE = (0.03, 0.25)  # of the reference's pixels
_TINT = (0.85, 1.18)
_LIGHT_EV = (-2.0, 3.0)  # of things, against the middle of what they pass
_FULL_WELL, _READ_NOISE = (8_000.0, 60_000.0), (2.0, 12.0)  # electrons
_DARK = 1e-9


@dataclass(frozen=True, kw_only=True)
class _GammaCamera(Camera):
    """A camera whose response is a pure power, as Kalantari's data have it."""

    def respond(self, signal: Array) -> Array:
        return np.asarray(signal, np.float32) ** np.float32(1 / GAMMA)

    def invert(self, display: Array) -> Array:
        return np.asarray(display, np.float32) ** np.float32(GAMMA)


@dataclass(frozen=True, kw_only=True)
class DynamicScene:
    """One bracket with its truth.

    Attributes:
        frames: K arrays (H, W, 3) uint16, encoded with a gamma of 2.2, dark to bright.
        evs: K exposures in stops; the darkest frame's is 0, so its white is a radiance of 1.
        radiance: (H, W, 3) float32 in 0..1, linear: the reference's moment, as it was. What is
            brighter than the darkest frame's white is clipped to 1.
        kind: of its motion.
        motion_px: how far things move from frame to frame.
        backdrop: number of the picture behind.
        things: what moves before it, from back to front.
    """

    frames: tuple[NDArray[np.uint16], ...]
    evs: tuple[float, ...]
    radiance: Array
    kind: MotionKind
    motion_px: float
    backdrop: int
    things: tuple[ThingKind, ...]


@dataclass(frozen=True, kw_only=True)
class _Moving:
    """A thing, where it is at the reference's moment, and what it does in one frame's time."""

    thing: Thing
    x: float
    y: float
    dx: float
    dy: float
    phase: float
    dphase: float
    turn: float
    dturn: float

    def draw(self, canvas: Array, moment: float) -> None:
        draw(
            canvas,
            self.thing,
            x=self.x + moment * self.dx,
            y=self.y + moment * self.dy,
            phase=self.phase + moment * self.dphase,
            turn=self.turn + moment * self.dturn,
        )


def rendered_for(plan: DynamicPlan) -> RenderedBackdrops:
    """The demo's scenes at the size that a plan needs; other splits have others."""
    margin = 2 * plan.margin_px
    rows = math.ceil(_ROOM * max(plan.height + margin, (plan.width + margin) / 1.5))
    return RenderedBackdrops(rows=rows, first_seed=FIRST_SEED[plan.split], variants=_VARIANTS)


def make_scene(plan: DynamicPlan, index: int, backdrops: Backdrops) -> DynamicScene:
    """The scene of that number, whichever others are made.

    Args:
        plan: what the scenes are like.
        index: from 0.
        backdrops: at least one picture; surfaces of things are cut out of them as well.
    """
    rng = np.random.default_rng([plan.seed, FIRST_SEED[plan.split], index])
    kind = plan.kinds[index % len(plan.kinds)]
    # Kinds take turns, so that each meets all backdrops.
    number = (index // len(plan.kinds)) % backdrops.count
    margin = plan.margin_px
    view = _view(backdrops.picture(number), plan.height + 2 * margin, plan.width + 2 * margin, rng)
    slow, fast = plan.motion_px
    motion = slow * (fast / slow) ** float(rng.uniform())
    other = backdrops.picture((number + int(rng.integers(backdrops.count))) % backdrops.count)
    heading = float(rng.uniform(0, 2 * np.pi))
    drift = (motion * np.cos(heading), motion * np.sin(heading)) if kind == "drift" else (0.0, 0.0)
    moving = _things(plan, kind, rng, view=view, motion=motion, drift=drift, cut_from=other)
    step = float(rng.choice(plan.steps_ev))
    evs = tuple(k * step for k in range(plan.frames))
    direction = 1.0 if rng.random() < 0.5 else -1.0
    moments = [direction * (k - plan.reference) for k in range(plan.frames)]
    truth = _moment(view, moving, 0.0)
    inner = slice(margin, margin + plan.height), slice(margin, margin + plan.width)
    seen = truth[inner]
    share = 1 - float(rng.uniform(*_WHITE_SHARE))
    white = max(float(np.quantile(seen.max(2)[::2, ::2], share)), _DARK)
    unit = np.float32(1 / (white * 2.0 ** evs[plan.reference]))
    low, high = _FULL_WELL
    camera = _GammaCamera(
        make="Bracketflow",
        model="Dynamic",
        serial="0",
        sensitivity=1.0,
        full_well=low * (high / low) ** float(rng.uniform()),
        read_noise=float(rng.uniform(*_READ_NOISE)),
        bits=16,
    )
    frames = []
    for k, (ev, moment) in enumerate(zip(evs, moments, strict=True)):
        still = k == plan.reference
        pixels = expose(
            (truth if still else _moment(view, moving, moment)) * unit,
            exposure_time_s=2.0**ev,
            f_number=1.0,
            iso=100.0,
            camera=camera,
            rng=rng,
            motion=STILL if still else _camera_motion(plan, rng, kind, drift, moment),
            size=(plan.height, plan.width),
        )
        frames.append(pixels.astype(np.uint16, copy=False))
    return DynamicScene(
        frames=tuple(frames),
        evs=evs,
        radiance=np.minimum(seen * unit, np.float32(1)),
        kind=kind,
        motion_px=motion,
        backdrop=number,
        things=tuple(one.thing.kind for one in moving),
    )


def _view(picture: Array, height: int, width: int, rng: np.random.Generator) -> Array:
    """Part of a picture at that size, mirrored or not, in a light of some colour."""
    most = min(picture.shape[0] / height, picture.shape[1] / width)
    scale = min(float(rng.uniform(*_VIEWS)), most)
    rows = min(max(1, round(height * scale)), picture.shape[0])
    cols = min(max(1, round(width * scale)), picture.shape[1])
    top = int(rng.integers(picture.shape[0] - rows + 1))
    left = int(rng.integers(picture.shape[1] - cols + 1))
    cut = np.ascontiguousarray(picture[top : top + rows, left : left + cols])
    smaller = rows > height
    seen = cv2.resize(
        cut, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    if rng.random() < 0.5:
        seen = seen[:, ::-1]
    return np.ascontiguousarray(seen * rng.uniform(*_TINT, 3), np.float32)


def _things(
    plan: DynamicPlan,
    kind: MotionKind,
    rng: np.random.Generator,
    *,
    view: Array,
    motion: float,
    drift: tuple[float, float],
    cut_from: Array,
) -> list[_Moving]:
    """What moves, from back to front."""
    margin = plan.margin_px
    middle_light = float(np.median(view[::4, ::4].mean(2)))
    side = min(plan.height, plan.width)
    count = int(rng.integers(0, 3)) if kind == "drift" else int(rng.integers(1, 5))
    moving = []
    for _ in range(count):
        what: ThingKind = "leaves" if kind == "drift" else KINDS[int(rng.integers(len(KINDS)))]
        thing = make_thing(
            rng,
            what,
            height_px=side * float(rng.uniform(0.25, 0.7)),
            light=max(middle_light, _DARK) * 2.0 ** float(rng.uniform(*_LIGHT_EV)),
            cut_from=cut_from,
        )
        if kind == "drift":
            # What is near passes faster than what the camera's own motion already moves.
            nearer = float(rng.uniform(0.2, 0.9))
            dx, dy = -nearer * drift[0], -nearer * drift[1]
        elif what == "leaves":
            dx, dy = (float(part) for part in rng.normal(0, 0.3 * motion, 2))
        else:
            # Who walks or drives keeps to the ground, more or less.
            speed = motion * float(rng.uniform(0.6, 1.0))
            slope = float(rng.normal(0, 0.12))
            dx, dy = thing.facing * speed * math.cos(slope), speed * math.sin(slope)
        turns = what == "leaves"
        moving.append(
            _Moving(
                thing=thing,
                x=margin + plan.width * float(rng.uniform(0.1, 0.9)),
                y=margin + plan.height * float(rng.uniform(0.25, 0.85)),
                dx=dx,
                dy=dy,
                phase=float(rng.uniform(0, 2 * np.pi)),
                dphase=float(rng.uniform(0.5, 1.8)) if kind == "objects" else 0.0,
                turn=float(rng.uniform(-0.9, 0.9)) if turns else float(rng.normal(0, 0.04)),
                dturn=float(rng.normal(0, 0.06)) if turns and kind == "objects" else 0.0,
            )
        )
    return sorted(moving, key=lambda one: one.y + one.thing.height_px / 2)


def _moment(view: Array, moving: Sequence[_Moving], moment: float) -> Array:
    canvas = view.copy()
    for one in moving:
        one.draw(canvas, moment)
    return canvas


def _camera_motion(
    plan: DynamicPlan,
    rng: np.random.Generator,
    kind: MotionKind,
    drift: tuple[float, float],
    moment: float,
) -> Motion:
    """The hand's small tremble, and in a drift the way that the camera has gone meanwhile."""
    tremble = hand_motion(rng, strength=plan.shake * (0.5 if kind == "drift" else 1.0))
    diagonal = math.hypot(plan.height, plan.width)
    first, second, third = tremble.matrix
    return Motion(
        matrix=(
            (first[0], first[1], first[2] + moment * drift[0] / diagonal),
            (second[0], second[1], second[2] + moment * drift[1] / diagonal),
            third,
        )
    )
