# SPDX-License-Identifier: Apache-2.0
"""What USME-HDR is asked to minimise."""

from __future__ import annotations

from typing import Literal

import torch

from model.fusion_terms import Terms
from model.hdr_network import Reconstruction
from model.hdr_views import HdrTerms, HdrViews, vgg_of
from model.losses.perceptual import LEAST_PX
from model.losses.selfhdr import structure_stage_losses
from model.losses.usme import exposure_aware_loss, exposure_loss
from model.option_checks import amount, choice
from model.radiance import linearise

__all__ = ["UsmeTerms"]


class UsmeTerms(HdrTerms):
    """USME-HDR's loss, equation 17 of its paper; each number says how much a term counts, 0 leaves
    it out. For a network that tells of virtual exposures.

    Args:
        low: Likeness of the darker exposure to the shortest frame.
        high: Likeness of the brighter one to the longest.
        preserve: Likeness to the reference where it is well exposed.
        expand: Likeness to the pseudo-label where it agrees with the reference.
        aware: The same wherever the reference is neither dark nor burnt out.
        perceptual: How much VGG's features of radiance and pseudo-label count, 1 as published;
            needs ``vgg_weights``.
        vgg_weights: Their file.
        compare: The mu-law of exposures as they are displayed, as it is printed (``display``), or
            of their light, as everywhere else (``light``).

    Raises:
        ValueError: Nothing counts, or an option is impossible.
    """

    needs = ("color", "aligned")
    target = "color"
    supervised = False

    def __init__(
        self,
        low: float = 2.0,
        high: float = 2.0,
        preserve: float = 4.0,
        expand: float = 1.0,
        aware: float = 1.0,
        perceptual: float = 0.0,
        vgg_weights: str = "",
        compare: str = "display",
    ) -> None:
        super().__init__()
        self.counts = {
            "low": amount("low", low),
            "high": amount("high", high),
            "preserve": amount("preserve", preserve),
            "expand": amount("expand", expand),
            "aware": amount("aware", aware),
            "perceptual": amount("perceptual", perceptual),
        }
        if not any(self.counts.values()):
            raise ValueError(
                "one of the loss's terms must be above 0, or there is nothing to learn"
            )
        self.compare = choice("compare", compare, ("display", "light"))
        self.vgg = vgg_of(self.counts["perceptual"], vgg_weights)
        if self.vgg is not None:
            self.least_px = LEAST_PX

    def forward(self, made: Reconstruction, views: HdrViews) -> Terms:
        color, display = views.labels["color"], views.reference_display
        expand, preserve = structure_stage_losses(
            made.radiance, color, views.reference, display, views.valid
        )
        found = {
            "low": self._exposure(made, views, 0),
            "high": self._exposure(made, views, -1),
            "preserve": preserve,
            "expand": expand,
            "aware": exposure_aware_loss(made.radiance, color, display, views.valid),
        }
        if self.vgg is not None:
            found["perceptual"] = self.vgg(made.radiance, color)
        return {name: (self.counts[name], found[name]) for name in found if self.counts[name]}

    def _exposure(
        self, made: Reconstruction, views: HdrViews, place: Literal[0, -1]
    ) -> torch.Tensor:
        """The loss of the darker (0) or the brighter (-1) exposure."""
        if made.exposures is None or views.aligned is None or views.aligned_light is None:
            raise ValueError("the loss usme needs virtual exposures, and frames that are aligned")
        ours, wanted = made.exposures[place].float(), views.aligned[:, place]
        if self.compare == "light":
            ours, wanted = (linearise(exposure, views.response) for exposure in (ours, wanted))
        return exposure_loss(
            ours,
            wanted,
            views.aligned_light[:, place],
            views.reference,
            views.reference_display,
            views.valid,
        )
