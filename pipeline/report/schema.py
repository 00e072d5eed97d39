# SPDX-License-Identifier: Apache-2.0
"""The report's one row type: a column each, with its unit and meaning.

A row is a plain dictionary made by :func:`make_row`, so that a misspelt column is an error where
it is written. Columns are only ever added; names other tools read are never changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

__all__ = [
    "COLUMNS",
    "HIDDEN_FATES",
    "SCHEMA",
    "SCHEMA_VERSION",
    "Column",
    "Fate",
    "Row",
    "Status",
    "make_row",
    "to_table",
]

SCHEMA_VERSION = 1

Row = dict[str, Any]
"""One row of the report: every column of :data:`COLUMNS`, None where it does not apply."""

Status = Literal["fused", "skipped", "quarantined"]

Fate = Literal["source_gone", "superseded", "pruned"]
"""What became of a bracket later on."""

HIDDEN_FATES: tuple[Fate, ...] = ("superseded", "pruned")
"""Rows of these fates are no part of the report as it is read."""

_STRINGS = pa.list_(pa.string())
_DOUBLES = pa.list_(pa.float64())


@dataclass(frozen=True)
class Column:
    """A column: its name, Arrow type, unit (empty where it has none) and meaning."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


COLUMNS: tuple[Column, ...] = (
    # What and when
    Column("run_id", pa.string(), "", "the run that wrote the row; also the partition"),
    Column("bracket_id", pa.string(), "", "hash of the frames' sorted paths"),
    Column("key", pa.string(), "", "hash of inputs, settings, weights and algorithm version"),
    Column(
        "timeless_key",
        pa.string(),
        "",
        "the same without the files' times: what a copy of the archive has in common with it",
    ),
    Column("kind", pa.string(), "", "bracket or single"),
    Column("status", pa.string(), "", "fused, skipped or quarantined"),
    Column("error_code", pa.string(), "", "stable code of why there is no result"),
    Column("error_message", pa.string(), "", "what happened and what to do"),
    Column("error_stage", pa.string(), "", "scan, compare, read, align, fuse, score or write"),
    Column(
        "fate",
        pa.string(),
        "",
        "what became of the bracket later: source_gone (its photographs went, the result stays), "
        "superseded (by a bracket with more or fewer of its frames) or pruned; null for none",
    ),
    Column("superseded_by", pa.string(), "", "id of the bracket that took its place"),
    Column("finished_at", pa.timestamp("us", tz="UTC"), "", "when the row was made"),
    Column("worker", pa.string(), "", "who made it"),
    # Frames, dark to bright
    Column("source", pa.string(), "", "root of the archive"),
    Column("layout", pa.string(), "", "the layout that found the bracket"),
    Column("reason", pa.string(), "", "why the frames belong together"),
    Column("confidence", pa.float64(), "0..1", "how sure that is"),
    Column("notes", _STRINGS, "", "remarks of scan, alignment, fusing and scoring"),
    Column("frame_count", pa.int32(), "", "K"),
    Column("frame_uris", _STRINGS, "", "the frames"),
    Column("frame_paths", _STRINGS, "", "the frames relative to the source"),
    Column("frame_sha256s", _STRINGS, "", "hash of each frame's bytes as they were read"),
    Column("exposure_times_s", _DOUBLES, "s", "exposure times, null where unknown"),
    Column("evs", _DOUBLES, "stops", "light taken in, brighter is larger, null where unknown"),
    Column("camera", pa.string(), "", "camera body"),
    Column("captured_s", pa.float64(), "s", "first capture time, seconds since 1970, camera clock"),
    Column("source_bits", pa.int32(), "bit", "bits per channel of the frames"),
    Column("source_width", pa.int32(), "px", "upright width of the frames"),
    Column("source_height", pa.int32(), "px", "upright height of the frames"),
    # Alignment
    Column("align_method", pa.string(), "", "none, translation, euclidean, affine or homography"),
    Column("align_shift_px", pa.float64(), "px", "largest displacement found before alignment"),
    Column("align_residual_px", pa.float64(), "px", "largest displacement left after it"),
    Column(
        "align_transforms",
        pa.list_(_DOUBLES),
        "px",
        "a 3x3 matrix a frame, row by row, from reference to frame coordinates",
    ),
    Column("crop_px", pa.list_(pa.int32()), "px", "top, left, height, width kept of the frames"),
    # How it was made
    Column("model", pa.string(), "", "name in the zoo, or of own weights"),
    Column("model_reason", pa.string(), "", "why it was this one, where --model auto chose"),
    Column("reference_frame", pa.int32(), "", "whose moment a radiance shows: from 1, dark first"),
    Column("light_ratios", _DOUBLES, "", "light that each frame took in, over the reference's"),
    Column("light_estimated", pa.bool_(), "", "whether these were told from the pixels"),
    Column(
        "virtual_ev",
        pa.float64(),
        "stops",
        "a radiance was made of the reference frame alone, with virtual exposures that a network "
        "invented, so many stops darker and brighter; null where all exposures are real",
    ),
    Column("followed_share", pa.float64(), "0..1", "share of pixels that optical flow followed"),
    Column("weights_sha256", pa.string(), "", "hash of the weights file, null without weights"),
    Column("settings_sha256", pa.string(), "", "hash of the settings"),
    Column("algorithm_version", pa.int32(), "", "raised by hand when results change"),
    Column("device", pa.string(), "", "cpu or cuda"),
    # The result
    Column("result_uri", pa.string(), "", "the fused photograph"),
    Column("result_path", pa.string(), "", "the same relative to the destination"),
    Column("result_sha256", pa.string(), "", "hash of its bytes"),
    Column("result_bytes", pa.int64(), "B", "its size"),
    Column("result_format", pa.string(), "", "jpeg, png, tiff, avif or exr"),
    Column("result_bits", pa.int32(), "bit", "bits per channel"),
    Column("display_uri", pa.string(), "", "the tone-mapped picture beside a radiance"),
    Column("display_path", pa.string(), "", "the same relative to the destination"),
    Column("display_sha256", pa.string(), "", "hash of its bytes"),
    Column("display_bytes", pa.int64(), "B", "its size"),
    Column("display_format", pa.string(), "", "jpeg, png, tiff or avif"),
    Column("display_bits", pa.int32(), "bit", "bits per channel"),
    Column("width", pa.int32(), "px", "its width"),
    Column("height", pa.int32(), "px", "its height"),
    Column("preview_uri", pa.string(), "", "a small JPEG of the result"),
    Column("map_uri", pa.string(), "", "the MEF-SSIM map of the finest scale, reduced, as PNG"),
    Column(
        "strip_uri",
        pa.string(),
        "",
        "the aligned frames below each other in one JPEG, each as small as the preview; of more "
        "than 16 frames 16, evenly spread",
    ),
    Column(
        "weights_uri",
        pa.string(),
        "",
        "likewise how much each frame counts, worked out at 256 px, lighter is more; black where "
        "the model was not given the frame",
    ),
    # Scores of the 8-bit-rounded result, before encoding, against the whole aligned 8-bit stack,
    # also where the model was given some frames of it only (notes say so)
    Column(
        "mef_ssim",
        pa.float64(),
        "",
        "headline: MEF-SSIM gray_ms3 against all frames; null for radiance",
    ),
    Column("mef_ssim_preview", pa.float64(), "", "the same of a radiance's tone-mapped picture"),
    Column("gray_scale1", pa.float64(), "", "MEF-SSIM of the finest scale"),
    Column("gray_scale2", pa.float64(), "", "MEF-SSIM at half size"),
    Column("gray_scale3", pa.float64(), "", "MEF-SSIM at quarter size"),
    Column("color_8x8_adaptive_lum", pa.float64(), "", "MEF-SSIMc, adaptive luminance"),
    Column("color_8x8_patch_lum", pa.float64(), "", "MEF-SSIMc, luminance of the chosen patch"),
    Column("mefnet_y_lum", pa.float64(), "", "single-scale training variant with luminance"),
    Column("mefnet_y_nolum", pa.float64(), "", "single-scale training variant without"),
    Column("score_note", pa.string(), "", "why a score is null"),
    Column("clipped_low_share", pa.float64(), "0..1", "share of pixels crushed to black"),
    Column("clipped_high_share", pa.float64(), "0..1", "share of pixels burnt to white"),
    Column("entropy_bits", pa.float64(), "bit", "Shannon entropy of the grey result"),
    Column(
        "piqe",
        pa.float64(),
        "0..100",
        "PIQE of the tone-mapped picture of a radiance that was made of one frame, lower is better",
    ),
    Column(
        "brisque",
        pa.float64(),
        "",
        "BRISQUE of the same, lower is better; 0 and 100 may be passed a little",
    ),
    Column("reference_uri", pa.string(), "", "label or ground truth compared with"),
    Column("reference_sha256", pa.string(), "", "hash of its bytes"),
    Column("reference_kind", pa.string(), "", "display (a label) or radiance (ground truth)"),
    Column("psnr_db", pa.float64(), "dB", "PSNR against the reference"),
    Column("ssim", pa.float64(), "", "SSIM against the reference"),
    # Radiances as they are stored, against ground truth, both in 0..1 where 1 is the light that
    # just saturates the shortest exposure; truth beyond it is clipped, as no frame shows it
    Column("psnr_mu_db", pa.float64(), "dB", "PSNR of a radiance after the mu-law"),
    Column("psnr_l_db", pa.float64(), "dB", "PSNR of a radiance, linear"),
    Column("ssim_mu", pa.float64(), "", "SSIM of a radiance after the mu-law"),
    Column("ssim_l", pa.float64(), "", "SSIM of a radiance, linear"),
    Column(
        "ghost_share",
        pa.float64(),
        "0..1",
        "share of the pixels which the reference frame exposes well, in which a radiance shows "
        "something else than that frame does",
    ),
    # Cost
    Column("seconds_read", pa.float64(), "s", "decoding"),
    Column("seconds_align", pa.float64(), "s", "registration and warping"),
    Column("seconds_fuse", pa.float64(), "s", "the model"),
    Column("seconds_score", pa.float64(), "s", "all scores"),
    Column("seconds_write", pa.float64(), "s", "previews, encoding and writing"),
    Column("versions", pa.map_(pa.string(), pa.string()), "", "bracketflow, torch, ..."),
)

SCHEMA: pa.Schema = pa.schema(
    [pa.field(c.name, c.type, metadata={"unit": c.unit, "meaning": c.meaning}) for c in COLUMNS],
    metadata={"bracketflow_schema_version": str(SCHEMA_VERSION)},
)

_NAMES = frozenset(column.name for column in COLUMNS)
_EMPTY: Row = dict.fromkeys(column.name for column in COLUMNS)


def make_row(**values: Any) -> Row:
    """A complete row; columns not given are None, ``finished_at`` is now.

    Raises:
        KeyError: a name that is not a column.
    """
    unknown = values.keys() - _NAMES
    if unknown:
        raise KeyError(f"not a column of the report: {', '.join(sorted(unknown))}")
    return _EMPTY | {"finished_at": datetime.now(UTC)} | values


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as an Arrow table of :data:`SCHEMA`."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)
