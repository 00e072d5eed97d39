# SPDX-License-Identifier: Apache-2.0
"""The one writer of report rows, and the one way to read them back.

Below a destination::

    report/run=<id>/segment-<writer>-<number>.parquet   rows, appended, complete, never changed
    report/run=<id>/_writing-<writer>.json              results on their way, without a row yet
    report/run=<id>/_manifest.json                      written last: the run ended
    results/...                                         the fused photographs
    previews/...                                        small pictures for the report

A segment is a handful of complete rows written in one piece by whoever made them. The report is
the union of the segments, the newest row of a bracket counts; quarantine is a filter on it.
The same in DuckDB::

    SELECT * FROM read_parquet('OUT/report/**/*.parquet', hive_partitioning = false)
    QUALIFY row_number() OVER (PARTITION BY bracket_id ORDER BY finished_at DESC, run_id DESC) = 1
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.report.schema import SCHEMA, Row, to_table

__all__ = [
    "Intend",
    "Ledger",
    "read_intents",
    "read_manifests",
    "read_quarantine",
    "read_report",
    "write_manifest",
]

Intend = Callable[[str, str], None]
"""Told (result path, SHA-256) before a result is written; see :meth:`Ledger.intend`."""

_REPORT = "report"
_MANIFEST = "_manifest.json"
_WRITING = "_writing-"
_TIMES = ("finished_at", "run_id")


def _run_folder(destination: str, run_id: str) -> str:
    return storage.join(destination, _REPORT, f"run={run_id}")


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
        self._rows.append(row)
        if len(self._rows) >= self.max_rows or now - self._oldest + pace >= self.max_age_s:
            self.flush()

    def intend(self, result_path: str, sha256: str) -> None:
        """Put on record that a result is about to be written, before its row can be.

        Should the writer die in between, the next run knows the file for our own. The path is
        relative to the destination.
        """
        self._intents[result_path] = sha256
        storage.write_atomic(self._intents_uri, json.dumps(self._intents).encode("utf-8"))

    @property
    def _intents_uri(self) -> str:
        folder = _run_folder(self.destination, self.run_id)
        return storage.join(folder, f"{_WRITING}{self.writer}.json")

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
        storage.write_atomic(
            storage.join(_run_folder(self.destination, self.run_id), name), buffer.getbuffer()
        )
        self._number += 1
        self._committed += len(self._rows)
        self._rows.clear()
        if self._intents:
            storage.delete(self._intents_uri)
            self._intents.clear()


def _segments(destination: str, run_id: str | None) -> list[str]:
    fs, base = storage.file_system(
        storage.join(destination, _REPORT) if run_id is None else _run_folder(destination, run_id)
    )
    if not fs.isdir(base):
        return []
    return [
        path
        for path in sorted(fs.find(base))
        if path.endswith(".parquet") and path.rsplit("/", 1)[-1].startswith("segment-")
    ]


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
        destination: the folder or URI that ``fuse`` wrote to.
        run_id: only the rows of this run.
        columns: only these columns (all by default).
        newest: False for every row that was ever written.
        missing_ok: an empty table, not an error, where there is no such destination.

    Returns:
        A table of the schema in ``pipeline.report.schema``, sorted by ``bracket_id``; without
        rows where nothing was written.

    Raises:
        UsageError: ``source-missing``, there is no such destination.
    """
    if not missing_ok and not storage.exists(destination):
        raise UsageError("source-missing", f"There is nothing at {destination}; check the path.")
    wanted = list(columns) if columns is not None else SCHEMA.names
    needed = list(dict.fromkeys([*wanted, "bracket_id", *_TIMES]))
    fs, _ = storage.file_system(destination)
    tables = []
    for path in _segments(destination, run_id):
        with fs.open(path, "rb") as handle:
            tables.append(pq.read_table(handle, columns=needed))
    schema = pa.schema([SCHEMA.field(name) for name in needed])
    if not tables:
        return schema.empty_table().select(wanted)
    table = pa.concat_tables([t.cast(schema) for t in tables])
    order = [("bracket_id", "ascending"), ("finished_at", "descending"), ("run_id", "descending")]
    table = table.sort_by(order)
    if newest and len(table) > 1:
        ids = table["bracket_id"].combine_chunks()
        fresh = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))
        table = table.filter(pa.concat_arrays([pa.array([True]), fresh]))
    return table.select(wanted)


def read_quarantine(destination: str, *, run_id: str | None = None) -> pa.Table:
    """The brackets whose newest row says ``quarantined``."""
    table = read_report(destination, run_id=run_id)
    return table.filter(pc.equal(table["status"], "quarantined"))


def read_intents(destination: str) -> dict[str, set[str]]:
    """Results that were about to be written when a writer died: path -> hashes."""
    intents: dict[str, set[str]] = {}
    for content in _read_json(destination, _WRITING):
        for path, sha256 in content.items():
            intents.setdefault(path, set()).add(sha256)
    return intents


def _read_json(destination: str, prefix: str) -> Iterator[dict[str, Any]]:
    """The JSON files of all runs whose name begins with ``prefix``."""
    fs, base = storage.file_system(storage.join(destination, _REPORT))
    for path in sorted(fs.find(base)) if fs.isdir(base) else []:
        name = path.rsplit("/", 1)[-1]
        if name.startswith(prefix) and name.endswith(".json"):
            with fs.open(path, "rb") as handle:
                yield json.load(handle)


def write_manifest(destination: str, run_id: str, manifest: dict[str, Any]) -> str:
    """Write a run's manifest, the last thing a run writes, and return its URI."""
    uri = storage.join(_run_folder(destination, run_id), _MANIFEST)
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
    storage.write_atomic(uri, text.encode("utf-8"))
    return uri


def read_manifests(destination: str) -> list[dict[str, Any]]:
    """The manifests of all finished runs of a destination, oldest first."""
    found = _read_json(destination, _MANIFEST.removesuffix(".json"))
    return sorted(found, key=lambda manifest: str(manifest["started_at"]))
