# SPDX-License-Identifier: Apache-2.0
"""Losses of radiance: mu-law L1, the same in frequencies, and how well frames were aligned.

Radiance is (B, 3, H, W), linear, in the scale of the shortest exposure: 0..1, as the published
recipes have it (:mod:`model.hdr_network`).
"""

from __future__ import annotations

import torch

from model.hdr_network import Alignment
from model.radiance import mu_law

__all__ = ["compressed", "fft_l1_loss", "mu_l1_loss", "mu_psnr_loss", "photometric_loss"]


_LEAST_SQUARE = 1e-10  # 100 dB; equal pictures are infinitely good


def compressed(radiance: torch.Tensor) -> torch.Tensor:
    """The mu-law of radiance; what is below 0 counts as 0, where the mu-law would end."""
    return mu_law(radiance.clamp(min=0))


def mu_l1_loss(
    radiance: torch.Tensor, label: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean absolute difference after the mu-law (N. Kalantari and R. Ramamoorthi, SIGGRAPH 2017).

    Args:
        radiance: (B, 3, H, W).
        label: (B, 3, H, W).
        weights: Of each value, broadcast; the mean is that of all values, those without weight
            included.

    Raises:
        ValueError: Shapes differ.
    """
    difference = _difference(radiance, label)
    return (difference if weights is None else difference * weights).abs().mean()


def mu_psnr_loss(radiance: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Minus PSNR-mu in 100 dB, averaged over pictures: a picture counts alike whether it is easy or
    hard, and in it few large errors count, where L1 looks past them.

    Raises:
        ValueError: Shapes differ.
    """
    square = _difference(radiance, label).square().mean((1, 2, 3))
    return (square + _LEAST_SQUARE).log10().mean() / 10


def fft_l1_loss(radiance: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of real and imaginary parts of the spectra after the mu-law.

    The discrete Fourier transform of each channel over the whole patch, not normalised, one half
    of it, as the other is its mirror image (AFUNet, arXiv 2506.23537, as published in code).

    Raises:
        ValueError: Shapes differ.
    """
    # Linear: the transform of the difference is the difference of the transforms.
    spectrum = torch.fft.rfft2(_difference(radiance, label))
    return torch.view_as_real(spectrum).abs().mean()


def photometric_loss(alignment: Alignment) -> torch.Tensor:
    """Mean of ``confidence * |reference - warped|`` over all other frames (FlexHDR,
    arXiv 2201.02625)."""
    difference = alignment.reference.unsqueeze(1) - alignment.warped
    return (alignment.confidence * difference.abs()).mean()


def _difference(radiance: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    if radiance.shape != label.shape or radiance.ndim != 4:
        raise ValueError(
            f"radiance and label are (B, 3, H, W) alike, not {tuple(radiance.shape)} and "
            f"{tuple(label.shape)}"
        )
    return compressed(radiance) - compressed(label)
