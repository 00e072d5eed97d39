# SPDX-License-Identifier: Apache-2.0
"""The motion between two frames: coarse by masked correlation, fine by Gauss-Newton.

Coarse: normalised cross-correlation of masked images over all shifts at once (D. Padfield, Masked
object registration in the Fourier domain, IEEE TIP 2012). Fine: the inverse compositional form of
Lucas-Kanade (S. Baker and I. Matthews, IJCV 2004) over scattered textured pixels with robust
weights (Geman-McClure), which let go of what moves by itself. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.align.invariant import Level, Plane
from pipeline.align.misfit import Samples, look_up
from pipeline.align.motion import Kind, Matrix, move_points, step_basis, step_matrix

__all__ = ["coarse_motions", "correlation", "refine"]

_REACH = 0.11  # of each side; a little over what is accepted
_LEAST_SAMPLES = 60


def coarse_motions(
    reference: Level, frame: Level, turns: Sequence[float]
) -> list[tuple[float, Matrix]]:
    """For each turn (radians) the best shift over all within reach: (correlation, motion)."""
    height, width = reference.shape
    reach_y, reach_x = max(2, round(_REACH * height)), max(2, round(_REACH * width))
    size = (height + reach_y + 1, width + reach_x + 1)
    window = np.ix_(np.r_[-reach_y : reach_y + 1], np.r_[-reach_x : reach_x + 1])

    def spectra(planes: Plane) -> list[NDArray[np.complex128]]:
        value, weight = planes[..., 0].astype(np.float64), planes[..., 1].astype(np.float64)
        return [np.fft.rfft2(x, size) for x in (weight, weight * value, weight * value**2)]

    def correlate(
        one: NDArray[np.complex128], other: NDArray[np.complex128]
    ) -> NDArray[np.float64]:
        return np.asarray(np.fft.irfft2(np.conj(one) * other, size)[window])

    weight_1, value_1, energy_1 = spectra(reference.planes)
    m = reference.to_pixels
    found = []
    for turn in turns:
        rotation = _rotation(turn)
        planes = frame.planes
        if turn:
            turned = frame.to_pixels @ rotation @ np.linalg.inv(frame.to_pixels)
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            planes = cast(Plane, cv2.warpPerspective(planes, turned, (width, height), flags=flags))
        weight_2, value_2, energy_2 = spectra(planes)
        overlap = correlate(weight_1, weight_2)
        scale = correlate(energy_1, weight_2) * correlate(weight_1, energy_2)
        enough = (overlap > 0.3 * overlap.max()) & (scale > 1e-6 * max(float(scale.max()), 1e-12))
        root = np.sqrt(np.where(enough, scale, 1.0))
        score = np.where(enough, correlate(value_1, value_2) / root, -1.0)
        row, col = (int(i) for i in np.unravel_index(np.argmax(score), score.shape))
        dy, dx = row - reach_y, col - reach_x
        if not turn and max(abs(dy), abs(dx)) <= 1:
            dy = dx = 0  # beside zero is zero: the fine search starts there anyway
        shift = np.array([[1.0, 0.0, dx / m[0, 0]], [0.0, 1.0, dy / m[1, 1]], [0.0, 0.0, 1.0]])
        found.append((float(score[row, col]), rotation @ shift))
    return found


def _rotation(turn: float) -> Matrix:
    c, s = math.cos(turn), math.sin(turn)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def correlation(samples: Samples, level: Level, motion: Matrix) -> float:
    """Correlation of the two frames' normalised luminance in -1..1; 0 where nothing is shared."""
    value, weight = look_up(samples, level, move_points(motion, samples.points))
    if np.count_nonzero(weight) < _LEAST_SAMPLES:
        return 0.0
    own, other = (weight * samples.value**2).sum(), (weight * value**2).sum()
    return float((weight * samples.value * value).sum() / (np.sqrt(own * other) + 1e-12))


def refine(
    samples: Samples,
    level: Level,
    start: Matrix,
    kinds: Sequence[Kind],
    *,
    steps: int = 12,
) -> Matrix | None:
    """The motion near ``start`` that fits best, ``kinds`` one after another.

    None where too few pixels are shared or the equations say nothing.
    """
    motion = start
    corners = np.array([[-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]])
    for kind in kinds:
        jacobian = np.einsum("pcn,cn->pn", step_basis(kind, samples.points), samples.slope)
        for _ in range(steps):
            value, weight = look_up(samples, level, move_points(motion, samples.points))
            if np.count_nonzero(weight) < _LEAST_SAMPLES:
                return None
            difference = value - samples.value
            spread = 1.4826 * float(np.median(np.abs(difference[weight > 0])))
            robust = weight / (1.0 + (difference / max(2.0 * spread, 0.1)) ** 2) ** 2
            weighted = jacobian * robust
            # einsum, not BLAS: the sum must not depend on the number of threads.
            normal = np.einsum("pn,qn->pq", weighted, jacobian)
            right = np.einsum("pn,n->p", weighted, difference)
            if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e7:
                return None
            step = step_matrix(kind, np.linalg.solve(normal, right))
            if abs(np.linalg.det(step)) < 0.5:
                return None
            motion = motion @ np.linalg.inv(step)
            motion = motion / motion[2, 2]
            if np.hypot(*(move_points(step, corners) - corners)).max() * samples.unit_px < 0.02:
                break
    return motion
