# SPDX-License-Identifier: Apache-2.0
"""MEF-SSIM: how much of the structure of all exposures a fused photograph keeps.

``gray_ms3`` is what is published as "MEF-SSIM" and is the headline here. The other variants have
names of their own, and numbers of different variants must never be compared:

=========================  =====================================================================
gray_ms3                   grey, product of three scales (Ma, Zeng, Wang 2015)
gray_scale1 .. 3           its single scales, finest first
color_8x8_adaptive_lum     colour, 8 x 8, with luminance (Ma, Duanmu, Yeganeh, Wang 2018)
color_8x8_patch_lum        the same, luminance of the strongest exposure alone
mefnet_y_*, mefnet_rgb_*   single-scale forms that networks train with (Ma et al. 2020)
=========================  =====================================================================

Pictures are 8-bit RGB; round 16-bit ones with :func:`to_8bit`. Everything runs over strips of rows:
memory depends on the width and on the number of frames, not on the height. Small pictures are
scored in float64; from ``EXACT_PX`` on, compiled loops do it in float32, in a small part of the
time, and agree to 1e-6 in ``gray_ms3``, to 1e-5 in the others (:mod:`model.metrics.mef_ssim_fast`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from model.metrics.mef_ssim_color import COLOR_WINDOW_PX, ColorVariant, color_scores
from model.metrics.mef_ssim_fast import gray_cells
from model.metrics.mef_ssim_gray import (
    GAUSSIAN,
    SCALES,
    WINDOW_PX,
    combine_scales,
    quality_strips,
)
from model.metrics.strips import EXACT_PX, Rgb8, check_same_size, size_at, to_8bit

__all__ = [
    "COLOR_VARIANTS",
    "EXACT_PX",
    "GRAY_VARIANTS",
    "LEAST_PX",
    "MefSsim",
    "Variant",
    "score",
    "score_many",
    "to_8bit",
]

GrayVariant = Literal["gray_ms3", "gray_scale1", "gray_scale2", "gray_scale3"]
Variant = GrayVariant | ColorVariant

GRAY_VARIANTS: tuple[GrayVariant, ...] = get_args(GrayVariant)
COLOR_VARIANTS: tuple[ColorVariant, ...] = get_args(ColorVariant)
LEAST_PX = WINDOW_PX << (SCALES - 1)
"""``gray_ms3`` is defined for pictures whose shorter side has at least this many pixels: 44."""


@dataclass(frozen=True, kw_only=True)
class MefSsim:
    """Scores of one fused picture.

    ``values`` holds every variant that was asked for; None where the picture is too small for
    it, and then ``notes`` says so. Scores lie in -1..1; 1 is best, negative means turned upside
    down. ``quality_map`` is the map behind ``gray_scale1`` (windows around each pixel, 5 px off
    each border), averaged to the size that was asked for, float32.
    """

    values: dict[Variant, float | None]
    notes: dict[Variant, str] = field(default_factory=dict)
    quality_map: NDArray[np.float32] | None = None


def score(
    frames: Sequence[Rgb8],
    fused: Rgb8,
    variants: Sequence[Variant] = GRAY_VARIANTS,
    *,
    map_side_px: int | None = None,
    exact: bool | None = None,
) -> MefSsim:
    """Score one fused picture against its stack; see :func:`score_many`."""
    return score_many(frames, [fused], variants, map_side_px=map_side_px, exact=exact)[0]


def score_many(
    frames: Sequence[Rgb8],
    fused: Sequence[Rgb8],
    variants: Sequence[Variant] = GRAY_VARIANTS,
    *,
    map_side_px: int | None = None,
    exact: bool | None = None,
) -> list[MefSsim]:
    """Score several fusions of one stack; what depends on the stack alone is worked out once.

    Args:
        frames: The stack, K >= 2 arrays (H, W, 3) uint8 RGB, in any order.
        fused: Pictures of the same size.
        variants: What to compute. The scales of ``gray_ms3`` come at no extra cost.
        map_side_px: Also return the quality map, its longer side at most this many pixels.
        exact: In float64 or not; None leaves it to the size of the pictures.

    Raises:
        ValueError: Fewer than two frames, or pictures that differ in size or type.
    """
    if len(frames) < 2:
        raise ValueError(f"a stack has at least two frames, not {len(frames)}")
    if map_side_px is not None and map_side_px < 1:
        raise ValueError(f"map_side_px must be at least 1, not {map_side_px}")
    height, width = check_same_size([*frames, *fused])
    shorter = min(height, width)
    if exact is None:
        exact = height * width < EXACT_PX
    notes = {
        v: f"{height} x {width} px is too small: {why}"
        for v in variants
        if (why := _too_small(v, shorter))
    }
    wanted = [v for v in variants if v not in notes]

    columns: dict[Variant, list[float]] = {}
    maps: list[NDArray[np.float32] | None] = [None] * len(fused)
    needs_map = map_side_px is not None and shorter >= WINDOW_PX
    scales: dict[int, list[float]] = {}
    for scale in range(SCALES):
        if (needs_map and scale == 0) or {"gray_ms3", f"gray_scale{scale + 1}"} & set(wanted):
            side = map_side_px if scale == 0 else None
            means, reduced = _gray_scale(frames, fused, scale, side, exact=exact)
            scales[scale] = means
            if reduced is not None:
                maps = list(reduced)
    for variant in wanted:
        if variant == "gray_ms3":
            columns[variant] = [combine_scales(q) for q in zip(*scales.values(), strict=True)]
        elif variant in GRAY_VARIANTS:
            columns[variant] = scales[int(variant[-1]) - 1]
    colors = color_scores(frames, fused, [v for v in COLOR_VARIANTS if v in wanted], exact=exact)
    for color, scores in colors.items():
        columns[color] = scores
    return [
        MefSsim(
            values={v: columns[v][i] if v in columns else None for v in variants},
            notes=dict(notes),
            quality_map=maps[i],
        )
        for i in range(len(fused))
    ]


def _too_small(variant: Variant, shorter: int) -> str | None:
    """Why a picture with this shorter side has no such score; None where it has."""
    if variant == "gray_ms3" and shorter < LEAST_PX:
        return f"three scales need {LEAST_PX} px"
    if variant in ("gray_scale1", "gray_scale2", "gray_scale3"):
        scale = int(variant[-1]) - 1
        if size_at(shorter, scale) < WINDOW_PX:
            return f"this scale needs {(WINDOW_PX << scale) - (1 << scale) + 1} px"
    if variant.startswith("color") and shorter < COLOR_WINDOW_PX:
        return f"its window needs {COLOR_WINDOW_PX} px"
    return None


def _gray_scale(
    frames: Sequence[Rgb8],
    fused: Sequence[Rgb8],
    scale: int,
    map_side_px: int | None,
    *,
    exact: bool,
) -> tuple[list[float], NDArray[np.float32] | None]:
    """Mean quality of every fusion at one scale, and the maps (N, h, w) reduced, if asked for."""
    height, width = (size_at(size, scale) - WINDOW_PX + 1 for size in frames[0].shape[:2])
    side = map_side_px if map_side_px is not None else 1
    cell = -(-max(height, width) // side)
    if exact:
        cells = _exact_cells(frames, fused, scale, cell)
    else:
        cells = torch.from_numpy(gray_cells(frames, fused, scale, GAUSSIAN, cell))
    means = cells.sum((1, 2)).div(height * width).tolist()
    if map_side_px is None:
        return means, None
    pixels = torch.outer(_cell_sizes(height, cell), _cell_sizes(width, cell))
    return means, (cells / pixels).float().numpy()


def _exact_cells(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], scale: int, cell: int
) -> torch.Tensor:
    """The quality maps summed over cells, (N, h, w) float64."""
    height, width = (size_at(size, scale) - WINDOW_PX + 1 for size in frames[0].shape[:2])
    cells = torch.zeros(len(fused), -(-height // cell), -(-width // cell), dtype=torch.float64)
    for start, quality in quality_strips(frames, fused, scale):
        padded = torch.nn.functional.pad(quality, (0, -width % cell))
        sums = padded.reshape(*padded.shape[:2], -1, cell).sum(3)
        rows = torch.arange(start, start + quality.shape[1]) // cell
        cells.index_add_(1, rows, sums)
    return cells


def _cell_sizes(size: int, cell: int) -> torch.Tensor:
    """Pixels along each cell of a side; the last may be cut short."""
    starts = torch.arange(0, size, cell)
    return (size - starts).clamp(max=cell)
