# SPDX-License-Identifier: Apache-2.0
"""Fidelity to a reference picture: PSNR and SSIM, of pictures and of radiance.

SSIM (:mod:`model.ssim`) is a mean over pixels and colour channels. Of radiance, both are taken of
the linear values and of their mu-law (suffixes L and mu), as HDR reconstruction is customarily
reported. Computed in float64 over strips of rows; SSIM of large display-referred pictures by
compiled loops in float32, which agree to 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.metrics.kernels.similarity import ssim_tiles
from model.metrics.strips import EXACT_PX, Rgb8, check_same_size, in_strips, strips
from model.radiance import mu_law
from model.ssim import SSIM_WINDOW, ssim_terms

__all__ = ["PictureFidelity", "RadianceFidelity", "picture_fidelity", "radiance_fidelity"]

_View = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class PictureFidelity:
    """PSNR in dB (infinite for equal pictures) and SSIM in -1..1, None below 11 px."""

    psnr: float
    ssim: float | None


@dataclass(frozen=True, kw_only=True)
class RadianceFidelity:
    """PSNR in dB (infinite for equal pictures) and SSIM in -1..1, None below 11 px.

    ``_l`` of the linear values, ``_mu`` after the mu-law.
    """

    psnr_l: float
    psnr_mu: float
    ssim_l: float | None
    ssim_mu: float | None


def picture_fidelity(
    picture: Rgb8, reference: Rgb8, *, exact: bool | None = None
) -> PictureFidelity:
    """Compare display-referred pictures, (H, W, 3) uint8; peak 255.

    Args:
        exact: SSIM in float64 or not; None leaves it to the size of the pictures.

    Raises:
        ValueError: The pictures differ in size or are of another type.
    """
    height, width = check_same_size([picture, reference])
    if exact is None:
        exact = height * width < EXACT_PX
    ssim = _ssim(picture, reference, _same) if exact else _fast_ssim(picture, reference)
    return PictureFidelity(psnr=_psnr(picture, reference, _same, 255.0), ssim=ssim)


def radiance_fidelity(
    radiance: NDArray[np.float32], reference: NDArray[np.float32]
) -> RadianceFidelity:
    """Compare linear radiance, (H, W, 3) floating point, scaled so that the peak is 1.

    PSNR does not clip; SSIM clips to 0..1.

    Raises:
        ValueError: The shapes differ or are not (H, W, 3).
    """
    if radiance.shape != reference.shape or radiance.ndim != 3 or radiance.shape[2] != 3:
        raise ValueError(
            f"radiance and reference are (H, W, 3) alike, not {radiance.shape} and "
            f"{reference.shape}"
        )
    return RadianceFidelity(
        psnr_l=_psnr(radiance, reference, _same, 1.0),
        psnr_mu=_psnr(radiance, reference, mu_law, 1.0),
        ssim_l=_ssim(radiance, reference, _in_255ths),
        ssim_mu=_ssim(radiance, reference, lambda rows: _in_255ths(mu_law(rows))),
    )


def _same(rows: torch.Tensor) -> torch.Tensor:
    return rows


def _in_255ths(rows: torch.Tensor) -> torch.Tensor:
    return rows.mul(255).clamp_(0, 255)


_Picture = NDArray[np.uint8] | NDArray[np.float32]


def _rows(picture: _Picture, start: int, stop: int, view: _View) -> torch.Tensor:
    """(3, rows, W) float64."""
    rows = np.ascontiguousarray(picture[start:stop].transpose(2, 0, 1), np.float64)
    return view(torch.from_numpy(rows))


def _psnr(picture: _Picture, reference: _Picture, view: _View, peak: float) -> float:
    height, width = picture.shape[:2]
    total = 0.0
    for start, stop in strips(height, width):
        difference = _rows(picture, start, stop, view) - _rows(reference, start, stop, view)
        total += difference.square_().sum().item()
    if total == 0:
        return math.inf
    return 10 * math.log10(peak**2 * picture.size / total)


def _ssim(picture: _Picture, reference: _Picture, view: _View) -> float | None:
    """SSIM of values that ``view`` puts in 0..255."""
    lost = SSIM_WINDOW.size - 1
    height, width = int(picture.shape[0]) - lost, int(picture.shape[1]) - lost
    if min(height, width) < 1:
        return None
    total = 0.0
    for start, stop in strips(height, width):
        x = _rows(picture, start, stop + lost, view)
        y = _rows(reference, start, stop + lost, view)
        luminance, structure = ssim_terms(x, y, peak=255.0)
        total += float((luminance * structure).sum())
    return total / (3 * height * width)


def _fast_ssim(picture: Rgb8, reference: Rgb8) -> float | None:
    lost = SSIM_WINDOW.size - 1
    height, width = int(picture.shape[0]) - lost, int(picture.shape[1]) - lost
    if min(height, width) < 1:
        return None
    taps = np.array(SSIM_WINDOW.taps, np.float32)

    def work(start: int, stop: int) -> float:
        rows = slice(start, stop + lost)
        pictures = (np.ascontiguousarray(p[rows]) for p in (picture, reference))
        return float(ssim_tiles(*pictures, taps))

    return sum(in_strips(height, work)) / (3 * height * width)
