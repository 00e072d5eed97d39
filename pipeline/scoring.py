# SPDX-License-Identifier: Apache-2.0
"""Scores of a fused photograph, as the report wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.metrics import fidelity, mef_ssim, picture
from model.radiance import mu_law
from pipeline.bracket import Bracket, Pixels
from pipeline.errors import PhotoError
from pipeline.images.reading import Limits, read_photo
from pipeline.sharding.linear_labels import read_linear

__all__ = ["MAP_SIDE_PX", "Crop", "Scores", "cropped", "score_pixels"]

Crop = tuple[int, int, int, int]
"""top, left, height, width in pixels of the frames."""

_VARIANTS: tuple[mef_ssim.Variant, ...] = (
    "gray_ms3",
    "gray_scale1",
    "gray_scale2",
    "gray_scale3",
    "color_8x8_adaptive_lum",
    "color_8x8_patch_lum",
    "mefnet_y_lum",
    "mefnet_y_nolum",
)
MAP_SIDE_PX = 256
"""Long side of the map of MEF-SSIM that is kept for the report."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Report columns with the scores, and the MEF-SSIM map of the finest scale (-1..1)."""

    columns: dict[str, Any]
    quality_map: NDArray[np.float32] | None


def score_pixels(
    frames: Sequence[Pixels],
    result: Pixels,
    *,
    crop: Crop,
    bracket: Bracket | None = None,
    limits: Limits | None = None,
) -> Scores:
    """Score a fusion against its aligned stack, and against a reference where there is one.

    Both sides are rounded to 8 bits first. A reference that cannot be read or does not fit costs
    the reference scores and a note, never the bracket.

    Args:
        frames: K aligned frames, (H, W, 3) uint8 or uint16.
        result: the fusion as it will be encoded, (H, W, 3) uint8 or uint16.
        crop: what alignment kept of the frames; a reference is cropped alike.
        bracket: may name a reference picture.
        limits: caps for reading the reference.
    """
    result8 = mef_ssim.to_8bit(result)
    scored = mef_ssim.score(
        [mef_ssim.to_8bit(frame) for frame in frames],
        result8,
        _VARIANTS,
        map_side_px=MAP_SIDE_PX,
    )
    values: dict[str, float | None] = {str(name): one for name, one in scored.values.items()}
    facts = picture.picture_facts(result8)
    columns: dict[str, Any] = {
        "mef_ssim": values.pop("gray_ms3"),
        **values,
        "clipped_low_share": facts.clipped_low,
        "clipped_high_share": facts.clipped_high,
        "entropy_bits": facts.entropy_bits,
    }
    notes = list(dict.fromkeys(scored.notes.values()))
    if bracket is not None and bracket.label_uri is not None:
        columns |= {"reference_uri": bracket.label_uri, "reference_kind": bracket.label_kind}
        try:
            reference = _read_reference(bracket, limits or Limits())
            columns |= _against(cropped(reference, crop), result8)
        except PhotoError as error:
            notes.append(f"no reference scores: {error.message}")
    columns["score_note"] = "; ".join(notes) or None
    return Scores(columns=columns, quality_map=scored.quality_map)


def cropped(pixels: NDArray[Any], crop: Crop) -> NDArray[Any]:
    """What alignment kept of (H, W, 3) pixels."""
    top, left, height, width = crop
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _read_reference(bracket: Bracket, limits: Limits) -> NDArray[np.uint8]:
    """The reference as an 8-bit picture of the frames' size.

    Ground-truth radiance is scaled to a maximum of 1 and seen through the mu-law, the tone curve
    that HDR results are usually judged with.
    """
    assert bracket.label_uri is not None, "the caller has asked"
    if bracket.label_kind != "radiance":
        return mef_ssim.to_8bit(read_photo(bracket.label_uri, limits).pixels)
    linear, _ = read_linear(bracket.label_uri, limits)
    peak = float(linear.max())
    scaled = torch.from_numpy(linear).div(peak if peak > 0 else 1.0).clamp_(0.0, 1.0)
    return mu_law(scaled).mul_(255.0).add_(0.5).floor_().to(torch.uint8).numpy()


def _against(reference: NDArray[np.uint8], result: NDArray[np.uint8]) -> dict[str, float | None]:
    if reference.shape != result.shape:
        raise PhotoError(
            "frames-differ-in-size",
            f"the reference is {reference.shape[1]} x {reference.shape[0]} px where the result is "
            f"{result.shape[1]} x {result.shape[0]}",
        )
    fit = fidelity.picture_fidelity(result, reference)
    return {"psnr_db": fit.psnr, "ssim": fit.ssim}
