# SPDX-License-Identifier: Apache-2.0
"""A small ray caster for rooms and streets: real perspective, soft shadows, reflections, haze.

Light from lamps and windows changes slowly, so it is computed on a coarse grid and carried to
the pixels across which place and normal agree (joint bilateral up-sampling: Kopf et al. 2007,
DOI 10.1145/1276377.1276497). Sun beams, textures and edges are computed for each pixel, and
pixels with a strong edge are rendered again with four rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.lights import irradiance
from pipeline.demo.noise import Array
from pipeline.demo.solids import Hits, Surface
from pipeline.demo.stage import Haze, Stage
from pipeline.demo.tracing import Casters, first_hits

__all__ = ["render_stage"]

_GRID = 320  # cells of the light grid along the diagonal
_TILE = 40  # rows and columns of the grid worked on at a time: rays that stay close together
_BAND = 1 << 16  # rays worked on at a time: arrays stay in the processor's cache


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Irradiance on the coarse grid: rows of 9 numbers (light, place, normal), and its sizes."""

    rows: Array
    height: int
    width: int
    haze: Array | None
    casters: Casters


def render_stage(stage: Stage, height: int, width: int) -> Array:
    """The picture (height, width, 3), linear radiance, float32."""
    casters = Casters(stage.solids)
    grid = _light_grid(stage, casters, height, width)
    out = np.empty((height * width, 3), np.float32)
    bounds = _bounds(stage, height, width)
    for start in range(0, height * width, _BAND):
        pixels = np.arange(start, min(start + _BAND, height * width))
        x = (pixels % width + 0.5).astype(np.float32)
        y = (pixels // width + 0.5).astype(np.float32)
        # Interpolated light can undershoot zero by a hair.
        out[pixels] = np.maximum(_shade(stage, grid, bounds, x, y, height, width).T, 0)
    image = out.reshape(height, width, 3)
    _soften_edges(stage, grid, bounds, image)
    if grid.haze is not None:
        smooth = cv2.resize(grid.haze, (width, height), interpolation=cv2.INTER_CUBIC)
        image += np.maximum(smooth, 0)
    return image


def _soften_edges(stage: Stage, grid: _Grid, bounds: Array, image: Array) -> None:
    height, width = image.shape[:2]
    tone = np.log2(image.mean(2) + 1e-5)
    rise = np.zeros_like(tone)
    for axis in (0, 1):
        step = np.abs(np.diff(tone, axis=axis))
        low = [slice(None), slice(None)]
        high = list(low)
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        for side in (tuple(low), tuple(high)):
            rise[side] = np.maximum(rise[side], step)
    limit = max(0.35, float(np.quantile(rise, 0.91)))
    edges = np.flatnonzero(rise > limit)
    for start in range(0, edges.size, _BAND // 4):
        pixels = edges[start : start + _BAND // 4]
        total = np.zeros((pixels.size, 3), np.float32)
        for dx, dy in ((0.125, 0.375), (0.375, 0.875), (0.625, 0.125), (0.875, 0.625)):
            x = (pixels % width + dx).astype(np.float32)
            y = (pixels // width + dy).astype(np.float32)
            total += _shade(stage, grid, bounds, x, y, height, width).T
        image.reshape(-1, 3)[pixels] = total / 4


def _bounds(stage: Stage, height: int, width: int, level: float | None = None) -> Array:
    """Pixel rectangles (x0, x1, y0, y1) that the solids can be seen in.

    With ``level``: that their reflections in a floor of that height can be seen in.
    """
    out = np.tile(np.array([-np.inf, np.inf, -np.inf, np.inf], np.float32), (len(stage.solids), 1))
    for k, solid in enumerate(stage.solids):
        ends = np.array([solid.lo, solid.hi], np.float32)
        corners = np.stack(np.meshgrid(*ends.T, indexing="ij")).reshape(3, 8)
        if level is not None:
            corners[1] = 2 * level - corners[1]
        x, y, depth = stage.eye.project(corners, height, width)
        if depth.min() > 0.05:
            out[k] = x.min() - 1, x.max() + 1, y.min() - 1, y.max() + 1
        elif depth.max() < 0:
            out[k] = np.inf, -np.inf, np.inf, -np.inf
    return out


def _hits(
    stage: Stage,
    o: Array,
    d: Array,
    candidates: Sequence[NDArray[np.intp] | None] | None,
) -> tuple[Array, NDArray[np.int16], Array, Array]:
    """Distance, solid, place and normal of the nearest hits."""
    t, index = first_hits(stage.solids, o, d, candidates)
    p = o + d * np.minimum(t, np.float32(1e4))
    n = np.zeros_like(p)
    for k in np.unique(index):
        if k >= 0:
            chosen = np.flatnonzero(index == k)
            n[:, chosen] = stage.solids[k].normal(p[:, chosen])
    return t, index, p, n


def _shade(
    stage: Stage,
    grid: _Grid,
    bounds: Array,
    x: Array,
    y: Array,
    height: int,
    width: int,
) -> Array:
    """Radiance (3, N) of rays through pixel places."""
    d = stage.eye.rays(x, y, height, width)
    o = np.array(stage.eye.at, np.float32)[:, None]
    candidates = [_within(x, y, bound) for bound in bounds]
    scale = stage.eye.scale(height, width)
    t, index, p, n = _hits(stage, o, d, candidates)
    light = _carry(grid, x * (grid.width / width) - 0.5, y * (grid.height / height) - 0.5, p, n, t)
    for sun in stage.suns:
        light += sun.irradiance(grid.casters, p, n) / np.float32(np.pi)
    place = (x, y, (height, width))
    return _surfaces(stage, d, t, index, p, n, light, scale, place)


def _within(x: Array, y: Array, bound: Array) -> NDArray[np.intp] | None:
    if bound[0] == -np.inf:
        return None
    return np.flatnonzero((x >= bound[0]) & (x <= bound[1]) & (y >= bound[2]) & (y <= bound[3]))


def _surfaces(
    stage: Stage,
    d: Array,
    t: Array,
    index: NDArray[np.int16],
    p: Array,
    n: Array,
    light: Array,
    scale: float,
    place: tuple[Array, Array, tuple[int, int]] | None,
) -> Array:
    """Radiance of what the rays met; ``place``: their pixels, for mirrors, None within one."""
    out = np.empty_like(d)
    for k in np.unique(index):
        chosen = np.flatnonzero(index == k)
        if k < 0:
            out[:, chosen] = stage.sky(d[:, chosen])
            continue
        solid = stage.solids[k]
        here, normal, along = p[:, chosen], n[:, chosen], d[:, chosen]
        u, v = solid.coordinates(here, normal)
        facing = np.maximum(np.abs((normal * along).sum(0)), 0.05)
        hits = Hits(
            p=here,
            n=normal,
            d=along,
            u=u,
            v=v,
            footprint=np.asarray(t[chosen] * scale / facing, np.float32),
            lo=solid.lo,
            hi=solid.hi,
        )
        surface = solid.material(hits)
        colour = surface.albedo * light[:, chosen]
        if surface.emission is not None:
            colour = colour + surface.emission
        if place is not None and surface.mirror is not None:
            x, y, size = place
            colour = _add_mirror(stage, hits, surface, colour, scale, x[chosen], y[chosen], size)
        out[:, chosen] = colour
    return out


def _add_mirror(
    stage: Stage,
    hits: Hits,
    surface: Surface,
    colour: Array,
    scale: float,
    x: Array,
    y: Array,
    size: tuple[int, int],
) -> Array:
    """Schlick's reflection of what is around: DOI 10.1111/1467-8659.1330233."""
    assert surface.mirror is not None
    cosine = np.clip(-(hits.d * hits.n).sum(0), 0, 1)
    share = np.minimum(surface.mirror * (0.06 + 0.9 * (1 - cosine) ** 5), np.float32(0.95))
    some = np.flatnonzero(share > 0.004)
    if not some.size:
        return colour
    n, d = hits.n[:, some], hits.d[:, some]
    r = d - 2 * (d * n).sum(0) * n
    o = hits.p[:, some] + n * np.float32(1e-3)
    candidates: Sequence[NDArray[np.intp] | None] | None = None
    if n[1].min() > 0.9:  # a level floor shows what an eye below it would see
        bounds = _bounds(stage, *size, level=float(hits.p[1, some].mean()))
        candidates = [_within(x[some], y[some], b) for b in bounds]
    t, index, p, normal = _hits(stage, o, r, candidates)
    light = irradiance(stage.lights, None, p, normal, 2)
    for sun in stage.suns:
        light += sun.irradiance(None, p, normal)
    light = light * np.float32(0.6) + stage.ambient(p, normal)
    seen = _surfaces(stage, r, t, index, p, normal, light / np.pi, scale, None)
    out = colour.copy()
    out[:, some] = colour[:, some] * (1 - share[some]) + seen * share[some]
    return out


def _light_grid(stage: Stage, casters: Casters, height: int, width: int) -> _Grid:
    step = max(2.0, np.hypot(height, width) / _GRID)
    rows, cols = max(8, round(height / step)), max(8, round(width / step))
    cells = np.arange(rows * cols)
    x = ((cells % cols + 0.5) * (width / cols)).astype(np.float32)
    y = ((cells // cols + 0.5) * (height / rows)).astype(np.float32)
    d = stage.eye.rays(x, y, height, width)
    o = np.array(stage.eye.at, np.float32)[:, None]
    t, index, p, n = _hits(stage, o, d, None)
    light = np.zeros_like(p)
    tiles = (cells // cols // _TILE) * 1000 + cells % cols // _TILE
    for tile in np.unique(tiles):
        some = np.flatnonzero((tiles == tile) & (index >= 0))
        if some.size:
            here, normal = p[:, some], n[:, some]
            light[:, some] = irradiance(stage.lights, casters, here, normal, stage.samples)
            light[:, some] += stage.ambient(here, normal)
    packed = np.concatenate([light / np.pi, p, n]).T
    haze = None
    if stage.haze is not None:
        thin = np.flatnonzero((cells // cols % 2 == 0) & (cells % cols % 2 == 0))
        haze = _haze(stage, stage.haze, o, d[:, thin], t[thin]).T
        haze = haze.reshape((rows + 1) // 2, (cols + 1) // 2, 3)
        haze = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(haze), (0, 0), 0.8), np.float32)
    return _Grid(
        rows=np.ascontiguousarray(packed), height=rows, width=cols, haze=haze, casters=casters
    )


def _haze(stage: Stage, haze: Haze, o: Array, d: Array, t: Array) -> Array:
    """Light (3, N) scattered towards the eye along each ray."""
    reach = np.minimum(t, np.float32(haze.reach))
    total = np.outer(haze.glow, reach * haze.density).astype(np.float32)
    step = reach / haze.steps
    for sun in stage.suns:
        colour = np.array(sun.light, np.float32)[:, None] * np.float32(haze.density / (4 * np.pi))
        to = sun.direction()
        for k in range(haze.steps):
            p = o + d * (step * (k + 0.5))
            through = sun.passes(p, to) if sun.passes is not None else np.ones_like(p)
            total += colour * through * step
    return total


def _carry(grid: _Grid, gx: Array, gy: Array, p: Array, n: Array, t: Array) -> Array:
    """Irradiance / pi (3, N) at pixels, from the four grid cells around each."""
    left, top = np.floor(gx), np.floor(gy)
    fx, fy = gx - left, gy - top
    x0, y0 = left.astype(np.int32), top.astype(np.int32)
    total = np.zeros_like(p)
    weights = np.zeros(p.shape[1], np.float32)
    near = np.float32(0.01) * np.minimum(t, np.float32(100.0)) + np.float32(1e-3)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        col = np.clip(x0 + dx, 0, grid.width - 1)
        row = np.clip(y0 + dy, 0, grid.height - 1)
        found = grid.rows[row * grid.width + col].T
        away = ((found[3:6] - p) * n).sum(0) / near
        alike = np.maximum((found[6:9] * n).sum(0), 0)
        weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) + np.float32(1e-3)
        weight *= (alike**8 + np.float32(1e-5)) / (1 + away * away)
        total += found[:3] * weight
        weights += weight
    return np.asarray(total / weights, np.float32)
