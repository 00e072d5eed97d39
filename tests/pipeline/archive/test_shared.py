# SPDX-License-Identifier: Apache-2.0
"""The real sets beside the checkout: every bracket, every label, nothing else."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from pipeline.archive.brightness import mean_luminance
from pipeline.archive.check import check_pixels
from pipeline.archive.exposure import exposure_contradiction
from pipeline.archive.scan import ScanOptions, ScanResult, scan

pytestmark = pytest.mark.shared

BRACKETS = {
    "debevec_memorial": 1,
    "deepfuse_iccv17": 46,
    "dynamic_gallo": 2,
    "empa": 2,
    "exif_stacks": 3,
    "hdr_gt": 0,
    "hdrps": 1,
    "mef_ma2015": 12,
    "mef_misc": 10,
    "mefb": 50,
    "merianos2016": 3,
    "ntire_adnet": 4,
    "sice_1024": 11,
    "sice_fullres": 1,
    "sice_fusiondn": 14,
    "sice_holoco": 3,
    "sice_mefgan": 3,
}


def truth(data: Path) -> dict[str, set[frozenset[str]]]:
    """Frames of each scene as the inventory lists them; references are no frames."""
    scenes: dict[tuple[str, str], set[str]] = defaultdict(set)
    with (data / "inventory.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            reference = row["file"].startswith(("Label_", "gt.")) or row["set"] == "hdr_gt"
            if row["set"] != "published" and not reference:
                path = f"{row['set']}/{row['scene']}/{row['file']}"
                scenes[row["set"], row["scene"]].add(path)
    sets: dict[str, set[frozenset[str]]] = {name: set() for name in BRACKETS}
    for (name, _), frames in scenes.items():
        sets[name].add(frozenset(frames))
    return sets


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    return shared / "data"


@pytest.fixture(scope="module")
def everything(data: Path) -> ScanResult:
    return scan(str(data), options=ScanOptions())


@pytest.mark.parametrize("name", BRACKETS)
def test_each_set_comes_out_right(data: Path, everything: ScanResult, name: str) -> None:
    wanted = truth(data)[name]
    assert len(wanted) == BRACKETS[name]
    alone = scan(str(data / name), options=ScanOptions())
    found = {
        frozenset(f"{name}/{frame.path}" for frame in b.frames)
        for b in alone.brackets
        if b.kind == "bracket"
    }
    assert found == wanted
    together = {
        frozenset(frame.path for frame in b.frames)
        for b in everything.brackets
        if b.kind == "bracket" and b.frames[0].path.startswith(f"{name}/")
    }
    assert together == wanted, "the same when all sets are scanned at once"


def test_published_holds_two_brackets_among_results(everything: ScanResult) -> None:
    found = [
        sorted(frame.path.rpartition("/")[2] for frame in b.frames)
        for b in everything.brackets
        if b.kind == "bracket" and b.frames[0].path.startswith("published/")
    ]
    assert found == [
        ["grandcanal_mean.jpg", "grandcanal_over.jpg", "grandcanal_under.jpg"],
        [f"igloo{k}.jpg" for k in range(1, 7)],
    ]


def test_every_photograph_is_accounted_for(data: Path, everything: ScanResult) -> None:
    images = {".jpg", ".png", ".tif", ".hdr", ".exr"}
    there = sum(path.suffix.lower() in images for path in data.rglob("*"))
    assert everything.summary.photographs == there
    assert everything.summary.unreadable == 0
    assert everything.summary.labels == 16


def test_frames_rise_in_brightness(everything: ScanResult) -> None:
    for bracket in everything.brackets:
        if bracket.kind == "bracket":
            means = [mean_luminance(frame.uri) for frame in bracket.frames]
            rank = [float(k) for k in range(len(means))]
            assert exposure_contradiction(rank, means) is None, bracket.frames[0].path
            assert check_pixels(bracket) == bracket


def test_stale_exif_gives_way_to_the_exposure_file(everything: ScanResult) -> None:
    (arch,) = (b for b in everything.brackets if "dynamic_gallo/ArchSequence/" in b.frames[0].path)
    assert arch.layout == "folder"
    times = [frame.exposure_time_s for frame in arch.frames]
    assert times == pytest.approx([1 / 500, 1 / 250, 1 / 125, 1 / 60, 1 / 30])
