# SPDX-License-Identifier: Apache-2.0
"""What a destination already holds, known by a few numbers for each row of its report.

An archive has millions of rows, so no row becomes a Python object here: ids, keys and times are
columns of numbers, sorted by bracket and time, and looked up by bisection. Whatever else a row
says is read from its segment when it is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.aliases import Aliases
from pipeline.bracket import Bracket
from pipeline.digests import id_number, path_numbers
from pipeline.report.schema import Fate, Row, Status
from pipeline.segments import SegmentRows

__all__ = ["EPOCH", "FATES", "STATUSES", "Before", "Numbers", "Ours", "Rows", "Standing"]

STATUSES: tuple[Status | None, ...] = (None, "fused", "skipped", "quarantined")
FATES: tuple[Fate | None, ...] = (None, "source_gone", "superseded", "pruned")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Ours:
    """A result that bracketflow wrote, and the frames it was made from (None: not on record)."""

    sha256: str
    frame_paths: frozenset[str] | None = None

    def may_give_way_to(self, bracket: Bracket) -> bool:
        """Only another result of the same view may take its place: they share frames."""
        if self.frame_paths is None:
            return True
        return any(frame.path in self.frame_paths for frame in bracket.frames)


@dataclass(frozen=True, kw_only=True)
class Before:
    """The newest row of a bracket, as far as a plan asks for it."""

    place: int
    """Where it is among the rows; see :meth:`Standing.row`."""
    status: Status | None
    error_code: str | None
    fate: Fate | None
    digest: bytes
    """Of its key, see :func:`pipeline.digests.digest_of`."""
    timeless: bytes
    """Of its timeless key."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All rows that were ever written, a column of numbers each, sorted by bracket and time."""

    ids: Numbers
    digests: Numbers
    timeless: Numbers
    status: Numbers
    fate: Numbers
    code: Numbers
    source: Numbers
    paths: Numbers
    """Number of the result's path, 0 where there is none."""
    displays: Numbers
    """Likewise of the picture beside it."""
    segment: Numbers
    number: Numbers
    """Which row of the segment."""
    stands: Numbers
    """Whether it was the last to write its paths, as far as the report tells."""
    newest: Numbers
    """Whether it is its bracket's newest."""

    def __len__(self) -> int:
        return len(self.ids)


_NUMBERS: Mapping[str, Any] = {
    "ids": np.uint64,
    "digests": "S16",
    "timeless": "S16",
    "status": np.int8,
    "fate": np.int8,
    "code": np.int16,
    "source": np.int32,
    "paths": np.int64,
    "displays": np.int64,
    "segment": np.int32,
    "number": np.int32,
}
_NO_PATHS = pa.chunked_array([], pa.large_string())
_NO_ROWS = Rows(
    **{name: np.empty(0, kind) for name, kind in _NUMBERS.items()},
    stands=np.empty(0, np.bool_),
    newest=np.empty(0, np.bool_),
)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the destination already holds. Paths are relative to it, so it may be moved."""

    rows: Rows = _NO_ROWS
    codes: Sequence[str | None] = (None,)
    sources: Sequence[str | None] = (None,)
    result_paths: pa.ChunkedArray = field(
        default_factory=lambda: pa.chunked_array([[]], pa.string())
    )
    """The result's path of each row."""
    display_paths: pa.ChunkedArray = field(
        default_factory=lambda: pa.chunked_array([[]], pa.string())
    )
    """The path of the picture beside it."""
    segments: SegmentRows = field(default_factory=SegmentRows)
    aliases: Aliases = field(default_factory=Aliases)
    intents: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Path -> hashes of what a dead writer was about to put there."""
    latest: datetime = EPOCH
    """When the newest row of all was made."""

    def places(self, ids: Numbers) -> Numbers:
        """For each id the place of its newest row, -1 where there is none."""
        if not len(self.rows):
            return np.full(len(ids), -1, np.int64)
        last = np.searchsorted(self.rows.ids, ids, side="right") - 1
        known = (last >= 0) & (self.rows.ids[np.maximum(last, 0)] == ids)
        return np.where(known, last, -1)

    def before(self, bracket_id: str) -> Before | None:
        """The newest row of a bracket."""
        (place,) = self.places(np.array([id_number(bracket_id)], np.uint64)).tolist()
        if place < 0:
            return None
        rows = self.rows
        return Before(
            place=place,
            status=STATUSES[rows.status[place]],
            error_code=self.codes[rows.code[place]],
            fate=self.fate(place),
            digest=_padded(rows.digests[place]),
            timeless=_padded(rows.timeless[place]),
        )

    def files(self, bracket_id: str, digest: bytes) -> tuple[str, ...]:
        """Paths of a bracket's result of that key, and of the picture beside it if it has one;
        none where another result replaced it."""
        rows, number = self.rows, id_number(bracket_id)
        first = int(np.searchsorted(rows.ids, np.uint64(number), side="left"))
        last = int(np.searchsorted(rows.ids, np.uint64(number), side="right"))
        fit = rows.stands[first:last] & (rows.digests[first:last] == digest)
        places = np.flatnonzero(fit)
        return self.paths(first + int(places[-1])) if len(places) else ()

    def paths(self, place: int) -> tuple[str, ...]:
        """What one row says that it wrote."""
        found = (column[place].as_py() for column in (self.result_paths, self.display_paths))
        return tuple(path for path in found if path is not None)

    def fate(self, place: int) -> Fate | None:
        """The fate that one row speaks of."""
        return FATES[int(self.rows.fate[place])]

    def row(self, place: int, columns: Sequence[str] | None = None) -> Row:
        """A row as it was written."""
        rows = self.rows
        return self.segments.row(int(rows.segment[place]), int(rows.number[place]), columns)

    @functools.cached_property
    def _by_path(self) -> tuple[Numbers, Numbers]:
        """Paths that were written, sorted, and the places of the rows that say so."""
        rows = self.rows
        places = [np.flatnonzero(column != 0) for column in (rows.paths, rows.displays)]
        paths = np.concatenate([rows.paths[places[0]], rows.displays[places[1]]])
        order = np.argsort(paths, kind="stable")
        return paths[order], np.concatenate(places)[order]

    def ours(self, path: str) -> tuple[Ours, ...]:
        """Everything that bracketflow ever wrote at a path."""
        paths, places = self._by_path
        (number,) = path_numbers([path]).tolist()
        first, last = (int(np.searchsorted(paths, number, side=side)) for side in ("left", "right"))
        columns = ("result_path", "result_sha256", "display_sha256", "frame_paths")
        written = [self.row(int(place), columns) for place in places[first:last]]
        return (
            *(
                Ours(
                    row["result_sha256" if row["result_path"] == path else "display_sha256"],
                    frozenset(row["frame_paths"] or ()),
                )
                for row in written
            ),
            *(Ours(sha256) for sha256 in sorted(self.intents.get(path, ()))),
        )

    def not_before(self, now: datetime) -> datetime | None:
        """The least time of new rows, where the clock stands before rows that are there."""
        return self.latest + timedelta(microseconds=1) if now <= self.latest else None


def _padded(digest: bytes) -> bytes:
    """numpy strips zeros at the end of what it holds."""
    return digest.ljust(16, b"\0")
