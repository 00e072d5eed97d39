# SPDX-License-Identifier: Apache-2.0
"""Files that no row stands for: what runs that died left behind, and what others put there.

Files are compared with rows by 8 bytes for each path, so an archive's worth of paths takes little
memory. A result is announced, written, and gets its row, in this order; they are looked at in the
order of files, announcements, rows, so what a run at work writes is no stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.contents import file_sha256
from pipeline.digests import path_numbers
from pipeline.ledger import read_intents, read_report
from pipeline.report.schema import HIDDEN_FATES, Row
from pipeline.segments import live_segments, open_segment, read_columns, unchanging
from pipeline.verifying.findings import Finding
from pipeline.verifying.records import Records
from pipeline.verifying.results import small_pictures, written_files
from pipeline.verifying.tree import Entry, Tree, is_inside

__all__ = ["check_files"]

_RESULTS = ("results", "patches", "previews")
_OWN = ("report", "catalog")
_OLD_S = 24 * 3600.0
_BATCH = 10_000
_PATHS = ("result_path", "display_path")
_COLUMNS = (
    "bracket_id",
    "result_path",
    "result_sha256",
    "display_path",
    "display_sha256",
    "preview_uri",
    "map_uri",
    "strip_uri",
    "weights_uri",
    "fate",
)


def check_files(
    tree: Tree,
    records: Records,
    *,
    repair: bool,
    now_s: float,
    found: Callable[[Finding], None],
) -> int:
    """Look for files that no row stands for, and return how many files there are.

    Args:
        tree: the destination.
        records: the records of writers that died.
        repair: remove our own leftovers; nothing else is ever touched.
        now_s: the time, in seconds since 1970.
        found: told of every finding.

    Raises:
        InfrastructureError: ``storage-failed``.
    """
    check = _Check(tree=tree, repair=repair, found=found)
    listed = np.sort(_numbers(entry.path for entry in _files(tree)))
    check.announced = read_intents(tree.destination)
    recorded = unchanging(lambda: _recorded(tree, listed, check.announced))
    unknown = frozenset(listed[~np.isin(listed, recorded.paths)].tolist())
    if unknown:
        for entries in _batches(_files(tree)):
            numbers = path_numbers([entry.path for entry in entries]).tolist()
            for entry, number in zip(entries, numbers, strict=True):
                if number in unknown:
                    check.unknown(entry)
    for path, sha256 in recorded.withdrawn.items():
        check.withdrawn(path, sha256)
    for folder in (*_RESULTS, *_OWN):
        for entry in tree.walk(folder):
            if entry.is_temporary and now_s - (entry.changed_s or now_s) > _OLD_S:
                check.temporary(entry)
    for record, results in records.intents.items():
        check.announcement(record, results, recorded.written)
    return len(listed)


@dataclass
class _Recorded:
    """What the rows say of files."""

    paths: NDArray[np.int64]
    """Numbers of all paths that were ever written."""
    withdrawn: dict[str, str] = field(default_factory=dict)
    """Path -> SHA-256 of what was superseded or pruned, and has a file but no other result."""
    written: dict[str, set[str]] = field(default_factory=dict)
    """Path that a dead writer announced -> all that rows say was written there."""


@dataclass
class _Check:
    """What is done about each file."""

    tree: Tree
    repair: bool
    found: Callable[[Finding], None]
    announced: Mapping[str, Set[str]] = field(default_factory=dict)

    def unknown(self, entry: Entry) -> None:
        """A file that no row ever spoke of."""
        uri = self.tree.uri(entry.path)
        hashes = self.announced.get(entry.path)
        if hashes and file_sha256(self.tree.uri(entry.path)) in hashes:
            self.tidy("leftover-result", entry.path, f"{uri} has no row: its writer died before.")
            return
        message = f"No row speaks of {uri}. If it is yours, all is well; it is left alone."
        self.found(Finding(code="file-unknown", path=entry.path, message=message))

    def withdrawn(self, path: str, sha256: str) -> None:
        """A result that a run had to remove, and did not come to."""
        if is_inside(path) and file_sha256(self.tree.uri(path)) == sha256:
            message = f"{self.tree.uri(path)} was superseded or pruned."
            self.tidy("leftover-superseded", path, message)

    def temporary(self, entry: Entry) -> None:
        """An old temporary file."""
        message = f"{self.tree.uri(entry.path)} was being written when its writer died."
        self.tidy("leftover-temporary", entry.path, message)

    def announcement(
        self, record: str, results: Mapping[str, str], written: Mapping[str, Set[str]]
    ) -> None:
        """The word of a writer that died goes as soon as nothing depends on it.

        A file with other bytes than its rows say is known for ours by this word alone.
        """
        done = False
        if self.repair:
            now = {path: file_sha256(self.tree.uri(path)) for path in results}
            done = all(one is None or one in written.get(path, ()) for path, one in now.items())
        if done:
            self.tree.remove(record)
        self.found(
            Finding(
                code="writer-died",
                path=record,
                message=f"A writer died, or is still at work, on {', '.join(sorted(results))}.",
                done="removed" if done else None,
            )
        )

    def tidy(self, code: str, path: str, message: str) -> None:
        """A leftover of ours."""
        if not self.repair:
            self.found(Finding(code=code, path=path, message=f"{message} --repair removes it."))
            return
        self.tree.remove(path)
        self.found(Finding(code=code, path=path, message=message, done="removed"))


def _files(tree: Tree) -> Iterator[Entry]:
    """Files where results are; hidden ones are nobody's business."""
    for folder in _RESULTS:
        for entry in tree.walk(folder):
            if not entry.name.startswith("."):
                yield entry


def _recorded(
    tree: Tree, listed: NDArray[np.int64], announced: Mapping[str, Set[str]]
) -> _Recorded:
    """Go through all rows that were ever written, a segment at a time."""
    withdrawn: dict[str, str] = {}
    written: dict[str, set[str]] = {}

    def paths() -> Iterator[str]:
        for row in _rows(tree.destination):
            for path, sha256 in written_files(row):
                yield path
                if path in announced:
                    written.setdefault(path, set()).add(sha256)
                if row["fate"] in HIDDEN_FATES and _holds(listed, path):
                    withdrawn[path] = sha256
            yield from small_pictures(row)

    numbers = np.unique(_numbers(paths()))
    if withdrawn:
        for column in read_report(tree.destination, columns=_PATHS).columns:
            for path in column:
                withdrawn.pop(path.as_py(), None)
    return _Recorded(paths=numbers, withdrawn=withdrawn, written=written)


def _holds(ordered: NDArray[np.int64], path: str) -> bool:
    (number,) = path_numbers([path])
    place = int(np.searchsorted(ordered, number))
    return place < len(ordered) and bool(ordered[place] == number)


def _rows(destination: str) -> Iterator[Row]:
    for segment in live_segments(destination):
        with open_segment(segment) as file:
            for group in range(file.num_row_groups):
                table = read_columns(file, _COLUMNS, group=group)
                for batch in table.to_batches(max_chunksize=_BATCH):
                    yield from batch.to_pylist()


def _numbers(paths: Iterable[str]) -> NDArray[np.int64]:
    """Numbers of all the paths, without keeping the paths."""
    parts = [path_numbers(some) for some in _batches(iter(paths))]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _batches(items: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(items, _BATCH)):
        yield batch
