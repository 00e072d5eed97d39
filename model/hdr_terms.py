# SPDX-License-Identifier: Apache-2.0
"""What the reconstruction of radiance can be asked to minimise: the losses of :mod:`model.losses`
by name, as modules that a recipe can describe.

==================  ===============================================================================
mu_l1               L1 to the ground truth after the mu-law; FFT, photometric and perceptual terms
selfhdr_structure   SelfHDR's first stage, without ground truth
selfhdr_color       its second stage, which needs the first one's results
usme                USME-HDR: virtual exposures against real ones, radiance against pseudo-labels
==================  ===============================================================================

The published recipes: AFUNet is ``mu_l1`` with ``fft = 0.005``, FlexHDR is ``mu_l1`` with
``photometric = 1`` and ``perceptual = 1e-3``, AHDRNet is plain ``mu_l1``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from model.fusion_terms import Terms
from model.hdr_network import Reconstruction
from model.hdr_views import AlignedMaps, HdrTerms, HdrViews, vgg_of
from model.losses.hdr import fft_l1_loss, mu_l1_loss, mu_psnr_loss, photometric_loss
from model.losses.perceptual import LEAST_PX
from model.losses.selfhdr import color_stage_loss, structure_stage_losses
from model.named import build_named
from model.option_checks import amount, choice
from model.usme_terms import UsmeTerms

__all__ = ["LOSSES", "HdrTerms", "HdrViews", "build_hdr_terms"]


class MuL1Terms(HdrTerms):
    """L1 to the ground truth after the mu-law.

    Args:
        psnr: Ours: how much PSNR-mu itself counts, :func:`model.losses.hdr.mu_psnr_loss`.
        fft: How much the L1 of the spectra counts, :func:`model.losses.hdr.fft_l1_loss`.
        photometric: How much it counts that frames were laid on the reference well,
            :func:`model.losses.hdr.photometric_loss`; for a network that aligns.
        aligned: What has to fit: the network's features, as published, or what the frames show
            of the radiance.
        perceptual: How much :class:`model.losses.perceptual.VggLoss` counts.
        vgg_weights: Its file.
    """

    needs = ("label",)
    target = "label"
    supervised = True

    def __init__(
        self,
        fft: float = 0.0,
        photometric: float = 0.0,
        aligned: str = "features",
        perceptual: float = 0.0,
        vgg_weights: str = "",
        psnr: float = 0.0,
    ) -> None:
        super().__init__()
        self.psnr = amount("psnr", psnr)
        self.fft = amount("fft", fft)
        self.photometric = amount("photometric", photometric)
        kind = choice("aligned", aligned, ("features", "radiance"))
        if self.photometric:
            self.alignment = cast(AlignedMaps, kind)
        self.perceptual = amount("perceptual", perceptual)
        self.vgg = vgg_of(self.perceptual, vgg_weights)
        if self.vgg is not None:
            self.least_px = LEAST_PX

    def forward(self, made: Reconstruction, views: HdrViews) -> Terms:
        label = views.labels["label"]
        terms: Terms = {"mu_l1": (1.0, mu_l1_loss(made.radiance, label))}
        if self.psnr:
            terms["psnr"] = (self.psnr, mu_psnr_loss(made.radiance, label))
        if self.fft:
            terms["fft"] = (self.fft, fft_l1_loss(made.radiance, label))
        if made.alignment is not None:
            terms["photometric"] = (self.photometric, photometric_loss(made.alignment))
        if self.vgg is not None:
            terms["perceptual"] = (self.perceptual, self.vgg(made.radiance, label))
        return terms


class SelfHdrStructureTerms(HdrTerms):
    """SelfHDR's first stage, :func:`model.losses.selfhdr.structure_stage_losses`.

    Args:
        reference: How much the likeness to the reference counts.
    """

    needs = ("color",)
    target = "color"
    supervised = False

    def __init__(self, reference: float = 4.0) -> None:
        super().__init__()
        self.reference = amount("reference", reference)

    def forward(self, made: Reconstruction, views: HdrViews) -> Terms:
        color, reference = structure_stage_losses(
            made.radiance,
            views.labels["color"],
            views.reference,
            views.reference_display,
            views.valid,
        )
        return {"color": (1.0, color), "reference": (self.reference, reference)}


class SelfHdrColorTerms(HdrTerms):
    """SelfHDR's second stage, :func:`model.losses.selfhdr.color_stage_loss`, and one of two terms
    that bring in the structure label.

    Args:
        perceptual: How much VGG's features count, 1 as published; needs ``vgg_weights``.
        vgg_weights: Their file.
        structure: Ours, where there are no such weights: how much the mu-law L1 to the structure
            label counts.
        noise_255ths: Noise on the reference frame, in 8-bit steps, so that its own is not copied.

    Raises:
        ValueError: Nothing brings in the structure, or an option is impossible.
    """

    needs = ("color", "structure")
    target = "color"
    supervised = False

    def __init__(
        self,
        perceptual: float = 0.0,
        vgg_weights: str = "",
        structure: float = 1.0,
        noise_255ths: float = 0.5,
    ) -> None:
        super().__init__()
        self.perceptual = amount("perceptual", perceptual)
        self.structure = amount("structure", structure)
        self.noise = amount("noise_255ths", noise_255ths) / 255
        if not self.perceptual and not self.structure:
            raise ValueError("one of perceptual and structure must be above 0, or ghosts stay")
        self.vgg = vgg_of(self.perceptual, vgg_weights)
        if self.vgg is not None:
            self.least_px = LEAST_PX

    def forward(self, made: Reconstruction, views: HdrViews) -> Terms:
        color, structure = views.labels["color"], views.labels["structure"]
        loss = color_stage_loss(made.radiance, color, structure, views.valid)
        terms: Terms = {"color": (1.0, loss)}
        if self.structure:
            terms["structure"] = (self.structure, mu_l1_loss(made.radiance, structure))
        if self.vgg is not None:
            terms["perceptual"] = (self.perceptual, self.vgg(made.radiance, structure))
        return terms


LOSSES: dict[str, type[HdrTerms]] = {
    "mu_l1": MuL1Terms,
    "selfhdr_structure": SelfHdrStructureTerms,
    "selfhdr_color": SelfHdrColorTerms,
    "usme": UsmeTerms,
}
"""Name in a recipe -> the loss; its keyword arguments are the recipe's other keys."""


def build_hdr_terms(name: str, options: Mapping[str, Any]) -> HdrTerms:
    """A loss of :data:`LOSSES`.

    Raises:
        ValueError: There is no such loss or option, or an option has an impossible value.
    """
    return build_named("loss of radiance", LOSSES, name, options)
