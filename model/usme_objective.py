# SPDX-License-Identifier: Apache-2.0
"""Training of USME-HDR: one frame in, pseudo-labels and the other frames of its bracket to learn
from. A batch is that of :mod:`model.hdr_objectives`, of three frames with ``aligned`` ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.contact_sheet import contact_sheet, lightness
from model.hdr_network import HdrNetwork, Reconstruction, VirtualExposures
from model.hdr_objectives import SelfHdrObjective, fidelity
from model.hdr_views import HdrTerms
from model.losses.hdr import compressed
from model.objective import Batch
from model.usme import Usme, blend_virtual, curved, gained

__all__ = ["LOSS", "UsmeObjective"]

LOSS = "usme"
"""Name of the loss in a recipe."""

_FRAMES = 3  # the middle one is looked at, the others are learned from
_SHEET_ROWS = 4
_LEAST_ERROR = 1e-6  # figures end at 60 dB, about what 8 bits can tell


class UsmeObjective(SelfHdrObjective):
    """Training against pseudo-labels and real exposures.

    Figures: those of :class:`SelfHdrObjective`; ``psnr_color`` (the headline) in dB, of radiance
    against the pseudo-label after the mu-law, where that holds: the loss itself, as a mean of
    decibels, is led by patches that are easy; ``psnr_low`` and ``psnr_high`` in dB, of virtual
    exposures against the real ones laid on the reference, display-referred, where they could be
    laid on it, and ``..._gain`` of the frame with so much less or more light. Where a batch knows
    the truth: ``psnr_mu_middle`` of the frame alone, ``psnr_mu_curve`` of virtual exposures that a
    power makes, blended alike.

    Args:
        network: The network, one of :mod:`model.usme`.
        terms: What its results have to minimise.

    Raises:
        ValueError: It is another network.
    """

    headline = "psnr_color"

    def __init__(self, network: HdrNetwork, terms: HdrTerms) -> None:
        if not isinstance(network, Usme):
            raise ValueError(
                f"{network.name} makes no virtual exposures, which the loss usme compares; take "
                "usme or usme3, or another loss"
            )
        super().__init__(network, terms)

    @property
    def frames(self) -> tuple[int, int | None]:
        return _FRAMES, _FRAMES

    @torch.no_grad()
    def picture(self, batch: Batch) -> torch.Tensor:
        """A row for each of the first patches: the real darker exposure and the virtual one, the
        frame, the virtual brighter one and the real one, the pseudo-label and the result, both
        after the mu-law, and how far they are apart, as a lightness, ten times as large."""
        few = {name: value[:_SHEET_ROWS] for name, value in batch.items()}
        made, views = self._trained.look(few)
        low, high = _told(made)
        aligned = few["aligned"]
        ours, wanted = compressed(made.radiance), compressed(views.labels["color"])
        apart = (ours - wanted).abs().amax(1, keepdim=True).mul(10).clamp(0, 1)
        columns = (
            *(aligned[:, 0], low, views.reference_display, high, aligned[:, -1]),
            *(wanted, ours, lightness(apart)),
        )
        return contact_sheet(list(zip(*columns, strict=True)))

    def _told(self, batch: Batch, found: Sequence[Reconstruction]) -> dict[str, torch.Tensor]:
        trained = self._trained
        views, reference = trained.views(batch), trained.reference_of(batch)
        frame, aligned = views.reference_display, batch["aligned"]
        network = trained.hdr
        assert isinstance(network, Usme)
        ratios = network.ratios(batch["times_s"], reference)
        exposures = [torch.cat(part).float() for part in zip(*map(_told, found), strict=True)]
        radiance = torch.cat([made.radiance for made in found])
        ours, wanted = compressed(radiance), compressed(views.labels["color"])
        figures = {"psnr_color": _psnr(ours, wanted, views.valid)}
        for name, place, exposure, ratio in zip(
            ("psnr_low", "psnr_high"), (0, -1), exposures, ratios, strict=True
        ):
            wanted = aligned[:, place]
            figures[name] = _psnr(exposure, wanted, views.valid)
            plain = gained(frame, ratio, network.response)
            figures[f"{name}_gain"] = _psnr(plain, wanted, views.valid)
        if "label" in views.labels:
            powers = VirtualExposures(*(curved(frame, ratio) for ratio in ratios))
            blended = blend_virtual(frame, powers, *ratios, network.response)
            for name, radiance in (("middle", views.reference), ("curve", blended)):
                of_truth = fidelity(radiance, views.labels["label"])
                figures[f"psnr_mu_{name}"] = of_truth["psnr_mu"]
        return figures


def _told(made: Reconstruction) -> VirtualExposures:
    assert made.exposures is not None
    return made.exposures


def _psnr(ours: torch.Tensor, wanted: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Of pictures (B, 3, P, P) in 0..1 where they count; (B,) in dB."""
    error = (ours - wanted).square()
    counts = torch.ones_like(error) if valid is None else valid.expand_as(error)
    mean = (error * counts).sum((1, 2, 3)) / counts.sum((1, 2, 3)).clamp(min=1)
    return -10 * mean.clamp(min=_LEAST_ERROR).log10()
