# SPDX-License-Identifier: Apache-2.0
"""Scores of a radiance, as the report wants them.

HDR-VDP-2 is not among them: there is none but MATLAB's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.hdr_network import middle
from model.metrics import brisque, fidelity, mef_ssim, picture, piqe
from model.metrics.strips import Rgb8
from pipeline.bracket import Bracket, Pixels, Stack
from pipeline.errors import PhotoError
from pipeline.ghosts import ghost_share
from pipeline.images.reading import Limits
from pipeline.light import Light
from pipeline.scoring import MAP_SIDE_PX, Crop, Scores, cropped
from pipeline.sharding.linear_labels import read_label

__all__ = ["against_truth", "score_radiance"]

Array = NDArray[np.float32]


def score_radiance(
    radiance: Array,
    shown: Pixels,
    aligned: Stack,
    *,
    light: Light,
    bracket: Bracket,
    read: Stack,
    crop: Crop,
    limits: Limits,
) -> Scores:
    """Score a radiance and its tone-mapped picture.

    A reference that cannot be read or does not fit costs its scores and a note, never the bracket.

    Args:
        radiance: (3, H, W) as it is stored; 1 is what just saturates the reference frame.
        shown: its picture, (H, W, 3) uint8 or uint16.
        aligned: all frames as they were laid on the reference as a whole; or the reference alone,
            which MEF-SSIM cannot be had of.
        light: of the bracket.
        bracket: may name ground truth.
        read: the frames as they were read, which tell the scale of ground truth.
        crop: what alignment kept of the frames.
        limits: caps for reading.
    """
    shown8 = mef_ssim.to_8bit(shown)
    facts = picture.picture_facts(shown8)
    alone = aligned.count == 1
    ghosts = ghost_share(radiance, aligned.frames[0 if alone else light.reference])
    if alone:
        mef, quality_map = None, None
        notes = ["no MEF-SSIM: one frame was looked at"]
        unaided = _unaided(shown8)
    else:
        scored = mef_ssim.score(
            [mef_ssim.to_8bit(frame) for frame in aligned.frames],
            shown8,
            ("gray_ms3",),
            map_side_px=MAP_SIDE_PX,
        )
        mef, quality_map = scored.values["gray_ms3"], scored.quality_map
        unaided = {}
        notes = list(dict.fromkeys(scored.notes.values()))
    if ghosts is None:
        notes.append("no ghost measure: the reference frame exposes hardly a pixel well")
    columns: dict[str, Any] = {
        "mef_ssim_preview": mef,
        "clipped_low_share": facts.clipped_low,
        "clipped_high_share": facts.clipped_high,
        "entropy_bits": facts.entropy_bits,
        **unaided,
        "ghost_share": ghosts,
    }
    if bracket.label_uri is not None:
        columns |= {"reference_uri": bracket.label_uri, "reference_kind": bracket.label_kind}
        try:
            truth, more = _truth(bracket, read, light, limits)
            columns |= against_truth(radiance, cropped(truth, crop), light)
            notes += more
        except PhotoError as error:
            notes.append(f"no reference scores: {error.message}")
    columns["score_note"] = "; ".join(notes) or None
    return Scores(columns=columns, quality_map=quality_map)


def _unaided(shown: Rgb8) -> dict[str, Any]:
    """Scores that need nothing to compare with; none of a picture too small for them."""
    if min(shown.shape[:2]) < max(piqe.LEAST_PX, brisque.LEAST_PX):
        return {}
    return {"piqe": piqe.piqe(shown), "brisque": brisque.brisque(shown)}


def against_truth(radiance: Array, truth: Array, light: Light) -> dict[str, float | None]:
    """The report's figures of a radiance (3, H, W) against ground truth (H, W, 3).

    Both in the reference's scale; they are divided by the light that just saturates the darkest
    frame, and the truth is clipped there, since no frame shows more: labels of data sets end at 1.

    Raises:
        PhotoError: ``frames-differ-in-size``.
    """
    pixels = np.ascontiguousarray(radiance.transpose(1, 2, 0))
    if truth.shape != pixels.shape:
        raise PhotoError(
            "frames-differ-in-size",
            f"the reference is {truth.shape[1]} x {truth.shape[0]} px where the result is "
            f"{pixels.shape[1]} x {pixels.shape[0]}",
        )
    most = np.float32(1 / min(light.ratios))
    fit = fidelity.radiance_fidelity(
        np.asarray(np.maximum(pixels, 0) / most, np.float32),
        np.asarray(np.clip(truth / most, 0, 1), np.float32),
    )
    return {
        "psnr_mu_db": fit.psnr_mu,
        "psnr_l_db": fit.psnr_l,
        "ssim_mu": fit.ssim_mu,
        "ssim_l": fit.ssim_l,
    }


def _truth(bracket: Bracket, read: Stack, light: Light, limits: Limits) -> tuple[Array, list[str]]:
    """Ground truth in the reference's scale, and notes.

    Raises:
        PhotoError: it cannot be read, is no linear light, or shows another moment.
    """
    if bracket.label_kind != "radiance":
        raise PhotoError(
            "color-unsupported",
            f"{bracket.label_uri} is a display-referred picture, which says nothing of light",
        )
    if light.reference != light.order[middle(read.count)]:
        raise PhotoError(
            "radiance-unusable",
            f"{bracket.label_uri} shows the moment of the middle frame, not of the one asked for",
        )
    truth, notes = read_label(bracket, read, limits)
    return truth, notes
