# SPDX-License-Identifier: Apache-2.0
"""Reads what stands at a destination out of its report, a segment at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa

from pipeline.aliases import read_aliases
from pipeline.digests import digests_of, id_numbers, path_numbers
from pipeline.ledger import read_intents
from pipeline.segments import SegmentRows, live_segments, open_segment, read_columns, unchanging
from pipeline.standing import EPOCH, FATES, STATUSES, Numbers, Rows, Standing

__all__ = ["standing_results"]

_PATHS = ("result_path", "display_path")
_COLUMNS = (
    "bracket_id",
    "key",
    "timeless_key",
    "status",
    "error_code",
    "fate",
    "source",
    "result_path",
    "display_path",
    "finished_at",
    "run_id",
    "worker",
)


def standing_results(destination: str) -> Standing:
    """What all runs so far have left at the destination, in the memory of about 130 bytes a row."""
    return unchanging(lambda: _read(destination))


def _read(destination: str) -> Standing:
    segments = live_segments(destination)
    parts: list[dict[str, Numbers]] = []
    paths: dict[str, list[pa.ChunkedArray]] = {name: [] for name in _PATHS}
    codes, sources, runs, workers = _Words(), _Words(), _Words(), _Words()
    for index, segment in enumerate(segments):
        with open_segment(segment) as file:
            table = read_columns(file, _COLUMNS)
        fused = np.asarray(table["status"]) == "fused"
        parts.append(
            {
                "ids": id_numbers(table["bracket_id"]),
                "digests": digests_of(table["key"]),
                "timeless": digests_of(table["timeless_key"]),
                "status": _Words(STATUSES).numbers(table["status"]).astype(np.int8),
                "fate": _Words(FATES).numbers(table["fate"]).astype(np.int8),
                "code": codes.numbers(table["error_code"]).astype(np.int16),
                "source": sources.numbers(table["source"]).astype(np.int32),
                "paths": _numbered(table["result_path"], fused),
                "displays": _numbered(table["display_path"], fused),
                "segment": np.full(len(table), index, np.int32),
                "number": np.arange(len(table), dtype=np.int32),
                "time": table["finished_at"].cast(pa.int64()).fill_null(0).to_numpy(),
                "run": runs.numbers(table["run_id"]),
                "worker": workers.numbers(table["worker"]),
            }
        )
        for name, columns in paths.items():
            columns.append(table[name])
    aliases = read_aliases(destination)
    intents = {path: frozenset(hashes) for path, hashes in read_intents(destination).items()}
    if not sum(len(part["ids"]) for part in parts):
        return Standing(aliases=aliases, intents=intents)
    column = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    del parts
    # Ties between clocks are broken by the run's id, then by the worker's name.
    when = (workers.ranks()[column.pop("worker")], runs.ranks()[column.pop("run")], column["time"])
    latest = EPOCH + timedelta(microseconds=int(column.pop("time").max()))
    order = np.lexsort((*when, column["ids"]))
    stands = _last_writers(column, when)
    column = {name: values[order] for name, values in column.items()}
    found = Standing(
        rows=Rows(**column, stands=stands[order], newest=_lasts(column["ids"])),
        codes=codes.words,
        sources=sources.words,
        result_paths=_ordered(paths["result_path"], order),
        display_paths=_ordered(paths["display_path"], order),
        segments=SegmentRows(segments),
        aliases=aliases,
        intents=intents,
        latest=latest,
    )
    _doubt_intents(found)
    return found


def _numbered(paths: pa.ChunkedArray, fused: Numbers) -> Numbers:
    """Numbers of the paths of fused rows, 0 where there is none."""
    there = fused & ~np.asarray(paths.is_null())
    if not there.any():
        return np.zeros(len(there), np.int64)
    return np.where(there, path_numbers(paths.fill_null("").to_pylist()), 0)


def _ordered(paths: Sequence[pa.ChunkedArray], order: Numbers) -> pa.ChunkedArray:
    whole = pa.chunked_array(paths).cast(pa.large_string()).combine_chunks()
    return pa.chunked_array([whole.take(pa.array(order))])


def _last_writers(column: Mapping[str, Numbers], when: tuple[Numbers, ...]) -> Numbers:
    """Mask of the rows none of whose files was replaced by a later one.

    What was superseded or pruned is no result any more, and took away nobody else's.
    """
    kept = column["fate"] <= FATES.index("source_gone")
    written = [np.flatnonzero(kept & (column[name] != 0)) for name in ("paths", "displays")]
    places = np.concatenate(written)
    paths = np.concatenate([column["paths"][written[0]], column["displays"][written[1]]])
    order = np.lexsort((*(one[places] for one in when), paths))
    stands = np.zeros(len(kept), np.bool_)
    stands[written[0]] = True
    stands[places[order][~_lasts(paths[order])]] = False
    return stands


def _lasts(ordered: Numbers) -> Numbers:
    """Mask of the last of each run of equal values."""
    mask = np.ones(len(ordered), np.bool_)
    mask[:-1] = ordered[1:] != ordered[:-1]
    return mask


def _doubt_intents(found: Standing) -> None:
    """Whoever died while writing may have replaced what the report speaks of."""
    rows = found.rows
    for path, hashes in found.intents.items():
        (number,) = path_numbers([path]).tolist()
        for name, numbers in (("result_sha256", rows.paths), ("display_sha256", rows.displays)):
            for place in np.flatnonzero((numbers == number) & rows.stands).tolist():
                if hashes - {found.row(place, (name,))[name]}:
                    rows.stands[place] = False


class _Words:
    """Few words that many rows share, as numbers; None is 0."""

    def __init__(self, words: Iterable[str | None] = (None,)) -> None:
        self.words = list(words)
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def numbers(self, column: pa.ChunkedArray) -> Numbers:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        own = np.array([self._number(word) for word in encoded.dictionary.to_pylist()], np.int32)
        return own[encoded.indices.to_numpy()] if len(own) else np.empty(0, np.int32)

    def _number(self, word: str | None) -> int:
        if word not in self._numbers:
            self._numbers[word] = len(self.words)
            self.words.append(word)
        return self._numbers[word]

    def ranks(self) -> Numbers:
        """Number -> place of its word in alphabetical order."""
        order = sorted(range(len(self.words)), key=lambda number: self.words[number] or "")
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ranks
