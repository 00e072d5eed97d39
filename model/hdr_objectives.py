# SPDX-License-Identifier: Apache-2.0
"""Training of networks that make radiance, with ground truth (:class:`HdrObjective`) and without
(:class:`SelfHdrObjective`).

A batch holds, besides ``frames`` (B, n, 3, P, P):

=============  ====================================================================================
times_s        (B, n) exposure times in s, or any measure of the light taken in
reference      (B,) index of the reference frame, the same for all; absent: the middle one
label          (B, 3, P, P) ground truth, linear
color          (B, 3, P, P) pseudo-label, linear: the blend of aligned frames
structure      (B, 3, P, P) pseudo-label, linear: what a first stage made of the aligned frames
mask           (B, m, P, P) in 0..1: where each of m parts of ``color`` holds
aligned        (B, n, 3, P, P) the frames laid on the reference, display-referred sRGB in 0..1
=============  ====================================================================================

Radiances stand in the scale of the reference, 1 is what just saturates it. Losses and figures are
those of the published recipes, whose labels end at 1: they divide by the radiance that saturates
the shortest exposure, and clip labels there, since no frame tells what is brighter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from model.contact_sheet import contact_sheet, lightness
from model.fusion_terms import Terms
from model.hdr_network import HdrNetwork, Reconstruction, brightest, shown
from model.hdr_terms import HdrTerms, HdrViews, build_hdr_terms
from model.losses.hdr import compressed
from model.measures import HdrMeasures, Measures, fidelity
from model.objective import Batch, Step, inner, shipped, weighed
from model.ssim import SSIM_WINDOW

__all__ = ["HdrObjective", "SelfHdrObjective", "build_hdr_objective", "fidelity"]

_SHEET_ROWS = 4
_LABELS = ("label", "color", "structure")
_LEAST_LOSS = 1e-6  # fit ends at 120 dB


class HdrObjective:
    """Training against ground truth (``label``).

    Figures: ``psnr_mu`` (the headline) and ``psnr_l`` in dB, ``ssim_mu`` and ``ssim_l`` up to 1,
    after the mu-law and linear, see :mod:`model.metrics.fidelity`.

    Args:
        network: The network.
        terms: What its radiances have to minimise.

    Raises:
        ValueError: The loss asks for an alignment that the network does not have.
    """

    headline = "psnr_mu"

    def __init__(self, network: HdrNetwork, terms: HdrTerms) -> None:
        if terms.alignment is not None and not network.aligns:
            raise ValueError(
                f"{network.name} as asked for lays no frames on the reference; leave the "
                "photometric term out (photometric = 0), or take flexhdr with its flow"
            )
        self.network: nn.Module = _Trained(network, terms)
        self.least_px = max(terms.least_px, SSIM_WINDOW.size)

    @property
    def measures(self) -> Measures:
        return HdrMeasures()

    @property
    def frames(self) -> tuple[int, int | None]:
        network = self._trained.hdr
        return network.min_frames, network.max_frames

    @property
    def needs(self) -> tuple[str, ...]:
        trained = self._trained
        followed = ("aligned",) if trained.hdr.follows else ()
        return tuple(dict.fromkeys(("times_s", *trained.terms.needs, *followed)))

    def step(self, batch: Batch) -> Step:
        """The weighted sum of the loss's terms; ``parts`` holds each of them unweighted."""
        _check(batch, self._trained.terms.needs)
        _, terms = self.network(self._noisy(batch))
        return weighed(terms)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, torch.Tensor]:
        _check(batch, ("label",))
        made, views = self._trained.look(batch)
        return fidelity(made.radiance, views.labels["label"])

    @torch.no_grad()
    def picture(self, batch: Batch) -> torch.Tensor:
        """A row for each of the first patches: its frames, what was to be made and what was, both
        after the mu-law, and how far they are apart, as a lightness, ten times as large."""
        few = {name: value[:_SHEET_ROWS] for name, value in batch.items()}
        trained = self._trained
        target = trained.terms.target
        _check(few, (target,))
        made, views = trained.look(few)
        ours, wanted = compressed(made.radiance), compressed(views.labels[target])
        apart = (ours - wanted).abs().amax(1, keepdim=True).mul(10).clamp(0, 1)
        return contact_sheet(
            [
                [*frames, label, own, lightness(error)]
                for frames, label, own, error in zip(
                    few["frames"], wanted, ours, apart, strict=True
                )
            ]
        )

    def export(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return shipped(self._trained.hdr)

    def _noisy(self, batch: Batch) -> Batch:
        """With noise on the reference frame, where the loss wants some."""
        noise = self._trained.terms.noise
        if not noise:
            return batch
        frames = batch["frames"].clone()
        reference = self._trained.reference_of(batch)
        frames[:, reference] += noise * torch.randn_like(frames[:, reference])
        # Labels were made without it, but which places to trust may well be judged with it.
        return {**batch, "frames": frames.clamp_(0, 1)}

    @property
    def _trained(self) -> _Trained:
        return inner(self.network, _Trained)


class SelfHdrObjective(HdrObjective):
    """Training against pseudo-labels, one of SelfHDR's two stages.

    Figures: ``fit`` (the headline), the loss as ``-20 log10``, in dB: ground truth has no say in
    which weights are best. Where a batch has some (``label``), the figures of
    :class:`HdrObjective` as well.
    """

    headline = "fit"

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, torch.Tensor]:
        trained = self._trained
        _check(batch, trained.terms.needs)
        losses = []
        found = []
        for index in range(len(batch["frames"])):
            one = {name: value[index : index + 1] for name, value in batch.items()}
            made, terms = trained(one)
            losses.append(weighed(terms).loss)
            found.append(made)
        figures = {"fit": -20 * torch.stack(losses).clamp(min=_LEAST_LOSS).log10()}
        if "label" in batch:
            radiance = torch.cat([made.radiance for made in found])
            figures |= fidelity(radiance, trained.views(batch).labels["label"])
        return figures | self._told(batch, found)

    def _told(self, batch: Batch, found: Sequence[Reconstruction]) -> dict[str, torch.Tensor]:
        """More figures of a batch, of what the network made of each of its patches."""
        return {}


class _Trained(nn.Module):
    """Network and loss in one module: data-parallel wrappers see every parameter, and every
    gradient comes out of one call."""

    def __init__(self, hdr: HdrNetwork, terms: HdrTerms) -> None:
        super().__init__()
        self.hdr = hdr
        self.terms = terms

    def forward(self, batch: Batch) -> tuple[Reconstruction, Terms]:
        made, views = self.look(batch)
        with torch.autocast(batch["frames"].device.type, enabled=False):
            terms: Terms = self.terms(made, views)
        return made, terms

    def look(self, batch: Batch) -> tuple[Reconstruction, HdrViews]:
        """What the network makes of a batch, and the batch as losses see it."""
        alignment = self.terms.alignment if self.training else None
        frames, times_s, reference = batch["frames"], batch["times_s"], self.reference_of(batch)
        aligned = batch.get("aligned")
        made = self.hdr.reconstruct(
            frames, times_s, reference, alignment=alignment, aligned=aligned
        )
        return made._replace(radiance=made.radiance.float()), self.views(batch)

    @torch.no_grad()
    def views(self, batch: Batch) -> HdrViews:
        """A batch as losses see it."""
        frames, times_s = batch["frames"], batch["times_s"]
        reference = self.reference_of(batch)
        most = brightest(times_s, reference)
        mask, aligned, response = batch.get("mask"), batch.get("aligned"), self.hdr.response
        return HdrViews(
            labels={name: (batch[name] / most).clamp(0, 1) for name in _LABELS if name in batch},
            reference=shown(frames, times_s, response)[:, reference],
            reference_display=frames[:, reference],
            valid=None if mask is None else mask.amin(1, keepdim=True),
            aligned=aligned,
            aligned_light=None if aligned is None else shown(aligned, times_s, response),
            response=response,
        )

    def reference_of(self, batch: Batch) -> int:
        """Index of the reference frame.

        Raises:
            ValueError: It is not the same for all.
        """
        asked = batch.get("reference")
        if asked is None:
            return self.hdr.reference_of(batch["frames"].shape[1], None)
        found = set(asked.tolist())
        if len(found) != 1:
            raise ValueError(f"all patches of a batch have one reference, not {sorted(found)}")
        return self.hdr.reference_of(batch["frames"].shape[1], int(found.pop()))


def build_hdr_objective(network: HdrNetwork, loss: str, options: Mapping[str, Any]) -> HdrObjective:
    """The objective of a network and a loss of :mod:`model.hdr_terms`.

    Raises:
        ValueError: There is no such loss or option, an option has an impossible value, or the two
            do not fit.
    """
    terms = build_hdr_terms(loss, options)
    return (HdrObjective if terms.supervised else SelfHdrObjective)(network, terms)


def _check(batch: Batch, labels: tuple[str, ...]) -> None:
    missing = [name for name in ("times_s", *labels) if name not in batch]
    if missing:
        raise ValueError(
            f"the patches have no {' and no '.join(missing)}; shard an archive that has them"
        )
