# SPDX-License-Identifier: Apache-2.0
"""What a trained network is judged by in studies: its figures, and the rivals that are measured in
the same way on the same patches.

Fusion networks have Mertens' fusion beside them (:class:`FusionMeasures`), networks that make
radiance the classical merge, of the frames as they lie and of the frames that optical flow laid on
the reference (:class:`HdrMeasures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.fusion_network import FusionNetwork
from model.fusion_scores import FusionScores
from model.hdr_inputs import brightest, first_guess
from model.hdr_network import HdrNetwork
from model.merge import merge
from model.metrics.fidelity import radiance_fidelity
from model.radiance import inverse_mu_law, middle

__all__ = [
    "Figure",
    "FusionMeasures",
    "HdrMeasures",
    "Measures",
    "Rival",
    "fidelity",
    "measures_of",
]


Tensors = dict[str, torch.Tensor]

_FIDELITY = ("psnr_mu", "psnr_l", "ssim_mu", "ssim_l")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: its column, how many digits are worth reading, and which way is better; None
    where neither is. ``in_curve`` is what the curve of a training calls it, "" if it does not."""

    name: str
    digits: int
    title: str
    better: Literal["higher"] | None = "higher"
    in_curve: str = ""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Something that needs no training. Its figures have columns ``<figure>_<name>``; that named
    ``zero`` is measured from it, and has none."""

    name: str
    title: str
    figures: tuple[str, ...]
    zero: str = ""


class Measures(Protocol):
    """Figures of networks of one kind. The first of ``figures`` is the headline; the last of
    ``rivals`` is the one to be beaten."""

    figures: tuple[Figure, ...]
    rivals: tuple[Rival, ...]
    about: str
    """What the figures are, for people."""

    def fields(self, network: FusionNetwork, *, aligned: bool) -> tuple[str, ...]:
        """What batches must hold besides frames; ``aligned``: frames laid on the reference are to
        be had."""
        ...

    def __call__(
        self, network: FusionNetwork, batch: Tensors, clean: Tensors
    ) -> dict[str, Tensors]:
        """Figures (B,) by what they are measured against, by column; a rival that cannot be had is
        left out.

        Args:
            network: on the device of the batches, in evaluation mode.
            batch: what is fused.
            clean: the same without noise; the same object where there is none.
        """
        ...


class FusionMeasures:
    """See :class:`model.fusion_scores.FusionScores`; against the clean frames, and against the
    noisy ones where there is noise."""

    figures: tuple[Figure, ...] = (
        Figure(name="gray_ms3", digits=4, title="gray_ms3", in_curve="gray_ms3"),
        Figure(
            name="color_8x8_adaptive_lum",
            digits=4,
            title="color_8x8_adaptive_lum",
            in_curve="color",
        ),
        Figure(name="chroma_shift", digits=2, title="chroma shift", better=None),
    )
    rivals: tuple[Rival, ...] = (
        Rival(
            name="mertens",
            title="Mertens",
            figures=("gray_ms3", "color_8x8_adaptive_lum"),
            zero="chroma_shift",
        ),
    )
    about = (
        "gray_ms3 and color_8x8_adaptive_lum are MEF-SSIM, grey and in colour, of "
        "the 8-bit fusion; chroma shift is the mean difference of Cb and Cr from Mertens' fusion, "
        "in levels of 255"
    )

    def __init__(self) -> None:
        self._scores = FusionScores()

    def fields(self, network: FusionNetwork, *, aligned: bool) -> tuple[str, ...]:
        return ()

    def __call__(
        self, network: FusionNetwork, batch: Tensors, clean: Tensors
    ) -> dict[str, Tensors]:
        inputs = batch["frames"]
        fused = network(inputs).fused.float()
        if batch is clean:
            return {"clean": _columns(self._scores(fused, inputs))}
        return {
            "clean": _columns(self._scores(fused, clean["frames"], inputs)),
            "noisy": _columns(self._scores(fused, inputs)),
        }


def _columns(scores: Tensors) -> Tensors:
    """The scores by their columns."""
    return {
        name.replace("color", "color_8x8_adaptive_lum", 1): values
        for name, values in scores.items()
    }


class HdrMeasures:
    """See :func:`fidelity`; against the truth."""

    figures: tuple[Figure, ...] = (
        Figure(name="psnr_mu_db", digits=2, title="PSNR-mu, dB", in_curve="psnr_mu"),
        Figure(name="psnr_l_db", digits=2, title="PSNR-L, dB", in_curve="psnr_l"),
        Figure(name="ssim_mu", digits=4, title="SSIM-mu"),
        Figure(name="ssim_l", digits=4, title="SSIM-L"),
    )
    rivals: tuple[Rival, ...] = (
        Rival(name="merge", title="plain merge", figures=tuple(f.name for f in figures)),
        Rival(name="guess", title="first guess", figures=tuple(f.name for f in figures)),
        Rival(name="flow", title="flow-aligned merge", figures=tuple(f.name for f in figures)),
    )
    about = (
        "PSNR and SSIM of the radiance against the truth, in the scale of the shortest exposure, "
        "after the mu-law (mu) and linear (L); both merges weigh frames by triangles, the second "
        "one after optical flow laid them on the reference; the first guess is that merge, mended "
        "where the reference is burnt out, which networks with start = followed begin with"
    )

    def fields(self, network: FusionNetwork, *, aligned: bool) -> tuple[str, ...]:
        follows = isinstance(network, HdrNetwork) and network.follows
        return ("times_s", "label", *(("aligned",) if aligned or follows else ()))

    def __call__(
        self, network: FusionNetwork, batch: Tensors, clean: Tensors
    ) -> dict[str, Tensors]:
        if not isinstance(network, HdrNetwork):
            raise TypeError(f"{network.name} makes no radiance")
        frames, times_s, aligned = batch["frames"], batch["times_s"], batch.get("aligned")
        reference = middle(frames.shape[1])
        given = {"aligned": aligned} if network.follows else {}
        results = {"": network(frames, times_s, reference, **given).float()}
        results["_merge"] = _merged(frames, times_s, reference, network)
        if aligned is not None:
            guess = first_guess(frames, aligned, times_s, reference, network.response)
            results["_guess"] = inverse_mu_law(guess) * brightest(times_s, reference)
            results["_flow"] = _merged(aligned, times_s, reference, network)
        most = brightest(times_s, reference)
        truth = (batch["label"] / most).clamp(0, 1)
        found: Tensors = {}
        for suffix, radiance in results.items():
            values = fidelity(radiance / most, truth)
            decibels = {"psnr_mu": "psnr_mu_db", "psnr_l": "psnr_l_db"}
            found |= {decibels.get(name, name) + suffix: of for name, of in values.items()}
        return {"truth": found}


def _merged(
    frames: torch.Tensor, times_s: torch.Tensor, reference: int, network: HdrNetwork
) -> torch.Tensor:
    """The triangle merge of each stack of a batch, in the reference's scale."""
    times: Sequence[Sequence[float]] = times_s.tolist()
    return torch.stack(
        [merge(f, t, reference, network.response) for f, t in zip(frames, times, strict=True)]
    )


def fidelity(radiance: torch.Tensor, label: torch.Tensor) -> Tensors:
    """Figures (B,) of radiances (B, 3, P, P) in 0..1: ``psnr_mu`` and ``psnr_l`` in dB, ``ssim_mu``
    and ``ssim_l`` up to 1, after the mu-law and linear, see :mod:`model.metrics.fidelity`."""
    found = [
        radiance_fidelity(_pixels(ours), _pixels(truth))
        for ours, truth in zip(radiance, label, strict=True)
    ]
    return {
        name: torch.tensor([getattr(one, name) for one in found], dtype=torch.float32)
        for name in _FIDELITY
    }


def _pixels(radiance: torch.Tensor) -> NDArray[np.float32]:
    """(H, W, 3) of (3, H, W)."""
    return radiance.detach().permute(1, 2, 0).float().cpu().numpy()


def measures_of(network: FusionNetwork) -> Measures:
    """What a network is judged by."""
    return HdrMeasures() if isinstance(network, HdrNetwork) else FusionMeasures()
