# SPDX-License-Identifier: Apache-2.0
"""SelfHDR: radiance without ground truth, in two stages.

After Z. Zhang et al., "Self-supervised high dynamic range imaging with multi-exposure images in
dynamic scenes", ICLR 2024 (arXiv 2310.01840). A colour label, the blend of frames laid on the
reference by optical flow, has the right light but ghosts where the flow failed. The first stage
learns from it where it agrees with the reference, and from the reference itself elsewhere; run on
the aligned frames, its results are structure labels. The second stage takes colour from the one
and structure from the other.

Radiance is (B, 3, H, W), linear, in the scale of the shortest exposure, 0..1.
"""

from __future__ import annotations

import torch

from model.losses.hdr import compressed, mu_l1_loss
from model.radiance import triangle_weights

__all__ = ["STRUCTURE_MOST", "agreement", "color_stage_loss", "structure_stage_losses"]

STRUCTURE_MOST = 5 / 255
"""Colour label and reference agree where they differ by less, after the mu-law."""
_COLOR_MOST = 10 / 255


def agreement(
    one: torch.Tensor,
    two: torch.Tensor,
    *,
    most: float,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Where two radiances agree, (B, 1, H, W), 1 or 0, without gradients: the mean absolute
    difference of the channels after the mu-law is less than ``most``.

    Args:
        one: (B, 3, H, W).
        two: (B, 3, H, W).
        most: See above.
        weights: Of the difference, broadcast.
    """
    difference = (compressed(one) - compressed(two)).detach().abs()
    if weights is not None:
        difference = difference * weights
    return (difference.mean(1, keepdim=True) < most).to(one.dtype)


def structure_stage_losses(
    radiance: torch.Tensor,
    color: torch.Tensor,
    reference: torch.Tensor,
    reference_display: torch.Tensor,
    valid: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """First stage: mu-law L1 to the colour label where it agrees with the reference, and to the
    reference where it is well exposed. The paper's loss is the first plus four times the second.

    Args:
        radiance: What the network made.
        color: The colour label.
        reference: What the reference frame shows of the radiance.
        reference_display: That frame, display-referred.
        valid: (B, 1, H, W) in 0..1: where the colour label holds; None: everywhere.
    """
    trusted = triangle_weights(reference_display)
    agreed = agreement(color, reference, most=STRUCTURE_MOST, weights=trusted)
    return (
        mu_l1_loss(radiance, color, _both(agreed, valid)),
        mu_l1_loss(radiance, reference, trusted),
    )


def color_stage_loss(
    radiance: torch.Tensor,
    color: torch.Tensor,
    structure: torch.Tensor,
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Second stage, its colour part: mu-law L1 to the colour label where the structure label agrees
    with it. The structure part compares features, :mod:`model.losses.perceptual`.

    Args:
        radiance: What the network made.
        color: The colour label.
        structure: The structure label.
        valid: As in :func:`structure_stage_losses`.
    """
    agreed = agreement(color, structure, most=_COLOR_MOST)
    return mu_l1_loss(radiance, color, _both(agreed, valid))


def _both(agreed: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    return agreed if valid is None else agreed * valid
