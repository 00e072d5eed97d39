# SPDX-License-Identifier: Apache-2.0
"""Single-scale MEF-SSIM with luminance: the colour form, and the form that networks train with.

``color_*``: K. Ma, Z. Duanmu, H. Yeganeh and Z. Wang, "Multi-exposure image fusion by optimizing
a structural similarity index", IEEE TCI 2018. ``mefnet_*``: K. Ma, Z. Duanmu, H. Zhu, Y. Fang and
Z. Wang, "Deep guided learning for fast multi-exposure image fusion", IEEE TIP 2020; Gaussian
window and borders padded with zeros. Both take the exposure with the largest variance at each
window for the reference structure, all channels pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from model.metrics.strips import Rgb8, rgb_rows, strips
from model.moments import Window

__all__ = ["COLOR_WINDOW_PX", "ColorVariant", "color_scores"]

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
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What tells the families apart; ``padding`` is in pixels on every side."""

    window: Window
    padding: int
    luma_only: bool
    peak: float


_COLOR = _Form(window=Window.box(COLOR_WINDOW_PX), padding=0, luma_only=False, peak=255.0)
_MEFNET_Y = _Form(window=Window.gaussian(11, 11 / 6), padding=5, luma_only=True, peak=1.0)
_MEFNET_RGB = _Form(window=Window.gaussian(11, 11 / 6), padding=5, luma_only=False, peak=1.0)

_Luminance = Literal["adaptive", "patch", "none"]
_VARIANTS: dict[ColorVariant, tuple[_Form, _Luminance, Literal["product", "means"]]] = {
    "color_8x8_adaptive_lum": (_COLOR, "adaptive", "product"),
    "color_8x8_patch_lum": (_COLOR, "patch", "product"),
    "mefnet_y_lum": (_MEFNET_Y, "adaptive", "product"),
    "mefnet_y_nolum": (_MEFNET_Y, "none", "product"),
    "mefnet_y_lum_meanproduct": (_MEFNET_Y, "adaptive", "means"),
    "mefnet_rgb_lum": (_MEFNET_RGB, "adaptive", "product"),
    "mefnet_rgb_lum_meanproduct": (_MEFNET_RGB, "adaptive", "means"),
}


def color_scores(
    frames: Sequence[Rgb8], fused: Sequence[Rgb8], variant: ColorVariant
) -> list[float]:
    """Score several fusions of one stack; sides of 8 px at least for ``color_*``."""
    form, luminance, aggregation = _VARIANTS[variant]
    height, width = frames[0].shape[:2]
    lost = form.window.size - 1 - 2 * form.padding
    global_means = _global_means(frames, form)
    products, luminances, structures = torch.zeros(3, len(fused), dtype=torch.float64)
    for start, stop in strips(height - lost, width):
        x = _rows(frames, form, start, stop, height)
        reference = _reference(x, form, luminance, global_means)
        for index, picture in enumerate(fused):
            y = _rows([picture], form, start, stop, height)[0]
            similarity, structure = reference.compare(y)
            products[index] += (similarity * structure).sum()
            luminances[index] += similarity.sum()
            structures[index] += structure.sum()
    count = (height - lost) * (width - lost)
    if aggregation == "product":
        return (products / count).tolist()
    return ((luminances / count) * (structures / count)).tolist()


def _rows(
    pictures: Sequence[Rgb8], form: _Form, start: int, stop: int, height: int
) -> torch.Tensor:
    """What the windows of rows ``start`` to ``stop`` of the map see, (N, C, rows, width)."""
    first = start - form.padding
    last = stop - 1 + form.window.size - form.padding
    rows = rgb_rows(pictures, max(first, 0), min(last, height)).mul_(form.peak / 255)
    if form.luma_only:
        red, green, blue = rows.unbind(1)
        rows = (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]).unsqueeze(1)
    sides = (form.padding, form.padding, max(-first, 0), max(last - height, 0))
    return torch.nn.functional.pad(rows, sides)


def _global_means(frames: Sequence[Rgb8], form: _Form) -> torch.Tensor:
    """Mean of each exposure over its pixels and channels, (K, 1, 1), 0..1."""
    channels = torch.tensor([[frame[..., c].mean() for c in range(3)] for frame in frames])
    weights = torch.tensor(_LUMA if form.luma_only else (1 / 3,) * 3, dtype=torch.float64)
    return (channels.double() @ weights / 255).reshape(-1, 1, 1)


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """The reference patches of a strip: K frames, which one rules where, and how bright to be.

    ``luminance`` is None where brightness does not count.
    """

    form: _Form
    frames: torch.Tensor
    totals: torch.Tensor
    selected: torch.Tensor
    variance: torch.Tensor
    luminance: torch.Tensor | None

    def compare(self, fused: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Luminance and structure similarity maps (h, w) of a fused strip (C, rows, width)."""
        mass = self.form.window.mass * fused.shape[0]
        total = self.form.window.total(fused.sum(0))
        mean = total / mass
        variance = _covariance(fused, fused, total, total, self.form)
        covariances = [
            _covariance(frame, fused, frame_total, total, self.form)
            for frame, frame_total in zip(self.frames, self.totals, strict=True)
        ]
        covariance = torch.stack(covariances).gather(0, self.selected)[0]
        c1, c2 = ((factor * self.form.peak) ** 2 for factor in (0.01, 0.03))
        structure = (2 * covariance + c2) / (variance + self.variance + c2)
        if self.luminance is None:
            return torch.ones_like(structure), structure
        above = 2 * mean * self.luminance + c1
        return above / (mean.square() + self.luminance.square() + c1), structure


def _reference(
    frames: torch.Tensor, form: _Form, luminance: _Luminance, global_means: torch.Tensor
) -> _Reference:
    totals = form.window.total(frames.sum(1))
    variances = torch.stack(
        [_covariance(x, x, t, t, form) for x, t in zip(frames, totals, strict=True)]
    )
    selected = variances.argmax(0, keepdim=True)
    means = totals / (form.window.mass * frames.shape[1])
    wanted: torch.Tensor | None = None
    if luminance == "patch":
        wanted = means.gather(0, selected)[0]
    elif luminance == "adaptive":
        distance = (means / form.peak - 0.5).square() + (global_means - 0.5).square()
        weights = (distance / (-2 * _SIGMA**2)).exp()
        wanted = (weights * means).sum(0) / weights.sum(0)
    return _Reference(
        form=form,
        frames=frames,
        totals=totals,
        selected=selected,
        variance=variances.gather(0, selected)[0],
        luminance=wanted,
    )


def _covariance(
    x: torch.Tensor,
    y: torch.Tensor,
    total_x: torch.Tensor,
    total_y: torch.Tensor,
    form: _Form,
) -> torch.Tensor:
    """Population covariance over window and channels of (C, rows, width), (h, w)."""
    mass = form.window.mass * x.shape[0]
    scaled = form.window.total((x * y).sum(0)).mul_(mass)
    return scaled.sub_(total_x * total_y).div_(mass**2)
