# SPDX-License-Identifier: Apache-2.0
"""Which solid a ray meets first, and whether one stands in the way of light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.demo.noise import Array
from pipeline.demo.solids import Solid

__all__ = ["Casters", "first_hits"]


def first_hits(
    solids: Sequence[Solid],
    o: Array,
    d: Array,
    candidates: Sequence[NDArray[np.intp] | None] | None = None,
) -> tuple[Array, NDArray[np.int16]]:
    """Distance (N,) to the nearest solid along each ray and its index, -1 where there is none.

    ``candidates`` names for each solid the rays that can meet it (None: all).
    """
    count = d.shape[1]
    inverse = _inverse(d)
    best = np.full(count, np.inf, np.float32)
    index = np.full(count, -1, np.int16)
    for k, solid in enumerate(solids):
        chosen = candidates[k] if candidates is not None else None
        if chosen is None:
            t = solid.distance(o, d, inverse)
            closer = t < best
            best[closer] = t[closer]
            index[closer] = k
        elif chosen.size:
            start = o if o.shape[1] == 1 else o[:, chosen]
            t = solid.distance(start, d[:, chosen], inverse[:, chosen])
            closer = t < best[chosen]
            best[chosen[closer]] = t[closer]
            index[chosen[closer]] = k
    return best, index


class Casters:
    """The solids that cast shadows, with their bounds, so that far ones need not be tested."""

    def __init__(self, solids: Sequence[Solid]) -> None:
        self._solids = [solid for solid in solids if solid.casts]
        self._lo = np.array([s.lo for s in self._solids], np.float32).reshape(-1, 3)
        self._hi = np.array([s.hi for s in self._solids], np.float32).reshape(-1, 3)

    def blocked(self, o: Array, d: Array, reach: Array) -> NDArray[np.bool_]:
        """Whether something stands within ``reach`` (N,) metres along each ray (3, N)."""
        ends = o + d * np.minimum(reach, np.float32(60.0))
        lo = np.minimum(o.min(1), ends.min(1))
        hi = np.maximum(o.max(1), ends.max(1))
        inverse = _inverse(d)
        dark = np.zeros(d.shape[1], np.bool_)
        for k in np.flatnonzero(((self._lo <= hi) & (self._hi >= lo)).all(1)):
            dark |= self._solids[k].distance(o, d, inverse) < reach
        return dark


def _inverse(d: Array) -> Array:
    return np.float32(1.0) / np.where(np.abs(d) < 1e-7, np.float32(1e-7), d)
