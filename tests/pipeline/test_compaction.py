# SPDX-License-Identifier: Apache-2.0
"""Segments merged: the report stays the same at every moment."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from unittest.mock import Mock

import pytest

from pipeline import compaction, storage
from pipeline.compaction import compact
from pipeline.errors import LockedError
from pipeline.ledger import Ledger, read_report, write_manifest
from pipeline.lock import hold
from pipeline.report.schema import make_row
from pipeline.standing_reader import standing_results


def write(folder, run, *names, finished=True):
    for number, name in enumerate(names):
        with Ledger(str(folder), run, f"w{number}") as ledger:
            ledger.append(make_row(bracket_id=name, run_id=run, status="fused", key=f"{run}{name}"))
    if finished:
        write_manifest(str(folder), run, {"run_id": run, "started_at": run})


def rows(folder, **options):
    table = read_report(str(folder), newest=False, columns=["run_id", "bracket_id"], **options)
    return sorted(map(tuple, table.to_pandas().to_numpy().tolist()))


def segments(folder):
    return sorted(path.name for path in (folder / "report").rglob("*.parquet"))


@pytest.fixture
def report(tmp_path):
    """Three runs, one of them unfinished."""
    write(tmp_path, "r1", "a", "b")
    write(tmp_path, "r2", "a", "c")
    write(tmp_path, "r3", "d", finished=False)
    return tmp_path


def test_finished_runs_become_one_file_with_the_same_rows(report):
    before, whole = rows(report), read_report(str(report))
    assert compact(str(report)) == 4
    assert len(segments(report)) == 2
    assert rows(report) == before
    assert read_report(str(report)).equals(whole)
    assert rows(report, run_id="r2") == [("r2", "a"), ("r2", "c")]
    assert compact(str(report)) == 0


def test_what_was_compacted_is_compacted_again(report):
    compact(str(report))
    write(report, "r4", "e")
    before = rows(report)
    assert compact(str(report)) == 2
    assert rows(report) == before
    names = sorted(path.name[:10] for path in (report / "report").iterdir() if path.is_file())
    assert names == ["_compacted", "compacted-"]


def test_single_rows_are_found_in_the_compacted_file(report):
    compact(str(report))
    standing = standing_results(str(report))
    assert standing.row(standing.before("c").place)["key"] == "r2c"


@pytest.mark.parametrize("again", [False, True])
def test_whenever_it_dies_each_row_counts_once(report, monkeypatch, again):
    """Stop at every single write or removal in turn; then let it end."""
    if again:
        compact(str(report))
        write(report, "r4", "a", "e")
    before = rows(report)
    for steps in range(100):
        folder = report / f"copy{steps}"
        shutil.copytree(report / "report", folder / "report")
        with monkeypatch.context() as patch:
            left = [steps]
            for name in ("open_atomic", "write_atomic", "delete"):
                patch.setattr(storage, name, dying(getattr(storage, name), left, folder, before))
            patch.setattr(compaction, "hold", lambda *a, **k: nullcontext(Mock()))
            try:
                compact(str(folder))
            except KeyboardInterrupt:
                died = True
            else:
                died = False
        assert rows(folder) == before
        compact(str(folder))
        assert rows(folder) == before
        assert len(segments(folder)) == 2
        if not died:
            break
    assert steps > 5


def dying(work, left, folder, before):
    """``work``, but for the call at which ``left`` is used up; and what readers see before it."""

    def step(*arguments, **options):
        assert rows(folder) == before
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return work(*arguments, **options)

    return step


def test_a_run_keeps_it_out(report):
    with hold(str(report), run_id="r9"), pytest.raises(LockedError):
        compact(str(report))


def test_the_view_sees_the_same_report(report):
    duckdb = pytest.importorskip("duckdb")
    from pipeline.ledger import DUCKDB_VIEW

    view = DUCKDB_VIEW.format(destination=report)
    query = f"SELECT bracket_id, run_id FROM ({view}) ORDER BY bracket_id"
    expected = [("a", "r2"), ("b", "r1"), ("c", "r2"), ("d", "r3")]
    assert duckdb.sql(query).fetchall() == expected
    compact(str(report))
    assert duckdb.sql(query).fetchall() == expected
