# SPDX-License-Identifier: Apache-2.0
"""Scans beside an older catalog: archives of long ago, and what a fresh scan makes of them."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.archive.find import write_found
from pipeline.archive.scan import ScanOptions, ScanSummary
from tests.pipeline.archive.trees import camera_tags, picture

LONG_AGO = 1_600_000_000


def shoot(folder: Path, *, first: int = 1, count: int = 3, kind: str = "JPG") -> None:
    """A bracket as from the card, years ago."""
    for k, ev in list(enumerate((0, -2, 2)))[:count]:
        path = folder / f"IMG_{first + k:04d}.{kind}"
        picture(path, ev, exif=camera_tags(1 / 60 * 2.0**ev, first * 10 + k * 0.3, bias_ev=ev))
        age(path)


def sequence(root: Path, name: str) -> None:
    """A SICE sequence with its label in the folder beside it."""
    for k in (1, 2):
        picture(root / name / f"{k}.JPG", k * 2 - 3)
        age(root / name / f"{k}.JPG")
    picture(root / f"Label/{name}.JPG", 0)
    age(root / f"Label/{name}.JPG")


def age(path: Path, seconds: float = LONG_AGO) -> None:
    os.utime(path, (seconds, seconds))


def scan_into(
    root: Path, catalog: Path, options: ScanOptions | None = None, **more: object
) -> ScanSummary:
    """Write the catalog of a tree, beside or in place of an older one."""
    return write_found(
        str(root),
        str(catalog),
        options or ScanOptions(),
        **more,  # type: ignore[arg-type]
    )


def assert_as_fresh(
    root: Path, catalog: Path, summary: ScanSummary, options: ScanOptions | None = None
) -> None:
    """The catalog is, byte for byte, what a scan without an older one writes."""
    fresh = catalog.with_name("fresh.parquet")
    fresh.unlink(missing_ok=True)
    assert scan_into(root, fresh, options) == summary
    assert catalog.read_bytes() == fresh.read_bytes()
