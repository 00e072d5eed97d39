# SPDX-License-Identifier: Apache-2.0
"""Quarantine: what failed, in files that are safe to open, and what trying again needs."""

from __future__ import annotations

import csv
from dataclasses import asdict

import pyarrow.parquet as pq
import pytest

from pipeline.archive.scan import ScanOptions
from pipeline.errors import UsageError
from pipeline.ledger import Ledger, write_manifest
from pipeline.quarantine import (
    Retried,
    code_counts,
    failures,
    last_fuse_run,
    quarantine_table,
    what_became,
    write_quarantine,
)
from pipeline.report.schema import make_row
from pipeline.settings import FuseSettings

NASTY = ["=cmd|'/C calc'!A0.jpg", "+1.jpg", "-1.jpg", "@x.jpg", "\tx.jpg", "plain, with comma.jpg"]


def failed(number: int, code: str = "file-empty", run_id: str = "r1", **values):
    known = {
        "run_id": run_id,
        "bracket_id": f"{number:016x}",
        "status": "quarantined",
        "error_code": code,
        "error_message": f"{number}.jpg has no bytes; restore it.",
        "error_stage": "read",
        "frame_paths": [f"{number}.jpg", f"{number}b.jpg"],
    }
    return make_row(**known | values)


def write(folder, *rows, run_id: str = "r1") -> str:
    with Ledger(str(folder), run_id, "w") as ledger:
        for row in rows:
            ledger.append(row)
    return str(folder)


def test_the_table_has_stage_code_message_and_frames(tmp_path):
    out = write(
        tmp_path,
        failed(1),
        failed(2, "decode-failed", error_stage="scan"),
        failed(3, status="fused", error_code=None),
    )
    table = quarantine_table(out)
    assert {"stage", "code", "message", "frame_paths", "frame_uris"} <= set(table.column_names)
    assert [(one.code, one.stage) for one in failures(table)] == [
        ("decode-failed", "scan"),
        ("file-empty", "read"),
    ]
    assert code_counts(table) == {"decode-failed": 1, "file-empty": 1}
    assert failures(quarantine_table(out, code="file-empty"))[0].frame_paths == ("1.jpg", "1b.jpg")


def test_a_code_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="file-empty"):
        quarantine_table(write(tmp_path, failed(1)), code="file-emty")


def test_no_spreadsheet_takes_a_name_for_a_formula(tmp_path):
    out = write(tmp_path, *(failed(n, frame_paths=[name]) for n, name in enumerate(NASTY)))
    write_quarantine(quarantine_table(out), str(tmp_path / "q.csv"))
    with (tmp_path / "q.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells)
    assert [row["frame_paths"].removeprefix("'") for row in rows] == NASTY


def test_parquet_keeps_names_as_they_are(tmp_path):
    table = quarantine_table(write(tmp_path, failed(1, frame_paths=NASTY)))
    write_quarantine(table, str(tmp_path / "q.parquet"))
    assert pq.read_table(tmp_path / "q.parquet").equals(table)


def test_other_endings_are_refused(tmp_path):
    table = quarantine_table(write(tmp_path, failed(1)))
    with pytest.raises(UsageError, match=r"\.csv"):
        write_quarantine(table, str(tmp_path / "q.xlsx"))


def manifest(folder, run_id: str, **values) -> None:
    write_manifest(str(folder), run_id, {"run_id": run_id, "started_at": run_id} | values)


def test_the_last_fusing_run_says_what_to_do_again(tmp_path):
    settings = FuseSettings(format="png", bits=16, align="off", name="{id}")
    manifest(tmp_path, "r1", source="/old", settings=asdict(FuseSettings()))
    manifest(
        tmp_path,
        "r2",
        source="/photos",
        settings=asdict(settings),
        scan=asdict(ScanOptions(layout="folder")),
    )
    manifest(tmp_path, "r3", source="/photos", settings={"align": "auto"}, results="/r")  # scores
    last = last_fuse_run(str(tmp_path))
    assert (last.source, last.settings) == ("/photos", settings)
    assert last.options.layout == "folder"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "No run"),
        ({"source": "/p", "settings": {"format": "png", "new": 1}}, "new"),
        ({"settings": {"format": "png"}}, "source"),
    ],
)
def test_without_a_manifest_of_use_it_says_what_to_do(tmp_path, values, words):
    manifest(tmp_path, "r1", **values)
    with pytest.raises(UsageError, match=words) as refused:
        last_fuse_run(str(tmp_path))
    assert refused.value.code == "manifest-missing"
    assert "--retry-quarantined" in refused.value.message


def test_what_became_of_them(tmp_path):
    before = [failed(n) for n in range(4)]
    out = write(tmp_path, *before)
    write(
        tmp_path,
        failed(0, status="fused", error_code=None, run_id="r2"),
        failed(1, run_id="r2"),
        failed(2, run_id="r2", fate="source_gone"),
        run_id="r2",
    )
    names = [row["bracket_id"] for row in before]
    became = what_became(out, names, run_id="r2")
    assert became == Retried(before=4, fused=1, quarantined=1, gone=2)
