# SPDX-License-Identifier: Apache-2.0
"""The rows that count, read where they lie."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compaction import compact
from pipeline.ledger import read_report
from pipeline.report.newest import newest_rows
from tests.pipeline.report.reports import NOW, bracket_row, write_report

entries = st.tuples(
    st.integers(0, 4),
    st.sampled_from(["r1", "r2", "r3"]),
    st.integers(0, 2),
    st.sampled_from([None, "source_gone", "superseded", "pruned"]),
)


@settings(deadline=None, max_examples=15)
@given(st.lists(entries, min_size=1, max_size=12, unique_by=lambda entry: entry[:3]))
def test_they_are_those_of_the_report(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("newest")
    for run in ("r1", "r2", "r3"):
        rows = [
            bracket_row(number, finished_at=NOW + timedelta(hours=at), fate=fate)
            for number, own, at, fate in entries
            if own == run
        ]
        write_report(folder, rows, run=run)
    columns = ["bracket_id", "run_id", "fate", "finished_at"]
    wanted = read_report(str(folder), columns=columns).to_pylist()
    newest = newest_rows(str(folder))
    found = [row for table in newest.tables(columns) for row in table.to_pylist()]
    assert sorted(found, key=lambda row: row["bracket_id"]) == wanted
    assert [int(row["bracket_id"], 16) for row in found] == newest.ids.tolist()


def test_a_run_alone_also_after_a_compaction(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(5)], run="r1")
    write_report(tmp_path, [bracket_row(n) for n in range(3)], run="r2")
    for _ in range(2):
        counts = [len(newest_rows(str(tmp_path), run_id=run)) for run in ("r1", "r2", None)]
        assert counts == [5, 3, 5]
        compact(str(tmp_path))


def test_whole_rows_in_the_order_asked_for(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(600)])
    newest = newest_rows(str(tmp_path))
    assert len(newest.segments) == 3
    places = np.array([599, 0, 300, 299, 1])
    found = newest.rows(places)
    assert [row["bracket_id"] for row in found] == [f"{newest.ids[k]:016x}" for k in places]
    assert found[1]["frame_paths"]


def test_a_damaged_file_is_named_and_left_out(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(300)])
    first, _ = sorted((tmp_path / "report").rglob("*.parquet"))
    first.write_bytes(first.read_bytes()[:1000])
    newest = newest_rows(str(tmp_path))
    assert newest.damaged == (first.relative_to(tmp_path / "report").as_posix(),)
    assert len(newest) == 44


def test_older_and_newer_versions_are_counted(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(3)], run="r1")
    write_report(tmp_path, [bracket_row(n) for n in range(3, 5)], run="r2")
    (old,) = (tmp_path / "report" / "run=r1").glob("*.parquet")
    (new,) = (tmp_path / "report" / "run=r2").glob("*.parquet")
    pq.write_table(pq.read_table(old).drop_columns(["strip_uri"]), old)
    table = pq.read_table(new)
    version = {b"bracketflow_schema_version": b"99"}
    pq.write_table(table.replace_schema_metadata(version), new)
    newest = newest_rows(str(tmp_path))
    assert (newest.older, newest.newer) == (3, 2)
    assert newest.rows(np.arange(5))[0]["strip_uri"] is None


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: write_report(folder, [])])
def test_an_empty_report_has_no_rows(tmp_path, make):
    make(tmp_path)
    newest = newest_rows(str(tmp_path))
    assert len(newest) == 0
    assert list(newest.tables(["status"])) == []
    assert newest.rows(np.empty(0, np.int64)) == []
