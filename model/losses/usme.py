# SPDX-License-Identifier: Apache-2.0
"""USME-HDR: radiance out of one frame, learned from brackets without ground truth.

After H. Wang et al., "Unsupervised single-image high dynamic range rendering via multi-exposure
priors", 2026 (doi:10.1631/ENG.ITEE.2025.0116), section 3. Its structure losses are SelfHDR's first
stage (:mod:`model.losses.selfhdr`); these are the others: virtual exposures are to be like the
real ones, and radiance like the pseudo-label where the frame is neither dark nor burnt out.

Radiance is (B, 3, H, W), linear, in the scale of the shortest exposure, 0..1.
"""

from __future__ import annotations

import torch

from model.losses.hdr import mu_l1_loss
from model.losses.selfhdr import STRUCTURE_MOST, agreement
from model.radiance import triangle_weights

__all__ = ["exposure_aware_loss", "exposure_loss", "exposure_steps"]

_WELL = (0.1, 0.9)
_BARELY = (0.05, 0.95)
_BARELY_COUNTS = 0.1


def exposure_loss(
    made: torch.Tensor,
    wanted: torch.Tensor,
    light: torch.Tensor,
    reference: torch.Tensor,
    reference_display: torch.Tensor,
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Low- or high-exposure reconstruction, equations 6, 7, 9 and 10: L1 after the mu-law where
    the real exposure, laid on the reference, agrees with it.

    Args:
        made: The virtual exposure (B, 3, H, W) in 0..1, as it is displayed or its light.
        wanted: The same of the real one.
        light: What the real one shows of the radiance.
        reference: The same of the reference frame.
        reference_display: That frame, display-referred.
        valid: (B, 1, H, W) in 0..1: where the real one could be laid on it; None: everywhere.
    """
    trusted = triangle_weights(reference_display)
    agreed = agreement(light, reference, most=STRUCTURE_MOST, weights=trusted)
    return mu_l1_loss(made, wanted, agreed if valid is None else agreed * valid)


def exposure_aware_loss(
    radiance: torch.Tensor,
    color: torch.Tensor,
    reference_display: torch.Tensor,
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Equations 14 and 15: L1 to the pseudo-label after the mu-law, by how well the reference frame
    is exposed. Arguments are those of :func:`exposure_loss`; ``color`` is the pseudo-label."""
    counts = exposure_steps(reference_display)
    return mu_l1_loss(radiance, color, counts if valid is None else counts * valid)


def exposure_steps(display: torch.Tensor) -> torch.Tensor:
    """How much frames (B, 3, H, W) count, (B, 1, H, W): 1 where the mean of the channels lies
    within 0.1..0.9, 0.1 within 0.05..0.95, and 0 elsewhere."""
    brightness = display.mean(1, keepdim=True)
    well = (brightness >= _WELL[0]) & (brightness <= _WELL[1])
    barely = (brightness >= _BARELY[0]) & (brightness <= _BARELY[1])
    return torch.where(well, 1.0, torch.where(barely, _BARELY_COUNTS, 0.0)).to(display.dtype)
