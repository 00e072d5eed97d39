# SPDX-License-Identifier: Apache-2.0
"""A run over an archive in which one file in twenty was damaged on purpose.

CHAOS_DATA names an archive of real photographs to damage a copy of; by default one is generated.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline.archive.shot import IMAGE_EXTENSIONS
from pipeline.demo.archive import ArchivePlan, make_archive
from pipeline.ledger import read_report

pytestmark = [pytest.mark.ray, pytest.mark.prefect]


def _cut(path: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * dice.randint(30, 80) // 100])


def _garble(path: Path, dice: random.Random) -> None:
    path.write_bytes(dice.randbytes(path.stat().st_size))


def _empty(path: Path, dice: random.Random) -> None:
    path.write_bytes(b"")


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "archive"
    if real := os.environ.get("CHAOS_DATA"):
        shutil.copytree(real, folder)
    else:
        make_archive(folder, brackets=40, plan=ArchivePlan(seed=6, size=(64, 96)))
    return folder


def test_every_damaged_file_costs_one_row_and_the_rest_is_fused(
    house, source, write_table, tmp_path
):
    before = tmp_path / "before"
    assert house.fuse(source, before, "--max-failures", "100%") == 0, house.said()
    labels = {
        Path(row["reference_uri"]).relative_to(source).as_posix(): row["bracket_id"]
        for row in read_report(str(before)).to_pylist()
        if row["reference_uri"] is not None
    }
    broken_before = {
        path
        for row in read_report(str(before)).to_pylist()
        if row["status"] == "quarantined"
        for path in row["frame_paths"]
    }
    dice = random.Random(1)
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_EXTENSIONS)
    damaged: dict[str, str] = {}
    for number, path in enumerate(dice.sample(files, -(-len(files) // 20))):
        damage = (_cut, _garble, _empty)[number % 3]
        damage(path, dice)
        damaged[path.relative_to(source).as_posix()] = damage.__name__.removeprefix("_")

    out = tmp_path / "out"
    assert house.fuse(source, out, "--max-failures", "100%") == 0, house.said()
    rows = read_report(str(out)).to_pylist()
    bad = [row for row in rows if row["status"] == "quarantined"]
    seen = Counter(path for row in bad for path in row["frame_paths"] if path in damaged)
    codes = Counter(
        (damaged[path], row["error_code"])
        for row in bad
        for path in row["frame_paths"]
        if path in damaged
    )
    good = sum(row["status"] == "fused" for row in rows)
    table = [(kind, code, times) for (kind, code), times in sorted(codes.items())]
    table.append((f"{len(damaged)} of {len(files)} files", f"{good} brackets fused", len(bad)))
    write_table("damage", "5 % of the files damaged", ("damage", "code", "rows"), table)
    assert seen == dict.fromkeys(damaged.keys() - labels.keys(), 1)
    for row in bad:
        assert row["error_code"]
        assert set(row["frame_paths"]) & (damaged.keys() | broken_before)
    fine = [row for row in rows if row["status"] == "fused"]
    # A bracket without its label is fused, and nobody claims to have compared it.
    for row in fine:
        if row["bracket_id"] in {labels[path] for path in damaged.keys() & labels.keys()}:
            assert row["psnr_db"] is None
            assert "no reference scores" in row["score_note"]
    assert fine
    assert not any(set(row["frame_paths"]) & damaged.keys() for row in fine)
