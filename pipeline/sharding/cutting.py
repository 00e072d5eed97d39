# SPDX-License-Identifier: Apache-2.0
"""Which frames and which squares of a bracket become patches. Arrays in, patches out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from model.hdr_network import middle
from pipeline.bracket import Pixels
from pipeline.choosing import dark_to_bright, grey, under_over
from pipeline.patches import Patch
from pipeline.sharding.settings import PairRule, ShardSettings

__all__ = [
    "Cut",
    "Followed",
    "choose_frames",
    "cut_patches",
    "places",
    "reduce_area",
    "reduced_size",
]

Picture = TypeVar("Picture", bound=NDArray[Any])


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The patches of a bracket, and how many places were dull."""

    patches: tuple[Patch, ...]
    dull: int


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The chosen frames laid on one of them: K arrays (H, W, 3), and masks (K, H, W) uint8."""

    frames: tuple[Pixels, ...]
    masks: NDArray[np.uint8]


def reduce_area(pixels: Picture, max_side_px: int | None) -> Picture:
    """A picture (H, W, 3) of any type, its long side at most ``max_side_px``, area-averaged."""
    height, width = pixels.shape[:2]
    size = reduced_size(height, width, max_side_px)
    if size == (height, width):
        return pixels
    reduced: Any = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return cast(Picture, reduced)


def reduced_size(height: int, width: int, max_side_px: int | None) -> tuple[int, int]:
    """Height and width after :func:`reduce_area`."""
    scale = 1.0 if max_side_px is None else min(1.0, max_side_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def choose_frames(frames: Sequence[Pixels], rule: PairRule) -> tuple[int, ...]:
    """Indices of the frames of a patch, dark to bright by mean luma.

    ``all`` keeps all of them, ``extreme`` the darkest and the brightest, ``under-over`` the second
    darkest and the second brightest, as SICE is commonly used; where that would leave fewer than
    two, the outermost.
    """
    order = dark_to_bright(frames)
    if rule == "all":
        return order
    return under_over(order) if rule == "under-over" else (order[0], order[-1])


def places(
    height: int, width: int, size: int, overlap: float, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Top left corners of all squares of a grid, shuffled; the grid itself lies at random.

    Neighbours have at most the share ``overlap`` of their side in common. Empty where the picture
    is smaller than a square.
    """
    if min(height, width) < size:
        return []
    step = max(1, round(size * (1 - overlap)))
    rows, cols = 1 + (height - size) // step, 1 + (width - size) // step
    top = int(rng.integers(height - size - (rows - 1) * step + 1))
    left = int(rng.integers(width - size - (cols - 1) * step + 1))
    order = rng.permutation(rows * cols)
    return [(top + int(n) // cols * step, left + int(n) % cols * step) for n in order]


def cut_patches(
    frames: Sequence[Pixels],
    settings: ShardSettings,
    *,
    bracket_id: str,
    scene: str,
    times_s: Sequence[float] | None = None,
    evs: Sequence[float] | None = None,
    label: Pixels | NDArray[np.float32] | None = None,
    followed: Followed | None = None,
) -> Cut:
    """Cut a bracket.

    The choice is seeded by the bracket's id, so it is the same whenever and wherever it is made.

    Args:
        frames: K aligned frames (H, W, 3) of one size, all uint8 or all uint16.
        settings: see :class:`ShardSettings`; ``align`` and ``max_side_px`` are the caller's.
        bracket_id: 16 hex digits.
        scene: what the patches remember as theirs.
        times_s: K exposure times.
        evs: K exposures in stops.
        label: reference picture of the same size, display-referred, or linear float32 in the scale
            of the middle one of all frames; patches have it in the scale of their own middle frame,
            or not at all where the times that tell it are unknown.
        followed: the chosen frames (:func:`choose_frames`), in their order, laid on each other.

    Returns:
        no patches where the frames are smaller than one; else at least one.
    """
    chosen = choose_frames(frames, settings.pair)
    label = _rescaled(label, len(frames), chosen, times_s)
    size = settings.patch_px
    rng = np.random.default_rng([settings.seed, int(bracket_id, 16)])
    height, width = frames[0].shape[:2]
    kept: list[tuple[tuple[int, int], float]] = []
    liveliest: tuple[tuple[int, int], float] | None = None
    dull = 0
    for place in places(height, width, size, settings.overlap, rng):
        if len(kept) == settings.patches_per_bracket:
            break
        contrast = _contrast([_square(frames[k], place, size) for k in chosen])
        if contrast >= settings.min_contrast:
            kept.append((place, contrast))
            continue
        dull += 1
        if liveliest is None or contrast > liveliest[1]:
            liveliest = place, contrast
    if not kept and liveliest is not None:
        kept.append(liveliest)
        dull -= 1
    patches = tuple(
        Patch(
            bracket_id=bracket_id,
            scene=scene,
            index=index,
            top=place[0],
            left=place[1],
            frames=np.stack([_planes(_square(frames[k], place, size)) for k in chosen]),
            times_s=None if times_s is None else tuple(times_s[k] for k in chosen),
            evs=None if evs is None else tuple(evs[k] for k in chosen),
            label=None if label is None else _planes(_square(label, place, size)),
            **_followed(followed, place, size),
            contrast=contrast,
        )
        for index, (place, contrast) in enumerate(kept)
    )
    return Cut(patches=patches, dull=dull)


def _rescaled(
    label: Pixels | NDArray[np.float32] | None,
    count: int,
    chosen: Sequence[int],
    times_s: Sequence[float] | None,
) -> Pixels | NDArray[np.float32] | None:
    """A linear label, from the scale of the middle frame to that of the middle chosen one."""
    whole, own = middle(count), chosen[middle(len(chosen))]
    if label is None or label.dtype != np.float32 or own == whole:
        return label
    if times_s is None:
        return None
    return label * np.float32(times_s[own] / times_s[whole])


def _followed(followed: Followed | None, place: tuple[int, int], size: int) -> dict[str, Any]:
    """The columns ``aligned`` and ``mask`` of a patch."""
    if followed is None:
        return {}
    squares = [_planes(_square(frame, place, size)) for frame in followed.frames]
    masks = [_square(mask, place, size) for mask in followed.masks]
    return {"aligned": np.stack(squares), "mask": np.stack(masks)}


def _square(pixels: Any, place: tuple[int, int], size: int) -> Any:
    top, left = place
    return pixels[top : top + size, left : left + size]


def _planes(pixels: Any) -> Any:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _contrast(frames: Sequence[Pixels]) -> float:
    """Standard deviation of the luma, 0..1, of the frame whose mean is nearest to a half."""
    peak = float(np.iinfo(frames[0].dtype).max)
    planes = [grey(np.ascontiguousarray(frame)) for frame in frames]
    best = min(planes, key=lambda plane: abs(float(plane.mean(dtype=np.float64)) / peak - 0.5))
    return float(best.std(dtype=np.float64)) / peak
