# SPDX-License-Identifier: Apache-2.0
"""The Parquet files of a report: which of them count, and how their rows are read.

A segment is written by a run and never changed. A compacted file holds the rows of many segments;
it counts from the moment at which its list of what it replaces is there, and what it replaces
counts no more from then on. So every row counts exactly once at any moment.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InfrastructureError
from pipeline.plain_parquet import open_plain
from pipeline.report.schema import SCHEMA, Row

__all__ = [
    "COMPACTED",
    "MANIFEST",
    "REPLACES",
    "REPORT",
    "WRITING",
    "Segment",
    "SegmentRows",
    "live_segments",
    "open_segment",
    "read_columns",
    "read_json",
    "report_files",
    "run_folder",
    "unchanging",
]

REPORT = "report"
COMPACTED = "compacted-"
REPLACES = "_compacted-"
MANIFEST = "_manifest.json"
WRITING = "_writing-"
_TRIES = 5
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A file of rows that counts; ``run_ids`` is what runs its rows are of."""

    uri: str
    name: str
    """The same relative to the report's folder."""
    run_ids: tuple[str, ...]


def run_folder(destination: str, run_id: str) -> str:
    """Where a run's segments and its manifest are."""
    return storage.join(destination, REPORT, f"run={run_id}")


def report_files(destination: str) -> dict[str, str]:
    """Every file below the report's folder: relative name -> URI, sorted by name."""
    base = storage.join(destination, REPORT)
    return {name: storage.join(base, *name.split("/")) for name in storage.files_below(base)}


def live_segments(destination: str, *, run_id: str | None = None) -> list[Segment]:
    """The files whose rows count, sorted by name.

    Args:
        destination: the folder or URI that holds ``report/``.
        run_id: only files that may hold rows of this run.
    """
    files = report_files(destination)
    lists: dict[str, dict[str, Any]] = {}
    for name, uri in files.items():
        if name.startswith(REPLACES) and name.endswith(".json"):
            lists[name.removeprefix("_").removesuffix(".json")] = read_json(uri)
    replaced = {name for content in lists.values() for name in content["replaces"]}
    found = []
    for name, uri in files.items():
        if not name.endswith(".parquet") or name in replaced:
            continue
        folder, _, file = name.rpartition("/")
        if folder.startswith("run=") and file.startswith("segment-"):
            runs = (folder.removeprefix("run="),)
        elif name.startswith(COMPACTED) and name.removesuffix(".parquet") in lists:
            runs = tuple(lists[name.removesuffix(".parquet")]["run_ids"])
        else:
            continue
        if run_id is None or run_id in runs:
            found.append(Segment(uri=uri, name=name, run_ids=runs))
    return found


def unchanging(work: Callable[[], _T]) -> _T:
    """Call ``work`` again where a compaction took away the files that it had listed."""
    for _ in range(_TRIES):
        try:
            return work()
        except FileNotFoundError as error:
            gone = error
    raise InfrastructureError(
        "storage-failed", f"A file of the report goes as soon as it is listed: {gone}."
    ) from gone


def read_json(uri: str) -> Any:
    """The content of one of the report's JSON files.

    Raises:
        FileNotFoundError: it went since it was listed; see :func:`unchanging`.
    """
    with storage.open_file(uri) as handle:
        return json.load(handle)


@contextmanager
def open_segment(segment: Segment) -> Iterator[pq.ParquetFile]:
    """The Parquet file of a segment.

    Raises:
        FileNotFoundError: a compaction took it away; see :func:`unchanging`.
    """
    with storage.open_file(segment.uri) as handle, open_plain(handle) as file:
        yield file


def read_columns(
    file: pq.ParquetFile, columns: Sequence[str], *, group: int | None = None
) -> pa.Table:
    """Columns of a segment in the schema's types, null where an older version had none.

    Args:
        file: see :func:`open_segment`.
        columns: their names.
        group: only this row group.
    """
    there = set(file.schema_arrow.names)
    present = [name for name in columns if name in there]
    table = file.read(present) if group is None else file.read_row_group(group, present)
    arrays = [
        table[name].cast(SCHEMA.field(name).type)
        if name in there
        else pa.chunked_array([pa.nulls(len(table), SCHEMA.field(name).type)])
        for name in columns
    ]
    return pa.table(arrays, schema=pa.schema([SCHEMA.field(name) for name in columns]))


@dataclass
class SegmentRows:
    """Single rows by their place, for the few that have to be looked at again.

    The last row groups that were read are kept, since neighbours are asked for one after another.
    """

    segments: Sequence[Segment] = ()
    kept: int = 8
    _tables: OrderedDict[tuple[int, int, tuple[str, ...]], pa.Table] = field(
        default_factory=OrderedDict, init=False
    )
    _starts: dict[int, list[int]] = field(default_factory=dict, init=False)

    def row(self, segment: int, number: int, columns: Sequence[str] | None = None) -> Row:
        """Row ``number`` of a segment, with these columns or all of them."""
        names = tuple(SCHEMA.names if columns is None else columns)
        starts = self._starts.get(segment)
        if starts is None:
            starts = list(self._group_starts(segment))
            self._starts[segment] = starts
        group = sum(start <= number for start in starts) - 1
        key = (segment, group, names)
        if key not in self._tables:
            with open_segment(self.segments[segment]) as file:
                self._tables[key] = read_columns(file, names, group=group)
            if len(self._tables) > self.kept:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        (found,) = self._tables[key].slice(number - starts[group], 1).to_pylist()
        return dict(found)

    def _group_starts(self, segment: int) -> Iterator[int]:
        with open_segment(self.segments[segment]) as file:
            metadata = file.metadata
        start = 0
        for group in range(metadata.num_row_groups):
            yield start
            start += metadata.row_group(group).num_rows
