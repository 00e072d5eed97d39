# SPDX-License-Identifier: Apache-2.0
"""A thousand hostile files and some good brackets in one archive: each costs its own row."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import CODES
from pipeline.ledger import read_manifests, read_quarantine, read_report
from tests.hostile.files import hostile_files, plant
from tests.hostile.names import NAMES, plant_no_files
from tests.pipeline.archive.trees import picture

pytestmark = [pytest.mark.ray, pytest.mark.prefect]

_FILES, _GOOD = 1000, 30
_NEVER = ("unexpected", "worker-died", "bracket-timeout", "out-of-memory")


@pytest.fixture
def kinds(tmp_path) -> dict[str, str]:
    """Make the archive; what is wrong with each hostile file, by its path.

    Every one has a folder with one good photograph, so that its pixels are asked for.
    """
    source = tmp_path / "in"
    for number in range(_GOOD):
        for step in range(3):
            picture(source / f"good/{number:02d}/{step}.jpg", step - 1.0, seed=number)
    for number, name in enumerate(NAMES):
        folder = source / f"names/{number:02d}"
        picture(folder / "0.jpg", -1.0)
        picture(folder / "1.jpg", 1.0)
        os.rename(folder / "1.jpg", os.path.join(os.fsencode(folder), name))
    kinds = {}
    for number, file in enumerate(hostile_files(_FILES)):
        folder = source / f"hostile/{number:04d}"
        picture(folder / "good.jpg", 0.0)
        plant(file, folder)
        kinds[f"hostile/{number:04d}/{file.name}"] = file.kind
    plant_no_files(source / "trap", tmp_path / "in" / "good" / "00" / "0.jpg")
    return kinds


def test_each_hostile_file_costs_one_row_and_the_rest_is_fused(house, kinds, write_table, tmp_path):
    out = tmp_path / "out"
    options = ("--layout", "folder", "--max-failures", "100%")
    assert house.fuse(tmp_path / "in", out, *options) == 0, house.said()
    assert "\x1b" not in house.said()
    rows = read_report(str(out)).to_pylist()
    by_path = {path: row for row in rows for path in row["frame_paths"]}
    assert len(by_path) == sum(row["frame_count"] for row in rows)  # each file in one row
    outcomes = Counter()
    for path, kind in kinds.items():
        row = by_path[path]
        outcome = row["error_code"] or row["status"]
        linear = path.endswith((".exr", ".hdr"))  # a single: no frame of any bracket
        assert outcome in ("fused", *CODES) or (linear and outcome == "skipped"), (kind, outcome)
        assert outcome not in _NEVER, (kind, row["error_message"])
        outcomes[kind, outcome] += 1
    trap = {row["error_code"] for path, row in by_path.items() if path.startswith("trap/")}
    assert trap == {"file-link"}
    good = [row for path, row in by_path.items() if path.startswith(("good/", "names/"))]
    assert len(good) == 3 * _GOOD + 2 * len(NAMES)
    assert {row["status"] for row in good} == {"fused"}
    assert all(Path(row["result_uri"]).is_file() for row in good)

    counts = read_manifests(str(out))[-1]["counts"]
    worked = ("fused", "reused", "skipped", "quarantined")
    assert counts["found"] == len(rows) == sum(counts[name] for name in worked)
    failed = {row["bracket_id"] for row in rows if row["status"] == "quarantined"}
    assert set(read_quarantine(str(out))["bracket_id"].to_pylist()) == failed
    table = [(kind, code, times) for (kind, code), times in sorted(outcomes.items())]
    table.append((f"{_FILES} hostile files", f"{len(failed)} quarantined", counts["found"]))
    write_table("hostile", "1,000 hostile files", ("kind", "code", "files"), table)
