# SPDX-License-Identifier: Apache-2.0
"""The ledger: rows in, the newest row of every bracket out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.ledger import (
    DUCKDB_VIEW,
    Ledger,
    read_intents,
    read_manifests,
    read_quarantine,
    read_report,
    set_clock,
    write_manifest,
)
from pipeline.report.schema import COLUMNS, SCHEMA, make_row

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(bracket: str, *, run: str = "r1", at: int = 0, status: str = "fused", **values):
    return make_row(
        bracket_id=bracket,
        run_id=run,
        status=status,
        finished_at=NOW + timedelta(seconds=at),
        **values,
    )


def write(folder, rows, run="r1", writer="w", **options):
    with Ledger(str(folder), run, writer, **options) as ledger:
        for one in rows:
            ledger.append(one)
    return ledger


def test_rows_come_back_as_they_went_in(tmp_path):
    sent = row("a", mef_ssim=0.5, evs=[-1.0, None], versions={"torch": "2"}, crop_px=[0, 0, 2, 3])
    write(tmp_path, [sent])
    (found,) = read_report(str(tmp_path)).to_pylist()
    assert found | {"versions": dict(found["versions"])} == sent


def test_the_newest_row_of_a_bracket_counts(tmp_path):
    write(tmp_path, [row("a", at=0, mef_ssim=0.1), row("b", at=1, mef_ssim=0.2)])
    write(tmp_path, [row("a", run="r2", at=9, mef_ssim=0.3)], run="r2")
    table = read_report(str(tmp_path), columns=["bracket_id", "mef_ssim"])
    assert table.to_pydict() == {"bracket_id": ["a", "b"], "mef_ssim": [0.3, 0.2]}
    assert len(read_report(str(tmp_path), newest=False)) == 3
    assert len(read_report(str(tmp_path), run_id="r1")) == 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=20, unique=True))
def test_one_newest_row_whatever_was_written(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("ledger")
    write(folder, [row(b, at=at, frame_count=at) for b, at in entries], max_rows=3)
    expected: dict[str, int] = {}
    for b, at in entries:
        expected[b] = max(at, expected.get(b, -1))
    table = read_report(str(folder), columns=["bracket_id", "frame_count"])
    assert dict(zip(*table.to_pydict().values(), strict=True)) == expected


def test_segments_are_written_when_full_and_never_collide(tmp_path):
    write(tmp_path, [row(str(i)) for i in range(5)], writer="w1", max_rows=2)
    write(tmp_path, [row("x")], writer="w2")
    names = sorted(path.name for path in (tmp_path / "report" / "run=r1").iterdir())
    assert names == [
        "segment-w1-000000.parquet",
        "segment-w1-000001.parquet",
        "segment-w1-000002.parquet",
        "segment-w2-000000.parquet",
    ]


def test_slow_rows_are_not_kept_waiting(tmp_path):
    ledger = Ledger(str(tmp_path), "r1", "w", max_age_s=0.0)
    ledger.append(row("a"))
    assert ledger.committed == 1


def test_what_a_dying_writer_was_at_is_on_record(tmp_path):
    folder = tmp_path / "with [brackets] and *"
    dying = Ledger(str(folder), "r1", "w")
    dying.append(row("a"))
    dying.intend("results/b.jpg", "hash of b")
    dying.intend("results/c.jpg", "hash of c")
    assert read_intents(str(folder)) == {
        "results/b.jpg": {"hash of b"},
        "results/c.jpg": {"hash of c"},
    }
    assert len(read_report(str(folder))) == 0
    dying.flush()
    assert read_intents(str(folder)) == {}
    assert len(read_report(str(folder))) == 1


def test_quarantine_is_a_filter(tmp_path):
    write(tmp_path, [row("a"), row("b", status="quarantined", error_code="file-empty")])
    assert read_quarantine(str(tmp_path))["error_code"].to_pylist() == ["file-empty"]


def test_an_empty_destination_has_an_empty_report(tmp_path):
    with pytest.raises(UsageError, match="nothing"):
        read_report(str(tmp_path / "nothing"))
    table = read_report(str(tmp_path / "nothing"), missing_ok=True)
    assert len(table) == 0
    assert table.schema.names == SCHEMA.names


def test_manifests_do_not_disturb_other_readers(tmp_path):
    write(tmp_path, [row("a")])
    write_manifest(str(tmp_path), "r1", {"run_id": "r1", "started_at": "2026"})
    assert [m["run_id"] for m in read_manifests(str(tmp_path))] == ["r1"]
    assert pq.read_table(tmp_path / "report")["bracket_id"].to_pylist() == ["a"]


def test_a_misspelt_column_is_an_error():
    with pytest.raises(KeyError, match="mef_sim"):
        make_row(mef_sim=1.0)


def test_every_column_is_documented_and_named_once():
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert all(column.meaning for column in COLUMNS)
    for name in [
        "bracket_id",
        "status",
        "error_code",
        "mef_ssim",
        "result_uri",
        "result_sha256",
        "seconds_read",
        "seconds_align",
        "seconds_fuse",
        "seconds_score",
        "seconds_write",
        "preview_uri",
        "map_uri",
        "mef_ssim_preview",
    ]:
        assert name in SCHEMA.names


def test_what_is_superseded_or_pruned_is_no_part_of_the_report(tmp_path):
    fates = {"a": None, "b": "source_gone", "c": "superseded", "d": "pruned"}
    write(tmp_path, [row(name) for name in fates])
    write(tmp_path, [row(name, run="r2", at=1, fate=fate) for name, fate in fates.items()], "r2")
    assert read_report(str(tmp_path))["bracket_id"].to_pylist() == ["a", "b"]
    assert len(read_report(str(tmp_path), newest=False)) == 8


def test_segments_of_an_older_version_are_read(tmp_path):
    write(tmp_path, [row("a", mef_ssim=0.5)])
    (segment,) = (tmp_path / "report").rglob("*.parquet")
    table = pq.read_table(segment)
    pq.write_table(table.drop_columns(["fate", "superseded_by", "frame_sha256s"]), segment)
    write(tmp_path, [row("b", run="r2", frame_sha256s=["h"])], "r2")
    found = read_report(str(tmp_path), columns=["mef_ssim", "fate", "frame_sha256s"])
    assert found.to_pylist() == [
        {"mef_ssim": 0.5, "fate": None, "frame_sha256s": None},
        {"mef_ssim": None, "fate": None, "frame_sha256s": ["h"]},
    ]


entries = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["r1", "r2", "r3"]),
    st.integers(0, 2),
    st.sampled_from(["w1", "w2"]),
    st.sampled_from([None, "source_gone", "superseded", "pruned"]),
)


@settings(deadline=None, max_examples=15)
@given(st.lists(entries, min_size=1, max_size=12, unique_by=lambda entry: entry[:4]))
def test_the_view_of_duckdb_agrees_also_where_clocks_do_not(tmp_path_factory, entries):
    duckdb = pytest.importorskip("duckdb")
    folder = tmp_path_factory.mktemp("view")
    for run in ("r1", "r2", "r3"):
        rows = [row(b, run=r, at=at, worker=w, fate=f) for b, r, at, w, f in entries if r == run]
        write(folder, rows, run)
    view = DUCKDB_VIEW.format(destination=folder)
    query = f"SELECT bracket_id, run_id, worker, fate FROM ({view}) ORDER BY bracket_id"
    columns = ["bracket_id", "run_id", "worker", "fate"]
    shown = read_report(str(folder), columns=columns).to_pylist()
    assert duckdb.sql(query).fetchall() == [tuple(one.values()) for one in shown]


def test_rows_of_a_run_are_not_older_than_its_clock_says(tmp_path):
    floor = NOW + timedelta(hours=1)
    set_clock(str(tmp_path), "r1", floor)
    write(tmp_path, [row("a"), row("b", at=7200)])
    times = read_report(str(tmp_path), columns=["finished_at"])["finished_at"].to_pylist()
    assert times == [floor, NOW + timedelta(seconds=7200)]
