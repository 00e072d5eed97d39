# SPDX-License-Identifier: Apache-2.0
"""Plane motions: how they are parametrised, how large they are and which of them a hand can do.

A motion is a 3x3 matrix that takes coordinates of the reference to coordinates of a frame. The
estimation works in *normalised* coordinates (origin in the centre of the picture, one unit is half
the long side), so a motion means the same on every level of a pyramid and its parameters are of
one magnitude; everything public is in pixels, whose centres lie at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "IDENTITY",
    "KINDS",
    "Kind",
    "Matrix",
    "Transform",
    "as_transform",
    "displacement_px",
    "is_identity",
    "level_matrix",
    "move_points",
    "project",
    "reject_reason",
    "step_basis",
    "step_matrix",
    "to_matrix",
]

Matrix = NDArray[np.float64]
Transform = tuple[float, float, float, float, float, float, float, float, float]
"""A 3x3 matrix in row-major order, reference pixels to frame pixels."""

Kind = Literal["none", "translation", "euclidean", "affine", "homography"]
KINDS: tuple[Kind, ...] = ("none", "translation", "euclidean", "affine", "homography")
"""From poor to rich."""

IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

_MAX_SHIFT = 0.10  # of each side, in the centre
_MAX_ROTATION = math.radians(5.0)
_MAX_SCALE = 0.05  # also bounds what an affine motion may stretch one axis against the other
_MAX_PERSPECTIVE = 0.03  # of the half long side, departure of a corner from the affine part


def to_matrix(transform: Sequence[float]) -> Matrix:
    """The (3, 3) float64 array of a row-major tuple."""
    return np.asarray(transform, np.float64).reshape(3, 3)


def as_transform(matrix: Matrix) -> Transform:
    """The tuple of a matrix, scaled so that its last element is 1.

    Rounded to 12 decimals: far below any pixel, it keeps stored transforms free of last-bit noise.
    """
    flat = [round(float(v), 12) for v in (matrix / matrix[2, 2]).ravel()]
    return (flat[0], flat[1], flat[2], flat[3], flat[4], flat[5], flat[6], flat[7], 1.0)


def is_identity(transform: Sequence[float]) -> bool:
    """Whether nothing moves at all."""
    return tuple(transform) == IDENTITY


def level_matrix(height: int, width: int, full_height: int, full_width: int) -> Matrix:
    """(3, 3): normalised coordinates to the pixels of a level, which may be reduced.

    Area reduction keeps the outer edges of the picture, not the pixel centres, in place.
    """
    unit = max(full_height, full_width) / 2.0
    return np.array(
        [
            [unit * width / full_width, 0.0, width / 2.0 - 0.5],
            [0.0, unit * height / full_height, height / 2.0 - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )


def move_points(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a motion to points (2, N); returns (2, N)."""
    x, y = points
    m = matrix
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return np.stack(
        [
            (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth,
            (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth,
        ]
    )


def displacement_px(matrix: Matrix, height: int, width: int) -> float:
    """How far the motion (in pixels) carries the corners or the centre at most, in pixels."""
    right, bottom = width - 1.0, height - 1.0
    points = np.array([[0, right, 0, right, right / 2], [0, 0, bottom, bottom, bottom / 2]])
    return float(np.hypot(*(move_points(matrix, points) - points)).max())


def step_basis(kind: Kind, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """d(x', y') / d(parameters) at the identity, for points (2, N); returns (P, 2, N)."""
    x, y = points
    one, zero = np.ones_like(x), np.zeros_like(x)
    columns = [(one, zero), (zero, one)]
    if kind == "euclidean":
        columns.append((-y, x))
    elif kind in ("affine", "homography"):
        columns += [(x, zero), (y, zero), (zero, x), (zero, y)]
    if kind == "homography":
        columns += [(-x * x, -x * y), (-x * y, -y * y)]
    return np.stack([np.stack(c) for c in columns])


def step_matrix(kind: Kind, parameters: NDArray[np.float64]) -> Matrix:
    """The (3, 3) motion of a step, parameters as in :func:`step_basis`."""
    p = [float(v) for v in parameters]
    if kind == "translation":
        return np.array([[1.0, 0.0, p[0]], [0.0, 1.0, p[1]], [0.0, 0.0, 1.0]])
    if kind == "euclidean":
        c, s = math.cos(p[2]), math.sin(p[2])
        return np.array([[c, -s, p[0]], [s, c, p[1]], [0.0, 0.0, 1.0]])
    g, h = (p[6], p[7]) if kind == "homography" else (0.0, 0.0)
    return np.array([[1.0 + p[2], p[3], p[0]], [p[4], 1.0 + p[5], p[1]], [g, h, 1.0]])


def project(motion: Matrix, kind: Kind) -> Matrix:
    """The motion of a kind that does nearly the same in the centre, where to begin a search."""
    if kind == "homography":
        return motion
    centre = move_points(motion, np.zeros((2, 1)))[:, 0]
    linear = _linear(motion, centre)
    if kind == "translation":
        linear = np.eye(2)
    elif kind == "euclidean":
        angle = math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
        c, s = math.cos(angle), math.sin(angle)
        linear = np.array([[c, -s], [s, c]])
    return np.block([[linear, centre[:, None]], [np.zeros((1, 2)), np.ones((1, 1))]])


def _linear(motion: Matrix, centre: NDArray[np.float64]) -> Matrix:
    """(2, 2): the derivative of a motion at the origin, which it takes to ``centre``."""
    m = motion / motion[2, 2]
    return np.asarray(m[:2, :2] - np.outer(centre, m[2, :2]))


def reject_reason(matrix: Matrix, height: int, width: int) -> str | None:
    """Why a motion (normalised) is none that a hand between two shots makes; None if it may be.

    Limits: a shift below 10 % of each side, a turn below 5 degrees, a change of scale or a stretch
    within 5 %, and corners that perspective bends by less than 3 % of the half long side.
    """
    half = np.array([width, height]) / max(height, width)
    centre = move_points(matrix, np.zeros((2, 1)))[:, 0]
    linear = _linear(matrix, centre)
    stretch = np.linalg.svd(linear, compute_uv=False)
    angle = math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
    corners = np.array([[-1, 1, -1, 1], [-1, -1, 1, 1]]) * half[:, None]
    bend = move_points(matrix, corners) - (linear @ corners + centre[:, None])
    if bool((np.abs(centre) > 2.0 * _MAX_SHIFT * half).any()):
        return "the shift would pass 10 % of the side"
    if np.linalg.det(linear) <= 0 or abs(angle) > _MAX_ROTATION:
        return "the turn would pass 5 degrees"
    if float(np.abs(stretch - 1.0).max()) > _MAX_SCALE:
        return "the scale would change by more than 5 %"
    if float(np.hypot(*bend).max()) > _MAX_PERSPECTIVE:
        return "the perspective would change too much"
    return None
