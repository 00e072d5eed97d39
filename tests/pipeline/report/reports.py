# SPDX-License-Identifier: Apache-2.0
"""Reports of any size, made up: rows, manifests and, where asked for, small pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from pipeline.images.previews import map_png, preview_jpeg, strip_jpeg
from pipeline.ledger import Ledger, write_manifest
from pipeline.naming import preview_paths
from pipeline.report.schema import Row, make_row

RUN = "20260102T030405Z-00aa11"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CAMERAS = ("Obscura OB-1", "Obscura OB-2", "Lucida L7 <b>", None)
HOSTILE = "<img src=x onerror=alert(1)>'\"&`${7*7}.jpg"
_SIZE = (96, 144)


def bracket_row(number: int, **values) -> Row:
    """A plausible row: every seventh is a single, every eleventh failed."""
    rng = np.random.default_rng(number)
    frames = 3 + number % 4
    status = "skipped" if number % 7 == 6 else "quarantined" if number % 11 == 10 else "fused"
    folder = f"20{number // 365 % 30:02d}/day-{number // 40:04d}"
    names = [f"{folder}/IMG_{10 * number + k:06d}.JPG" for k in range(frames)]
    facts = {
        "run_id": RUN,
        "bracket_id": f"{number:016x}",
        "kind": "single" if status == "skipped" else "bracket",
        "status": status,
        "finished_at": NOW + timedelta(seconds=number),
        "worker": "worker000",
        "source": "/photos",
        "layout": "exif",
        "reason": f"{frames} frames within 2.1 s, EV 0 -2 +2, same camera and size",
        "confidence": 0.97,
        "notes": ["the frames are laid on each other"],
        "frame_count": frames,
        "frame_uris": [f"/photos/{name}" for name in names],
        "frame_paths": names,
        "frame_sha256s": [f"{number:064x}"] * frames,
        "exposure_times_s": [2.0 ** (2 * k) / 500 for k in range(frames)],
        "evs": [float(2 * k - 12) for k in range(frames)],
        "camera": CAMERAS[number % 4],
        "source_bits": 8,
        "source_width": 6000,
        "source_height": 4000,
        "model": "ufm_k" if number % 5 else "mertens",
        "versions": [("bracketflow", "0.1.0"), ("torch", "2.9")],
    }
    if status == "fused":
        score = float(np.clip(1 - rng.gamma(2.0, 0.01), 0, 1))
        facts |= {
            "align_method": "homography",
            "align_shift_px": float(rng.gamma(2, 3)),
            "align_residual_px": 0.1,
            "align_transforms": [[1.0, 0, 0, 0, 1, 0, 0, 0, 1]] * frames,
            "crop_px": [0, 0, 4000, 6000],
            "device": "cpu",
            "result_uri": f"/fused/results/{names[0]}",
            "result_path": f"results/{names[0]}",
            "result_sha256": f"{number:064x}",
            "result_bytes": 9_000_000 + number,
            "result_format": "jpeg",
            "result_bits": 8,
            "width": 6000,
            "height": 4000,
            "mef_ssim": score,
            "gray_scale1": score,
            "color_8x8_adaptive_lum": score - 0.05,
            "clipped_low_share": 0.01,
            "clipped_high_share": 0.02,
            "entropy_bits": 7.4,
            **{
                f"seconds_{step}": float(rng.gamma(3, 0.5))
                for step in ("read", "align", "fuse", "score", "write")
            },
        }
    if status == "quarantined":
        facts |= {
            "error_code": "decode-truncated",
            "error_message": f"/photos/{names[0]} ends before its last pixel; copy it again.",
            "error_stage": "read",
        }
    return make_row(**facts | values)


def with_pictures(destination: Path, row: Row) -> Row:
    """Write small pictures for a row that was fused."""
    if row["status"] != "fused":
        return row
    number = int(row["bracket_id"], 16)
    height, width = _SIZE
    rng = np.random.default_rng(number)
    ramp = np.linspace(0, 255, width)[None, :, None] * rng.uniform(0.4, 1, 3)
    base = np.repeat(ramp, height, 0).astype(np.uint8)
    frames = [(base * light).astype(np.uint8) for light in np.linspace(0.2, 1, row["frame_count"])]
    weights = [np.full(_SIZE, 255 // row["frame_count"], np.uint8) for _ in frames]
    scores = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    data = {
        "preview": preview_jpeg(base),
        "strip": strip_jpeg(frames),
        "weights": strip_jpeg(weights),
        "map": map_png(scores),
    }
    uris = {}
    for name, path in preview_paths(row["bracket_id"])._asdict().items():
        file = destination / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data[name])
        uris[f"{name}_uri"] = str(file)
    return row | uris | {"width": width, "height": height}


def manifest(count: int, **values) -> dict:
    """What a run that ended says of itself."""
    return {
        "run_id": RUN,
        "source": "/photos",
        "destination": "/fused",
        "started_at": NOW.isoformat(),
        "finished_at": (NOW + timedelta(seconds=count)).isoformat(),
        "counts": {"found": count, "fused": count, "reused": 0, "skipped": 0, "quarantined": 0},
        "model": {"name": "ufm_k"},
        "settings": {"model": "ufm_k", "format": "jpeg"},
        "versions": {"bracketflow": "0.1.0", "torch": "2.9"},
        "git_revision": "0123456789abcdef",
        "mean_mef_ssim": 0.98,
    } | values


def write_report(
    destination: Path, rows: Iterator[Row] | list[Row], *, ended: bool = True, run: str = RUN
) -> int:
    """Write rows as a run does, and its manifest if it ended."""
    count = 0
    with Ledger(str(destination), run, "worker000", max_rows=256, max_age_s=math.inf) as ledger:
        for row in rows:
            ledger.append(row | {"run_id": run})
            count += 1
    if ended:
        write_manifest(str(destination), run, manifest(count, run_id=run))
    return count


def synthetic(destination: Path, count: int, *, pictures: bool = False) -> Path:
    """A report of so many brackets."""
    rows = (bracket_row(number) for number in range(count))
    if pictures:
        rows = (with_pictures(destination, row) for row in rows)
    write_report(destination, rows)
    return destination
