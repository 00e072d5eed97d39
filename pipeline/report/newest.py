# SPDX-License-Identifier: Apache-2.0
"""The rows of a report that count, a portion at a time.

:func:`pipeline.ledger.read_report` hands out one table of all rows. Here every row is looked at
once to find the newest of each bracket, which leaves some 50 bytes a row, and then read where it
lies; so a page of a report of millions needs no more memory than its figures do. A file that cannot
be read is left out and named: a damaged report still has a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.digests import id_numbers
from pipeline.report.schema import HIDDEN_FATES, SCHEMA, SCHEMA_VERSION, Row
from pipeline.segments import Segment, live_segments, open_segment, read_columns

__all__ = ["NewestRows", "newest_rows"]

Numbers = NDArray[Any]

_ORDER = ("bracket_id", "finished_at", "run_id", "worker", "fate")
_VERSION = b"bracketflow_schema_version"


@dataclass(frozen=True, kw_only=True)
class NewestRows:
    """The newest row of every bracket, by the place where it lies.

    ``ids`` are the brackets' ids as numbers (:func:`pipeline.digests.id_number`), in the order in
    which :meth:`tables` hands out the rows. ``damaged`` names the files that could not be read,
    ``older`` says how many rows lack a column that this version writes, ``newer`` how many come
    from a version that writes columns unknown here.
    """

    segments: Sequence[Segment]
    ids: NDArray[np.uint64]
    segment: NDArray[np.int32]
    number: NDArray[np.int64]
    damaged: tuple[str, ...] = ()
    older: int = 0
    newer: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """All rows with these columns, a row group at a time.

        Raises:
            FileNotFoundError: a compaction took a file away; see
                :func:`pipeline.segments.unchanging`.
        """
        for index, numbers in self._by_segment(np.arange(len(self))):
            yield from _taken(self.segments[index], columns, numbers)

    def rows(self, chosen: NDArray[np.int64]) -> list[Row]:
        """Whole rows, by their place in the order of :meth:`tables`, in the order asked for.

        Raises:
            FileNotFoundError: as :meth:`tables`.
        """
        order = np.argsort(chosen, kind="stable")
        found: list[Row] = []
        for index, numbers in self._by_segment(chosen[order]):
            for table in _taken(self.segments[index], SCHEMA.names, numbers):
                found += table.to_pylist()
        rows: list[Row] = [{}] * len(found)
        for place, row in zip(order.tolist(), found, strict=True):
            rows[place] = row
        return rows

    def _by_segment(self, places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        segment, number = self.segment[places], self.number[places]
        starts = np.flatnonzero(np.diff(segment, prepend=-1)).tolist()
        for start, stop in pairwise([*starts, len(places)]):
            yield int(segment[start]), number[start:stop]


def newest_rows(destination: str, *, run_id: str | None = None) -> NewestRows:
    """Find the rows that :func:`pipeline.ledger.read_report` would return.

    Args:
        destination: the folder or URI that holds ``report/``.
        run_id: only rows of this run.

    Raises:
        FileNotFoundError: a compaction took a file away; see :func:`pipeline.segments.unchanging`.
        InfrastructureError: the storage fails.
    """
    segments = live_segments(destination, run_id=run_id)
    parts: list[dict[str, Numbers]] = []
    words: dict[str, list[pa.Array]] = {"run_id": [], "worker": []}
    damaged: list[str] = []
    older = newer = 0
    for index, segment in enumerate(segments):
        try:
            with open_segment(segment) as file:
                there = file.schema_arrow
                table = read_columns(file, _ORDER)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            damaged.append(segment.name)
            continue
        numbers = np.arange(len(table))
        if run_id is not None and len(segment.run_ids) > 1:
            numbers = np.flatnonzero(pc.equal(table["run_id"], run_id).fill_null(False))
            table = table.take(numbers)
        older += len(table) if set(SCHEMA.names) - set(there.names) else 0
        newer += len(table) if _version(there) > SCHEMA_VERSION else 0
        parts.append(
            {
                "ids": id_numbers(table["bracket_id"]),
                "time": table["finished_at"].cast(pa.int64()).fill_null(0).to_numpy(),
                "hidden": np.asarray(pc.is_in(table["fate"], pa.array(HIDDEN_FATES))),
                "segment": np.full(len(table), index, np.int32),
                "number": numbers,
            }
        )
        for name, chunks in words.items():
            chunks += table[name].dictionary_encode().chunks
    if not parts:
        empty = np.empty(0, np.int64)
        return NewestRows(
            segments=segments,
            ids=empty.astype(np.uint64),
            segment=empty.astype(np.int32),
            number=empty,
            damaged=tuple(damaged),
        )
    column = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ties = (_ranks(words["worker"]), _ranks(words["run_id"]))
    order = np.lexsort((*ties, column["time"], column["ids"]))
    ids = column["ids"][order]
    last = np.ones(len(ids), np.bool_)
    last[:-1] = ids[1:] != ids[:-1]
    kept = np.sort(order[last & ~column["hidden"][order]])  # as they lie in the files
    return NewestRows(
        segments=segments,
        ids=column["ids"][kept],
        segment=column["segment"][kept],
        number=column["number"][kept],
        damaged=tuple(damaged),
        older=older,
        newer=newer,
    )


def _taken(
    segment: Segment, columns: Sequence[str], numbers: NDArray[np.int64]
) -> Iterator[pa.Table]:
    """Rows of a segment by ascending number, a row group at a time."""
    with open_segment(segment) as file:
        start = 0
        for group in range(file.metadata.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(numbers, (start, stop))
            if last > first:
                table = read_columns(file, columns, group=group)
                yield table.take(numbers[first:last] - start)
            start = stop


def _ranks(chunks: list[pa.Array]) -> Numbers:
    """A number for each word, in alphabetical order; none is before all."""
    if not chunks:
        return np.empty(0, np.int64)
    whole = pa.chunked_array(chunks).unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.combine_chunks()
    names = whole.dictionary.to_pylist()
    ranks = np.full(len(names) + 1, -1)
    ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return np.asarray(ranks[whole.indices.fill_null(len(names)).to_numpy()])


def _version(schema: pa.Schema) -> int:
    text = (schema.metadata or {}).get(_VERSION, b"1")
    return int(text) if text.isdigit() else 1
