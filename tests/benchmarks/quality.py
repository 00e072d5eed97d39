# SPDX-License-Identifier: Apache-2.0
"""``make quality``: models side by side on archives, by the main job itself.

Every archive is fused by every model into lossless PNG; the first model is what the others are
held against. Prints a Markdown table and writes it to ``OUT/quality.md``, one row a bracket and
model to ``OUT/quality.parquet``. Where a fusion stands already, it is not made again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.images.reading import Limits, read_photo
from pipeline.ledger import read_report
from pipeline.settings import FuseSettings

_COLUMNS = (
    "bracket_id",
    "frame_paths",
    "frame_count",
    "status",
    "mef_ssim",
    "color_8x8_adaptive_lum",
    "psnr_db",
    "ssim",
    "clipped_high_share",
    "clipped_low_share",
    "seconds_fuse",
    "result_uri",
)


@dataclass(frozen=True)
class Scored:
    """One bracket by one model; ``chroma_shift`` is the mean absolute difference of Cb and Cr
    (0..255) to the first model's fusion."""

    archive: str
    model: str
    bracket: str
    frames: int
    mef_ssim: float
    color: float
    chroma_shift: float
    psnr_db: float | None
    ssim: float | None
    clipped_high_share: float
    clipped_low_share: float
    seconds_fuse: float


def fused(source: Path, out: Path, model: str) -> dict[str, dict[str, Any]]:
    """Rows of the report by bracket, after fusing ``source`` with a model."""
    from flows.fuse import fuse_archive

    fuse_archive(str(source), str(out), FuseSettings(model=model, format="png"))
    rows = read_report(str(out), columns=list(_COLUMNS)).to_pylist()
    return {row["bracket_id"]: row for row in rows if row["status"] == "fused"}


def chroma(uri: str) -> np.ndarray[Any, Any]:
    """Cb and Cr (2, H, W) of ITU-R BT.601 in 0..255, float32."""
    rgb = read_photo(uri, Limits()).pixels.astype(np.float32)
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.stack([(rgb[..., 2] - luma) / 1.772, (rgb[..., 0] - luma) / 1.402])


def compare(source: Path, out: Path, models: Sequence[str]) -> list[Scored]:
    """Every bracket of an archive that all models fused."""
    reports = [fused(source, out / source.name / Path(model).stem, model) for model in models]
    common = sorted(set.intersection(*map(set, reports)))
    scored = []
    for bracket in common:
        base = chroma(reports[0][bracket]["result_uri"])
        for model, report in zip(models, reports, strict=True):
            row = report[bracket]
            shift = float(np.abs(chroma(row["result_uri"]) - base).mean())
            scored.append(
                Scored(
                    archive=source.name,
                    model=Path(model).stem,
                    bracket=row["frame_paths"][0],
                    frames=row["frame_count"],
                    mef_ssim=row["mef_ssim"],
                    color=row["color_8x8_adaptive_lum"],
                    chroma_shift=shift,
                    psnr_db=row["psnr_db"],
                    ssim=row["ssim"],
                    clipped_high_share=row["clipped_high_share"],
                    clipped_low_share=row["clipped_low_share"],
                    seconds_fuse=row["seconds_fuse"],
                )
            )
    return scored


def table(scored: Sequence[Scored]) -> str:
    """Means per archive and model, in Markdown."""
    lines = [
        "| archive | model | brackets | gray_ms3 | wins | worst gain | color_8x8_adaptive_lum "
        "| chroma shift | PSNR dB | SSIM | clipped high | fuse s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for archive in dict.fromkeys(one.archive for one in scored):
        here = [one for one in scored if one.archive == archive]
        models = list(dict.fromkeys(one.model for one in here))
        base = {one.bracket: one.mef_ssim for one in here if one.model == models[0]}
        for model in models:
            ours = [one for one in here if one.model == model]
            gains = [one.mef_ssim - base[one.bracket] for one in ours]

            def mean(name: str, rows: Sequence[Scored] = ours, digits: int = 4) -> str:
                values = [v for row in rows if (v := getattr(row, name)) is not None]
                return f"{statistics.fmean(values):.{digits}f}" if values else "-"

            first = model == models[0]
            lines.append(
                f"| {archive} | {model} | {len(ours)} | {mean('mef_ssim', digits=5)} | "
                f"{'-' if first else sum(gain > 0 for gain in gains)} | "
                f"{'-' if first else f'{min(gains):+.4f}'} | {mean('color')} | "
                f"{mean('chroma_shift', digits=2)} | {mean('psnr_db', digits=2)} | "
                f"{mean('ssim')} | {mean('clipped_high_share')} | "
                f"{mean('seconds_fuse', digits=2)} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make quality", description=__doc__)
    parser.add_argument("archives", nargs="+", type=Path, help="folders of brackets")
    parser.add_argument("--out", type=Path, default=Path("quality-out"))
    parser.add_argument(
        "--models",
        default="mertens,ufm_k",
        help="names of the zoo or weights files, by commas; the first is the yardstick",
    )
    options = parser.parse_args()
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from flows.server import ready_server

    ready_server()
    scored: list[Scored] = []
    for archive in options.archives:
        scored += compare(archive.resolve(), options.out.resolve(), options.models.split(","))
        text = table(scored)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "quality.md").write_text(text, encoding="utf-8")
        rows = pa.Table.from_pylist([asdict(one) for one in scored])
        pq.write_table(rows, options.out / "quality.parquet")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
