# SPDX-License-Identifier: Apache-2.0
"""Brackets of earlier runs that this run did not find: superseded, gone, or still to come back.

A bracket that gained or lost frames has another id: as soon as its new result is there, the old
one is superseded, and its result goes if it is ours and lies elsewhere. A bracket of which no
frame exists any more is gone; its result stays unless it is to be pruned. Files go before the row
that says so: a run that dies in between finds the same brackets again and ends the work.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage
from pipeline.archive.catalog_columns import catalog_paths
from pipeline.archive.lists import ID
from pipeline.contents import file_sha256
from pipeline.digests import id_numbers, path_numbers
from pipeline.errors import BracketflowError
from pipeline.fault_points import fault_point
from pipeline.fuse_run import Plan
from pipeline.ledger import Ledger
from pipeline.naming import preview_paths
from pipeline.planning import revived
from pipeline.report.schema import HIDDEN_FATES, Fate, Row
from pipeline.runs import Counts
from pipeline.segments import live_segments, open_segment, read_columns
from pipeline.standing import FATES, STATUSES
from pipeline.verifying.results import written_files
from pipeline.verifying.tree import is_inside

__all__ = ["retire"]

_BATCH = 500  # rows held at a time
_THREADS = 16
Numbers = NDArray[Any]


def retire(plan: Plan, counts: Counts) -> None:
    """Decide on every bracket of earlier runs that the catalog does not hold any more.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    places = _unfound(plan)
    if not len(places):
        return
    now = _Now.of(plan, places)
    run = plan.run
    columns = ("bracket_id", "frame_paths", "frame_uris")
    with (
        Ledger(run.destination, run.run_id, "retire") as ledger,
        ThreadPoolExecutor(_THREADS, thread_name_prefix="gone") as pool,
    ):
        for some in _batches(places):
            frames = [plan.standing.row(place, columns) for place in some]
            fates = pool.map(lambda row: _fate(row, now, prune=run.work.prune), frames)
            for place, (fate, heir) in zip(some, fates, strict=True):
                if fate is None or fate == plan.standing.fate(place):
                    continue
                row = plan.standing.row(place)
                if fate in HIDDEN_FATES:
                    fault_point("retire.file.before")
                    _remove(row, plan, place, now)
                    fault_point("retire.file.after")
                ledger.append(revived(row, run_id=run.run_id, fate=fate, superseded_by=heir))
                counts.retire(fate)


def _unfound(plan: Plan) -> Numbers:
    """Places of the newest rows that the report shows of brackets which were not found."""
    rows = plan.standing.rows
    if not len(rows):
        return np.empty(0, np.int64)
    sources = {plan.run.source, *plan.sources}
    ours = np.array([source in sources for source in plan.standing.sources], np.bool_)
    shown = rows.newest & (rows.fate <= FATES.index("source_gone")) & ours[rows.source]
    places = np.flatnonzero(shown)
    at = np.minimum(np.searchsorted(plan.ids, rows.ids[places]), max(len(plan.ids) - 1, 0))
    found = plan.ids[at] == rows.ids[places] if len(plan.ids) else np.zeros(len(places), np.bool_)
    left = places[~found]
    # In the order in which they lie in the segments, so that each is read once.
    ordered: Numbers = left[np.lexsort((rows.number[left], rows.segment[left]))]
    return ordered


@dataclass(frozen=True, kw_only=True)
class _Now:
    """What this run found and made, as far as the unfound brackets are concerned."""

    paths: Numbers
    """Frames of theirs that are in the catalog, sorted numbers."""
    heirs: Numbers
    """The bracket that each of them belongs to now."""
    standing: Numbers
    """Ids, sorted, of those brackets that have a result."""
    written: Numbers
    """Result paths of this run."""

    @classmethod
    def of(cls, plan: Plan, places: Numbers) -> _Now:
        wanted = [np.empty(0, np.int64)]
        for some in _batches(places):
            rows = (plan.standing.row(place, ("frame_paths",)) for place in some)
            wanted.append(path_numbers([path for row in rows for path in row["frame_paths"] or ()]))
        frames = np.unique(np.concatenate(wanted))
        paths, heirs = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for numbers, ids in catalog_paths(plan.run.catalog_uri):
            hit = np.isin(numbers, frames)
            paths.append(numbers[hit])
            heirs.append(ids[hit])
        path, heir = np.concatenate(paths), np.concatenate(heirs)
        order = np.argsort(path, kind="stable")
        standing, written = _results_now(plan, np.unique(heir))
        return cls(paths=path[order], heirs=heir[order], standing=standing, written=written)

    def heir(self, row: Row) -> int | None:
        """The bracket that has most of a row's frames now, None if none is in the catalog."""
        numbers = path_numbers(row["frame_paths"] or [])
        first = np.searchsorted(self.paths, numbers, side="left")
        last = np.searchsorted(self.paths, numbers, side="right")
        counted = Counter(
            heir
            for start, end in zip(first.tolist(), last.tolist(), strict=True)
            for heir in self.heirs[start:end].tolist()
        )
        return min(counted, key=lambda heir: (-counted[heir], heir)) if counted else None

    def has_result(self, heir: int) -> bool:
        """Whether a bracket of the catalog has a result."""
        return bool(np.isin(np.uint64(heir), self.standing))


def _results_now(plan: Plan, heirs: Numbers) -> tuple[Numbers, Numbers]:
    """Which of the brackets have a result after this run, and the paths that it wrote."""
    worked, made = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    written = [np.empty(0, np.int64)]
    for segment in live_segments(plan.run.destination, run_id=plan.run.run_id):
        with open_segment(segment) as file:
            table = read_columns(file, ("bracket_id", "status", "result_path", "display_path"))
        ids, fused = id_numbers(table["bracket_id"]), pc.equal(table["status"], "fused")
        worked.append(ids)
        made.append(ids[np.asarray(fused)])
        for column in table.filter(fused).select(["result_path", "display_path"]).columns:
            written.append(path_numbers(column.drop_null().to_pylist()))
    places = plan.standing.places(heirs)
    rows = plan.standing.rows
    before = np.zeros(len(heirs), np.bool_)
    known = places >= 0
    at = places[known]
    shown = rows.fate[at] <= FATES.index("source_gone")
    before[known] = (rows.status[at] == STATUSES.index("fused")) & shown
    before &= ~np.isin(heirs, np.concatenate(worked))
    return np.concatenate([heirs[before], *made]), np.concatenate(written)


def _batches(places: Numbers) -> Iterator[list[int]]:
    for start in range(0, len(places), _BATCH):
        yield places[start : start + _BATCH].tolist()


def _fate(row: Row, now: _Now, *, prune: bool) -> tuple[Fate | None, str | None]:
    """What became of an unfound bracket, and by which one it was superseded."""
    heir = now.heir(row)
    if heir is not None:
        return ("superseded", f"{heir:016x}") if now.has_result(heir) else (None, None)
    if not row["frame_uris"] or not all(map(_is_gone, row["frame_uris"])):
        return None, None
    return ("pruned" if prune else "source_gone"), None


def _is_gone(uri: str) -> bool:
    """Whether a file certainly does not exist: an error of the storage is no proof."""
    try:
        if not storage.is_local(uri):
            return storage.info(uri) is None
        os.lstat(storage.local_path(uri))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (BracketflowError, OSError, ValueError):
        return False
    return False


def _remove(row: Row, plan: Plan, place: int, now: _Now) -> None:
    """Remove what is ours of a bracket that is no more: its files, unless others lie there.

    A row is believed only where it speaks of a place for results: a report may have been edited.
    """
    destination = plan.run.destination
    ours = row["preview_uri"] is not None and ID.fullmatch(row["bracket_id"])
    for path in preview_paths(row["bracket_id"]) if ours else ():
        storage.delete(storage.join(destination, *path.split("/")))
    if row["status"] != "fused" or not plan.standing.rows.stands[place]:
        return
    for path, sha256 in written_files(row):
        if not is_inside(path) or np.isin(path_numbers([path]), now.written).any():
            continue
        uri = storage.join(destination, *path.split("/"))
        if storage.is_file(uri) and file_sha256(uri) == sha256:
            storage.delete(uri)
