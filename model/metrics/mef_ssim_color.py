# SPDX-License-Identifier: Apache-2.0
"""Single-scale MEF-SSIM with luminance: the colour form, and the form that networks train with.

``color_*``: K. Ma, Z. Duanmu, H. Yeganeh and Z. Wang, "Multi-exposure image fusion by optimizing
a structural similarity index", IEEE TCI 2018. ``mefnet_*``: K. Ma, Z. Duanmu, H. Zhu, Y. Fang and
Z. Wang, "Deep guided learning for fast multi-exposure image fusion", IEEE TIP 2020; Gaussian
window and borders padded with zeros. Both take the exposure with the largest variance at each
window for the reference structure, all channels pooled; among equals (flat windows) the brightest,
where the published code leaves the choice to rounding errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from model.luma import WEIGHTS
from model.metrics.mef_ssim_fast import color_sums, luma_sums
from model.metrics.strips import Rgb8, rgb_rows, strips
from model.moments import Window

__all__ = [
    "COLOR_FORM",
    "COLOR_WINDOW_PX",
    "ColorVariant",
    "Form",
    "PatchReference",
    "color_scores",
    "reference_patches",
]

ColorVariant = Literal[
    "color_8x8_adaptive_lum",
    "color_8x8_patch_lum",
    "mefnet_y_lum",
    "mefnet_y_nolum",
    "mefnet_y_lum_meanproduct",
    "mefnet_rgb_lum",
    "mefnet_rgb_lum_meanproduct",
]

COLOR_WINDOW_PX = 8
_SIGMA = 0.2  # of well-exposedness, of patches and of whole exposures


def _mefnet_window(missing: float) -> Window:
    """The window as published: computed in float32, so that some of its mass is missing.

    Against a stabiliser of 9e-4 that is worth 5e-6 of the score.
    """
    exact = Window.gaussian(11, 11 / 6)
    return Window(tuple(tap * math.sqrt(1 - missing) for tap in exact.taps), 1.0)


@dataclass(frozen=True, kw_only=True)
class Form:
    """What tells the families apart; ``padding`` is in pixels on every side.

    How bright an exposure is as a whole is the mean of its pixels or of its window means, which
    differ where borders are padded.
    """

    window: Window
    padding: int
    luma_only: bool
    peak: float
    global_mean: Literal["pixels", "windows"]


COLOR_FORM = Form(
    window=Window.box(COLOR_WINDOW_PX),
    padding=0,
    luma_only=False,
    peak=255.0,
    global_mean="pixels",
)
_MEFNET_Y = Form(
    window=_mefnet_window(3.78859e-8), padding=5, luma_only=True, peak=1.0, global_mean="windows"
)
_MEFNET_RGB = replace(_MEFNET_Y, window=_mefnet_window(1.99543e-8), luma_only=False)

_Luminance = Literal["adaptive", "patch", "none"]
_VARIANTS: dict[ColorVariant, tuple[Form, _Luminance, Literal["product", "means"]]] = {
    "color_8x8_adaptive_lum": (COLOR_FORM, "adaptive", "product"),
    "color_8x8_patch_lum": (COLOR_FORM, "patch", "product"),
    "mefnet_y_lum": (_MEFNET_Y, "adaptive", "product"),
    "mefnet_y_nolum": (_MEFNET_Y, "none", "product"),
    "mefnet_y_lum_meanproduct": (_MEFNET_Y, "adaptive", "means"),
    "mefnet_rgb_lum": (_MEFNET_RGB, "adaptive", "product"),
    "mefnet_rgb_lum_meanproduct": (_MEFNET_RGB, "adaptive", "means"),
}


def color_scores(
    frames: Sequence[Rgb8],
    fused: Sequence[Rgb8],
    variants: Sequence[ColorVariant],
    *,
    exact: bool = True,
) -> dict[ColorVariant, list[float]]:
    """Score several fusions of one stack; sides of 8 px at least for ``color_*``.

    Variants of one family share all filters. Unless it has to be ``exact``, compiled loops do it
    where there are some, which is for all but ``mefnet_rgb_*``.
    """
    forms = dict.fromkeys(_VARIANTS[variant][0] for variant in variants)
    scores: dict[ColorVariant, list[float]] = {}
    for form in forms:
        family = [variant for variant in variants if _VARIANTS[variant][0] == form]
        kinds = {_VARIANTS[variant][1] for variant in family}
        if exact or form == _MEFNET_RGB:
            sums = _family_means(frames, fused, form, kinds)
        else:
            sums = _fast_means(frames, fused, form)
        for variant in family:
            _, luminance, aggregation = _VARIANTS[variant]
            scores[variant] = [
                product if aggregation == "product" else similarity * structure
                for product, similarity, structure in sums[luminance]
            ]
    return scores


def _fast_means(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], form: Form
) -> dict[_Luminance, list[tuple[float, float, float]]]:
    """The same as :func:`_family_means`."""
    height, width = frames[0].shape[:2]
    lost = form.window.size - 1 - 2 * form.padding
    sums = (luma_sums if form.luma_only else color_sums)(frames, fused, form.window)
    means = (sums / ((height - lost) * (width - lost))).tolist()
    kinds = get_args(_Luminance)
    return {kind: [(p, s, c) for p, s, c in (m[i] for m in means)] for i, kind in enumerate(kinds)}


def _family_means(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], form: Form, luminances: Iterable[_Luminance]
) -> dict[_Luminance, list[tuple[float, float, float]]]:
    """Means over the map of luminance * structure, luminance and structure, of every fusion."""
    height, width = frames[0].shape[:2]
    lost = form.window.size - 1 - 2 * form.padding
    global_means = _global_means(frames, form)
    sums = {kind: torch.zeros(len(fused), 3, dtype=torch.float64) for kind in luminances}
    for start, stop in strips(height - lost, width):
        reference = reference_patches(_rows(frames, form, start, stop, height), form, global_means)
        for index, picture in enumerate(fused):
            y = _rows([picture], form, start, stop, height)[0]
            mean, structure = reference.compare(y)
            for kind, total in sums.items():
                similarity = reference.luminance_similarity(mean, kind)
                maps = torch.stack([similarity * structure, similarity, structure])
                total[index] += maps.sum((1, 2))
    count = (height - lost) * (width - lost)
    return {
        kind: [(p, s, c) for p, s, c in (total / count).tolist()] for kind, total in sums.items()
    }


def _rows(pictures: Sequence[Rgb8], form: Form, start: int, stop: int, height: int) -> torch.Tensor:
    """What the windows of rows ``start`` to ``stop`` of the map see, (N, C, rows, width)."""
    first = start - form.padding
    last = stop - 1 + form.window.size - form.padding
    rows = rgb_rows(pictures, max(first, 0), min(last, height)).mul_(form.peak / 255)
    if form.luma_only:
        red, green, blue = rows.unbind(1)
        rows = (red * WEIGHTS[0] + green * WEIGHTS[1] + blue * WEIGHTS[2]).unsqueeze(1)
    sides = (form.padding, form.padding, max(-first, 0), max(last - height, 0))
    return torch.nn.functional.pad(rows, sides)


def _global_means(frames: Sequence[Rgb8], form: Form) -> torch.Tensor:
    """How bright each exposure is as a whole, (K, 1, 1), 0..1."""
    height, width = frames[0].shape[:2]
    totals = torch.zeros(len(frames), 1, 1, dtype=torch.float64)
    if form.global_mean == "pixels":
        for start, stop in strips(height, width):
            totals += rgb_rows(frames, start, stop).sum((1, 2, 3)).reshape(-1, 1, 1)
        return totals.div_(3 * height * width * form.peak)
    for start, stop in strips(height, width):
        x = _rows(frames, form, start, stop, height)
        means = form.window.total(x.sum(1)) / (form.window.mass * x.shape[1])
        totals += means.sum((1, 2), keepdim=True)
    return totals.div_(height * width * form.peak)


@dataclass(frozen=True, kw_only=True)
class PatchReference:
    """The reference patches of a strip: K frames, which one rules where, and how bright to be.

    ``frames`` are (K, C, ..., rows, W), ``totals`` (K, ..., h, w), all others (..., h, w).
    """

    form: Form
    frames: torch.Tensor
    totals: torch.Tensor
    selected: torch.Tensor
    variance: torch.Tensor
    adaptive_mean: torch.Tensor
    patch_mean: torch.Tensor

    def compare(self, fused: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local mean and structure similarity (..., h, w) of fused rows (C, ..., rows, W)."""
        total = self.form.window.total(fused.sum(0))
        variance = _covariance(fused, fused, total, total, self.form)
        covariances = [
            _covariance(frame, fused, frame_total, total, self.form)
            for frame, frame_total in zip(self.frames, self.totals, strict=True)
        ]
        covariance = torch.stack(covariances).gather(0, self.selected)[0]
        c2 = (0.03 * self.form.peak) ** 2
        structure = (2 * covariance + c2) / (variance + self.variance + c2)
        return total / (self.form.window.mass * fused.shape[0]), structure

    def luminance_similarity(self, mean: torch.Tensor, kind: _Luminance) -> torch.Tensor:
        """Luminance similarity (..., h, w) of fused rows with these local means."""
        if kind == "none":
            return torch.ones_like(mean)
        wanted = self.adaptive_mean if kind == "adaptive" else self.patch_mean
        c1 = (0.01 * self.form.peak) ** 2
        return (2 * mean * wanted + c1) / (mean.square() + wanted.square() + c1)


def reference_patches(
    frames: torch.Tensor, form: Form, global_means: torch.Tensor
) -> PatchReference:
    """What frames (K, C, ..., rows, W) ask for, in 0..``form.peak`` and padded as the form says.

    ``global_means`` (K, ..., 1, 1), 0..1, say how bright each frame is as a whole.
    """
    totals = form.window.total(frames.sum(1))
    variances = torch.stack(
        [_covariance(x, x, t, t, form) for x, t in zip(frames, totals, strict=True)]
    )
    means = totals / (form.window.mass * frames.shape[1])
    strongest = variances == variances.amax(0)
    selected = means.where(strongest, -1.0).argmax(0, keepdim=True)
    distance = (means / form.peak - 0.5).square() + (global_means - 0.5).square()
    weights = (distance / (-2 * _SIGMA**2)).exp()
    return PatchReference(
        form=form,
        frames=frames,
        totals=totals,
        selected=selected,
        variance=variances.gather(0, selected)[0],
        adaptive_mean=(weights * means).sum(0) / weights.sum(0),
        patch_mean=means.gather(0, selected)[0],
    )


def _covariance(
    x: torch.Tensor,
    y: torch.Tensor,
    total_x: torch.Tensor,
    total_y: torch.Tensor,
    form: Form,
) -> torch.Tensor:
    """Population covariance over window and channels of (C, ..., rows, W), (..., h, w)."""
    mass = form.window.mass * x.shape[0]
    scaled = form.window.total((x * y).sum(0)).mul_(mass)
    return scaled.sub_(total_x * total_y).div_(mass**2)
