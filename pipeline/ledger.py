# SPDX-License-Identifier: Apache-2.0
"""The one writer of report rows, and the one way to read them back.

Below a destination::

    report/run=<id>/segment-<writer>-<number>.parquet   rows, appended, complete, never changed
    report/run=<id>/_aliases-<number>.arrow             keys that mean the same (pipeline.aliases)
    report/run=<id>/_writing-<writer>.json              results on their way, without a row yet
    report/run=<id>/_clock.json                         only if the clock stood before older rows
    report/run=<id>/_manifest.json                      written last: the run ended
    report/compacted-<id>.parquet, _compacted-<id>.json segments merged (pipeline.compaction)
    results/...                                         the fused photographs
    previews/...                                        small pictures for the report

A segment is a handful of complete rows written in one piece by whoever made them. The report is
the union of the segments, the newest row of a bracket counts; quarantine is a filter on it.
Newest is the one with the latest ``finished_at``; of equal ones that of the greatest ``run_id``,
then of the greatest ``worker``. A run whose clock stands before rows that are there gives its
rows a time after all of them, so that what was written later is newer whatever the clocks say.
Brackets that another one took the place of, and pruned ones, are left out.

The same in DuckDB is :data:`DUCKDB_VIEW`.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.fault_points import fault_point
from pipeline.report.schema import HIDDEN_FATES, SCHEMA, Row, to_table
from pipeline.segments import (
    MANIFEST,
    WRITING,
    live_segments,
    open_segment,
    read_columns,
    read_json,
    report_files,
    run_folder,
    unchanging,
)

__all__ = [
    "DUCKDB_VIEW",
    "Intend",
    "Ledger",
    "read_intents",
    "read_manifests",
    "read_quarantine",
    "read_report",
    "set_clock",
    "write_manifest",
]

DUCKDB_VIEW = """\
SELECT * FROM (
    SELECT * FROM read_parquet('{destination}/report/**/*.parquet',
                               hive_partitioning = false, union_by_name = true)
    QUALIFY row_number() OVER (
        PARTITION BY bracket_id ORDER BY finished_at DESC, run_id DESC, worker DESC) = 1
) WHERE coalesce(fate, '') NOT IN ('superseded', 'pruned')"""
"""What :func:`read_report` reads, as SQL; ``format(destination=...)`` fills it in."""

Intend = Callable[[str, str], None]
"""Told (result path, SHA-256) before a result is written; see :meth:`Ledger.intend`."""

_CLOCK = "_clock.json"
_ORDER = ("finished_at", "run_id", "worker")


@dataclass
class Ledger:
    """Appends rows of one run as Parquet segments.

    Rows wait in memory until there are ``max_rows`` of them, or until the oldest would be older
    than ``max_age_s`` if the next row took as long as this one; that is what a crash can cost.
    Every writer (a worker, the driver) has a ``writer`` name of
    its own, so segments never collide.
    """

    destination: str
    run_id: str
    writer: str
    max_rows: int = 256
    max_age_s: float = 20.0
    _rows: list[Row] = field(default_factory=list, init=False)
    _oldest: float = field(default=0.0, init=False)
    _latest: float = field(default_factory=time.monotonic, init=False)
    _intents: dict[str, str] = field(default_factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _committed: int = field(default=0, init=False)
    _not_before: datetime | None = field(default=None, init=False)
    _asked: bool = field(default=False, init=False)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

    @property
    def committed(self) -> int:
        """How many of the appended rows are on disk."""
        return self._committed

    def append(self, row: Row) -> None:
        """Take one complete row; it is on disk after the next :meth:`flush` at the latest."""
        now = time.monotonic()
        pace, self._latest = now - self._latest, now
        if not self._rows:
            self._oldest = now
        if not self._asked:
            self._not_before = _clock(self.destination, self.run_id)
            self._asked = True
        if self._not_before is not None:
            row["finished_at"] = max(row["finished_at"], self._not_before)
        self._rows.append(row)
        if len(self._rows) >= self.max_rows or now - self._oldest + pace >= self.max_age_s:
            self.flush()

    def intend(self, result_path: str, sha256: str) -> None:
        """Put on record that a result is about to be written, before its row can be.

        Should the writer die in between, the next run knows the file for our own. The path is
        relative to the destination.
        """
        self._intents[result_path] = sha256
        fault_point("ledger.intent.before")
        storage.write_atomic(self._intents_uri, json.dumps(self._intents).encode("utf-8"))
        fault_point("ledger.intent.after")

    @property
    def _intents_uri(self) -> str:
        folder = run_folder(self.destination, self.run_id)
        return storage.join(folder, f"{WRITING}{self.writer}.json")

    def flush(self) -> None:
        """Write what waits as one segment.

        Raises:
            InfrastructureError: ``disk-full`` or ``storage-failed``; the rows stay in memory.
        """
        if not self._rows:
            return
        buffer = io.BytesIO()
        pq.write_table(to_table(self._rows), buffer, compression="zstd")
        name = f"segment-{self.writer}-{self._number:06d}.parquet"
        fault_point("ledger.segment.before")
        storage.write_atomic(
            storage.join(run_folder(self.destination, self.run_id), name), buffer.getbuffer()
        )
        fault_point("ledger.segment.after")
        self._number += 1
        self._committed += len(self._rows)
        self._rows.clear()
        if self._intents:
            storage.delete(self._intents_uri)
            self._intents.clear()


def set_clock(destination: str, run_id: str, not_before: datetime) -> None:
    """Let no row of a run be older than this, whatever the clocks of its writers say.

    To be called before anybody writes rows of the run.
    """
    uri = storage.join(run_folder(destination, run_id), _CLOCK)
    storage.write_atomic(uri, json.dumps({"not_before": not_before.isoformat()}).encode("ascii"))


def _clock(destination: str, run_id: str) -> datetime | None:
    uri = storage.join(run_folder(destination, run_id), _CLOCK)
    if not storage.exists(uri):
        return None
    return datetime.fromisoformat(read_json(uri)["not_before"])


def read_report(
    destination: str,
    *,
    run_id: str | None = None,
    columns: Sequence[str] | None = None,
    newest: bool = True,
    missing_ok: bool = False,
) -> pa.Table:
    """The report of a destination: the newest row of every bracket.

    Args:
        destination: the folder (a relative path will do) or URI that ``fuse`` wrote to.
        run_id: only the rows of this run.
        columns: only these columns (all by default).
        newest: False for every row that was ever written, whatever became of its bracket.
        missing_ok: an empty table, not an error, where there is no such destination.

    Returns:
        A table of the schema in ``pipeline.report.schema``, sorted by ``bracket_id``; without
        rows where nothing was written.

    Raises:
        UsageError: ``source-missing``, there is no such destination.
    """
    destination = storage.absolute(destination)
    if not missing_ok and not storage.exists(destination):
        raise UsageError("source-missing", f"There is nothing at {destination}; check the path.")
    wanted = list(columns) if columns is not None else SCHEMA.names
    needed = list(dict.fromkeys([*wanted, "bracket_id", *_ORDER, "fate"]))

    def tables() -> list[pa.Table]:
        found = []
        for segment in live_segments(destination, run_id=run_id):
            with open_segment(segment) as file:
                table = read_columns(file, needed)
            if run_id is not None and len(segment.run_ids) > 1:
                table = table.filter(pc.equal(table["run_id"], run_id))
            found.append(table)
        return found

    schema = pa.schema([SCHEMA.field(name) for name in needed])
    table = pa.concat_tables([schema.empty_table(), *unchanging(tables)])
    order = [("bracket_id", "ascending"), *((name, "descending") for name in _ORDER)]
    table = table.sort_by(order)
    if newest and len(table):
        ids = table["bracket_id"].combine_chunks()
        fresh = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))
        table = table.filter(pa.concat_arrays([pa.array([True]), fresh]))
        hidden = pc.is_in(table["fate"], pa.array(HIDDEN_FATES))
        table = table.filter(pc.invert(hidden))
    return table.select(wanted)


def read_quarantine(destination: str, *, run_id: str | None = None) -> pa.Table:
    """The brackets whose newest row says ``quarantined``, but for those that are gone."""
    table = read_report(destination, run_id=run_id)
    failed = pc.and_(pc.equal(table["status"], "quarantined"), pc.is_null(table["fate"]))
    return table.filter(failed)


def read_intents(destination: str) -> dict[str, set[str]]:
    """Results that were about to be written when a writer died: path -> hashes."""
    intents: dict[str, set[str]] = {}
    for content in _read_json(destination, WRITING):
        for path, sha256 in content.items():
            intents.setdefault(path, set()).add(sha256)
    return intents


def _read_json(destination: str, prefix: str) -> Iterator[dict[str, Any]]:
    """The JSON files of all runs whose name begins with ``prefix``."""
    for name, uri in report_files(destination).items():
        file = name.rpartition("/")[2]
        if file.startswith(prefix) and file.endswith(".json"):
            yield read_json(uri)


def write_manifest(destination: str, run_id: str, manifest: dict[str, Any]) -> str:
    """Write a run's manifest, the last thing a run writes, and return its URI."""
    uri = storage.join(run_folder(destination, run_id), MANIFEST)
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
    fault_point("ledger.manifest.before")
    storage.write_atomic(uri, text.encode("utf-8"))
    fault_point("ledger.manifest.after")
    return uri


def read_manifests(destination: str) -> list[dict[str, Any]]:
    """The manifests of all finished runs of a destination, oldest first."""
    found = _read_json(destination, MANIFEST.removesuffix(".json"))
    return sorted(found, key=lambda manifest: str(manifest["started_at"]))
