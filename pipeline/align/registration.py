# SPDX-License-Identifier: Apache-2.0
"""Align the frames of a handheld bracket; leave everything else untouched.

Frames are measured against one reference. One that shares too few tones with it, or cannot be
told, goes by way of its neighbours in exposure. Whatever is not certain stays where it was, and a
note says so: a failed alignment is never worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.align.invariant import Plane, tones_of
from pipeline.align.motion import (
    IDENTITY,
    KINDS,
    Kind,
    Matrix,
    Transform,
    as_transform,
    displacement_px,
    is_identity,
    level_matrix,
    reject_reason,
    to_matrix,
)
from pipeline.align.pairing import Pair, View, median_shift_px, register, views_of, worsens
from pipeline.align.warping import Crop, apply, common_crop
from pipeline.bracket import Pixels
from pipeline.errors import PhotoError

__all__ = ["Alignment", "align"]

_LONG_SIDE = 1024
_SMALLEST_SIDE = 64
_LARGEST_SIDE = 32_766  # what OpenCV resamples
_LEAST_AREA = 0.80
_SNAP_PX = 0.1
_NEIGHBOURS = 2  # tried for a frame that cannot be told directly


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Aligned frames and how they came about.

    Attributes:
        frames: K arrays of one size and of the depth that came in; the very same objects where
            nothing had to move.
        crop: (top, left, height, width) of the area common to all, in pixels of the reference.
        transforms: K 3x3 row-major matrices, reference pixels (before the crop) to frame pixels.
        method: the richest kind of motion in use; ``none`` where nothing moved.
        moved: K flags.
        reference: index of the frame that the others were laid upon.
        shift_px: the largest displacement found: of moved frames in the corners or the centre, of
            the others the median over their blocks. None where none could be measured.
        residual_px: what is left: per frame the median over blocks, of the frames the largest.
            None where none could be measured; a note says so.
        notes: sentences for the report: what was left as it was, and why.
    """

    frames: tuple[Pixels, ...]
    crop: Crop
    transforms: tuple[Transform, ...]
    method: Kind
    moved: tuple[bool, ...]
    reference: int
    shift_px: float | None
    residual_px: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one frame lies: its motion (normalised), and whether that is known at all."""

    known: bool
    motion: Matrix
    kind: Kind = "none"
    reason: str = ""


def align(
    frames: Sequence[Pixels],
    *,
    mode: Literal["auto", "off"] = "auto",
    reference: int | None = None,
) -> Alignment:
    """Register the frames of one bracket.

    The same frames give the same bytes; their order does not matter but for the choice between
    equally good references.

    Args:
        frames: K arrays (H, W, 3) of one size, all uint8 or all uint16, display-referred.
        mode: ``off`` returns the frames untouched and measures nothing.
        reference: index of the frame that stays; None takes the one that shares most with others.

    Raises:
        PhotoError: ``frames-differ-in-size``.
        ValueError: no frames, or a reference that is not among them.
    """
    if not frames:
        raise ValueError("nothing to align: no frames")
    if reference is not None and not 0 <= reference < len(frames):
        raise ValueError(f"reference {reference} is not one of {len(frames)} frames")
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) > 1:
        raise PhotoError(
            "frames-differ-in-size",
            f"The frames have sizes {sorted(sizes)}; give frames of one camera setting.",
        )
    height, width = frames[0].shape[:2]
    unable = _unable(mode, len(frames), height, width)
    if unable is not None:
        return _untouched(frames, reference or 0, (unable,) if unable else ())
    tones = [tones_of(frame, _LONG_SIDE) for frame in frames]
    order = sorted(range(len(frames)), key=lambda k: float(tones[k].mean()))
    base = _best_reference(tones, order) if reference is None else reference
    pairs = _Pairs(tones, (height, width))
    places = _places(pairs, order, base)
    notes = [
        f"frame {k + 1}: left as it is, {p.reason}" for k, p in enumerate(places) if not p.known
    ]
    transforms, dropped = _settle(places, height, width)
    notes += [f"frame {k + 1}: left as it is, too little would be common to all" for k in dropped]
    crop = common_crop(transforms, height, width)
    moved = tuple(not is_identity(t) for t in transforms)
    kinds = [p.kind for p, m in zip(places, moved, strict=True) if m]
    shift, residual, unmeasured = _measure(pairs, places, transforms, base)
    notes += [
        f"frame {k + 1}: how well it lies cannot be measured" for k in unmeasured if places[k].known
    ]
    return Alignment(
        frames=apply(frames, transforms, crop),
        crop=crop,
        transforms=transforms,
        method=max(kinds, key=KINDS.index, default="none"),
        moved=moved,
        reference=base,
        shift_px=shift,
        residual_px=residual,
        notes=tuple(notes),
    )


def _unable(mode: str, count: int, height: int, width: int) -> str | None:
    """Why not even to try; "" where that needs no word, None where it can be tried."""
    if mode == "off" or count == 1:
        return ""
    if min(height, width) < _SMALLEST_SIDE:
        return f"not aligned: frames below {_SMALLEST_SIDE} px show too little"
    if max(height, width) > _LARGEST_SIDE:
        return f"not aligned: frames above {_LARGEST_SIDE} px cannot be resampled"
    return None


def _untouched(frames: Sequence[Pixels], reference: int, notes: tuple[str, ...]) -> Alignment:
    height, width = frames[0].shape[:2]
    return Alignment(
        frames=tuple(frames),
        crop=(0, 0, height, width),
        transforms=(IDENTITY,) * len(frames),
        method="none",
        moved=(False,) * len(frames),
        reference=reference,
        shift_px=None,
        residual_px=None,
        notes=notes,
    )


def _best_reference(tones: Sequence[Plane], order: Sequence[int]) -> int:
    """The frame that resolves most of what the others resolve; the middle exposure if equal."""
    step = max(1, max(tones[0].shape) // 128)
    small = np.stack([t[::step, ::step].ravel() for t in tones])
    clear = ((small > 0.04) & (small < 0.94)).astype(np.float64)
    shared = np.einsum("in,jn->i", clear, clear) / small.shape[1]
    middle = (len(order) - 1) / 2.0
    rank = {k: abs(i - middle) for i, k in enumerate(order)}
    return max(order, key=lambda k: (round(float(shared[k]), 2), -rank[k]))


class _Pairs:
    """Views and findings of pairs of frames, each made once and when first asked for."""

    def __init__(self, tones: Sequence[Plane], size: tuple[int, int]) -> None:
        self._tones, self.size = tones, size
        self._found: dict[tuple[int, int], Pair] = {}
        self._views: dict[tuple[int, int], tuple[View, View] | None] = {}

    def views(self, one: int, other: int) -> tuple[View, View] | None:
        if (one, other) not in self._views:
            self._views[one, other] = views_of(self._tones[one], self._tones[other], self.size)
        return self._views[one, other]

    def found(self, one: int, other: int) -> Pair:
        if (one, other) not in self._found:
            views = self.views(one, other)
            self._found[one, other] = (
                Pair(state="unsure", reason="hardly a tone that both frames resolve")
                if views is None
                else register(*views)
            )
        return self._found[one, other]


def _places(pairs: _Pairs, order: Sequence[int], base: int) -> list[_Place]:
    """Where each frame lies against the base, from near exposures to far ones."""
    places = {base: _Place(known=True, motion=np.eye(3))}
    at = order.index(base)
    for side in (order[at + 1 :], order[:at][::-1]):
        for position, k in enumerate(side):
            direct = pairs.found(base, k)
            if direct.state != "unsure":
                places[k] = _Place(known=True, motion=direct.motion, kind=direct.kind)
                continue
            places[k] = _Place(known=False, motion=np.eye(3), reason=direct.reason)
            near = [j for j in reversed(side[:position]) if places[j].known][:_NEIGHBOURS]
            for j in near:
                by_way = _by_way_of(pairs, base, j, places[j], k)
                if by_way is not None:
                    places[k] = by_way
                    break
    return [places[k] for k in range(len(order))]


def _by_way_of(pairs: _Pairs, base: int, j: int, place: _Place, k: int) -> _Place | None:
    """Where frame k lies if frame j is known to lie at ``place``; None if that tells nothing."""
    link = pairs.found(j, k)
    if link.state == "unsure":
        return None
    motion = link.motion @ place.motion
    kind = max(link.kind, place.kind, key=KINDS.index)
    if kind != "none":
        views = pairs.views(base, k)
        height, width = pairs.size
        if reject_reason(motion, height, width) or (views and worsens(*views, motion)):
            return None
    return _Place(known=True, motion=motion, kind=kind)


def _settle(
    places: Sequence[_Place], height: int, width: int
) -> tuple[tuple[Transform, ...], tuple[int, ...]]:
    """Transforms in pixels, and the frames left out so that enough stays common to all."""
    pixels = level_matrix(height, width, height, width)
    transforms: list[Transform] = []
    for place in places:
        if place.kind == "none":
            transforms.append(IDENTITY)
            continue
        matrix = pixels @ place.motion @ np.linalg.inv(pixels)
        if place.kind == "translation":
            whole = np.round(matrix[:2, 2])
            if np.abs(matrix[:2, 2] - whole).max() < _SNAP_PX:
                matrix[:2, 2] = whole  # costs no sharpness at all
        transforms.append(as_transform(matrix))
    dropped: list[int] = []
    while True:
        _, _, rows, cols = common_crop(transforms, height, width)
        if rows * cols >= _LEAST_AREA * height * width:
            return tuple(transforms), tuple(sorted(dropped))
        far = [displacement_px(to_matrix(t), height, width) for t in transforms]
        worst = int(np.argmax(far))
        transforms[worst] = IDENTITY
        dropped.append(worst)


def _measure(
    pairs: _Pairs, places: Sequence[_Place], transforms: Sequence[Transform], base: int
) -> tuple[float | None, float | None, tuple[int, ...]]:
    """Largest shift before, largest residual after, and the frames that could not be measured."""
    height, width = pairs.size
    pixels = level_matrix(height, width, height, width)
    before: list[float] = []
    after: list[float] = []
    unmeasured = []
    for k, transform in enumerate(transforms):
        if k == base:
            continue
        views = pairs.views(base, k)
        motion = np.linalg.inv(pixels) @ to_matrix(transform) @ pixels
        left = median_shift_px(*views, motion) if views else None
        if left is None:
            unmeasured.append(k)
        else:
            after.append(left)
        if places[k].kind != "none":
            matrix = pixels @ places[k].motion @ np.linalg.inv(pixels)
            before.append(displacement_px(matrix, height, width))
        elif left is not None:
            before.append(left)
    return max(before, default=None), max(after, default=None), tuple(unmeasured)
