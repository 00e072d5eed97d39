# SPDX-License-Identifier: Apache-2.0
"""Small archives on disk: real files, a few pixels each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.archive.scan import ScanOptions, ScanResult, scan
from pipeline.bracket import Bracket


def view(seed: int, height: int = 48, width: int = 64) -> NDArray[np.float64]:
    """A scene in linear light, (H, W), smooth, 0..1."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.random((6, 8)), (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def picture(path: Path, ev: float, *, seed: int = 0, exif: dict[int, object] | None = None) -> None:
    """Write the view under an exposure, in the format of the file's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = ((view(seed) * 0.25 * 2.0**ev).clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
    if path.suffix == ".hdr":
        linear = np.repeat(view(seed).astype(np.float32)[..., None], 3, axis=2)
        assert cv2.imwrite(str(path), linear)
        return
    image = Image.fromarray(np.repeat(pixels[..., None], 3, axis=2))
    tags = Image.Exif()
    for tag, value in (exif or {}).items():
        if tag in (271, 272):
            tags[tag] = value
        else:
            tags.get_ifd(0x8769)[tag] = value
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG"}
    image.save(path, format=kind[path.suffix.lower()], exif=tags)


def camera_tags(time_s: float, second: float, *, bias_ev: float = 0.0) -> dict[int, object]:
    """EXIF of a frame of one camera at 12:00 and some seconds."""
    return {
        271: "Canon",
        272: "Canon EOS R5",
        33434: time_s,
        33437: 8.0,
        34855: 100,
        36867: f"2024:05:01 12:{int(second) // 60:02d}:{int(second) % 60:02d}",
        37521: f"{round(second % 1 * 100):02d}",
        37380: bias_ev,
    }


def found(root: Path, **options: object) -> ScanResult:
    return scan(str(root), options=ScanOptions(**options))  # type: ignore[arg-type]


def brackets_of(result: ScanResult) -> list[Bracket]:
    return [bracket for bracket in result.brackets if bracket.kind == "bracket"]


def names(bracket: Bracket) -> list[str]:
    return [frame.path.rpartition("/")[2] for frame in bracket.frames]


def assert_nothing_lost(root: Path, result: ScanResult) -> None:
    """Every image file is in the catalog exactly once."""
    images = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".hdr", ".exr", ".cr2", ".nef"}
    there = sum(path.suffix.lower() in images for path in root.rglob("*") if path.is_file())
    assert result.summary.photographs == there
    uris = [frame.uri for bracket in result.brackets for frame in bracket.frames]
    assert len(set(uris)) == len(uris)
