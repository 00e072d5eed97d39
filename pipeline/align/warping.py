# SPDX-License-Identifier: Apache-2.0
"""Resample frames by known motions and cut them to what all of them show.

Separate from the estimation so that a stored alignment can be redone to the same bytes, without
looking at the pictures again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from pipeline.align.motion import Transform, is_identity, to_matrix
from pipeline.bracket import Pixels

__all__ = ["Crop", "apply", "common_crop"]

Crop = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of the reference."""


def common_crop(transforms: Sequence[Transform], height: int, width: int) -> Crop:
    """The largest upright rectangle of the reference that every frame covers.

    A pixel is covered where its centre falls between the outermost pixel centres of the frame.
    Largest up to the choice of which side gives way at a slanted edge: always the one that costs
    less. The height or width is 0 where the frames have no rectangle in common.
    """
    edges: list[tuple[float, float, float]] = []  # a x + b y + c >= 0
    for transform in transforms:
        if is_identity(transform):
            continue
        m = to_matrix(transform)
        bounds = (m[0], (width - 1) * m[2] - m[0], m[1], (height - 1) * m[2] - m[1])
        edges += [(float(a), float(b), float(c)) for a, b, c in bounds]
    left, top, right, bottom = 0.0, 0.0, width - 1.0, height - 1.0
    # Rounding must not cost a row: a thousandth of a pixel is nothing to invent.
    slack = 1e-3
    for _ in range(8 * len(edges)):
        lacking, edge = 0.0, None
        for a, b, c in edges:
            # The corner of the rectangle that lies deepest beyond this edge.
            x, y = (left if a > 0 else right), (top if b > 0 else bottom)
            lack = -(a * x + b * y + c) / math.hypot(a, b) - slack
            if lack > lacking:
                lacking, edge = lack, (a, b, c)
        if edge is None:
            break
        a, b, c = edge
        x, y = (left if a > 0 else right), (top if b > 0 else bottom)
        missing = -(a * x + b * y + c)
        cost_x = missing / abs(a) * (bottom - top) if a else math.inf
        cost_y = missing / abs(b) * (right - left) if b else math.inf
        if cost_x <= cost_y:
            left, right = (left + missing / a, right) if a > 0 else (left, right + missing / a)
        else:
            top, bottom = (top + missing / b, bottom) if b > 0 else (top, bottom + missing / b)
        if right < left or bottom < top:
            return (0, 0, 0, 0)
    first_row, first_col = math.ceil(top - slack), math.ceil(left - slack)
    rows = math.floor(bottom + slack) - first_row + 1
    cols = math.floor(right + slack) - first_col + 1
    return (first_row, first_col, max(rows, 0), max(cols, 0))


def apply(
    frames: Sequence[Pixels], transforms: Sequence[Transform], crop: Crop
) -> tuple[Pixels, ...]:
    """Resample frames onto the reference and cut them; deterministic, for any thread count.

    Lanczos over 8 x 8 pixels in the frame's own depth, saturating. A frame whose transform is the
    identity is cut, not resampled; with the whole frame as crop it is returned itself.

    Args:
        frames: K arrays (H, W, 3), uint8 or uint16.
        transforms: K matrices, reference pixels to frame pixels.
        crop: (top, left, height, width) in the reference.

    Raises:
        ValueError: the counts differ, or the crop leaves the frames.
    """
    if len(frames) != len(transforms):
        raise ValueError(f"{len(frames)} frames, but {len(transforms)} transforms")
    top, left, height, width = crop
    for frame in frames:
        inside = top >= 0 and left >= 0 and height > 0 and width > 0
        if not inside or top + height > frame.shape[0] or left + width > frame.shape[1]:
            raise ValueError(f"crop {crop} leaves a frame of {frame.shape[0]} x {frame.shape[1]}")
    return tuple(_one(f, t, crop) for f, t in zip(frames, transforms, strict=True))


def _one(frame: Pixels, transform: Transform, crop: Crop) -> Pixels:
    top, left, height, width = crop
    if is_identity(transform):
        if (top, left, height, width) == (0, 0, *frame.shape[:2]):
            return frame
        cut: Pixels = frame[top : top + height, left : left + width].copy()
        return cut
    offset = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    moved = cv2.warpPerspective(
        np.ascontiguousarray(frame),
        to_matrix(transform) @ offset,
        (width, height),
        flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return cast(Pixels, moved)
