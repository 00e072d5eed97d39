# SPDX-License-Identifier: Apache-2.0
"""Find the brackets of an archive.

The listing is walked folder by folder. Folders in which nothing changed since an older catalog
keep their rows; the others are looked into, here or on Ray. Rows come in the order of the walk:
what lies in subfolders before what lies in the folder itself, names sorted, and within a folder as
its layout has them. Order and rows are the same however many workers there were. Nothing here
holds the archive: memory follows the largest folder.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.archive.catalog_rows import ROW_GROUP, brackets_of
from pipeline.archive.crew import Crew
from pipeline.archive.folders import folders_of
from pipeline.archive.layout import Folder
from pipeline.archive.looking import Looked, ScanJob
from pipeline.archive.older import OlderCatalog
from pipeline.archive.options import LayoutName, ScanOptions
from pipeline.archive.summary import ScanSummary, Tally, summarize
from pipeline.bracket import Bracket
from pipeline.listing import list_files

__all__ = [
    "LayoutName",
    "ScanOptions",
    "ScanResult",
    "ScanSummary",
    "scan",
    "scan_iter",
    "scan_job",
    "scan_rows",
    "summarize",
]

_BATCH_FILES = 256  # photographs looked at together, or more where one folder holds more
_BATCH_PARTS = 1024  # folders of a batch, unchanged ones counted
_GRANULE_NS = 2 * 10**9  # file systems may count times in steps of up to two seconds


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """Brackets and singles, sorted by the path of their first frame, and their counts."""

    brackets: list[Bracket]
    summary: ScanSummary


def scan(
    source: str,
    *,
    options: ScanOptions,
    skip: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ScanResult:
    """Scan an archive that is small enough to be held in memory.

    Args:
        source: URI of a folder.
        options: how to scan.
        skip: a folder to leave out, such as a destination inside the source.
        progress: called with the number of files looked at since the last call.

    Raises:
        UsageError: ``source-missing``.
        InfrastructureError: ``storage-failed``.
    """
    tally = Tally()
    found = scan_iter(source, options=options, skip=skip, progress=progress, tally=tally)
    brackets = sorted(found, key=lambda bracket: min(frame.path for frame in bracket.frames))
    return ScanResult(brackets=brackets, summary=tally.summary())


def scan_iter(
    source: str,
    *,
    options: ScanOptions,
    skip: str | None = None,
    progress: Callable[[int], None] | None = None,
    tally: Tally | None = None,
) -> Iterator[Bracket]:
    """As :func:`scan`, in the order of the walk and in memory of a few folders."""
    job = scan_job(source, options)
    with Crew(job) as crew:
        for table in scan_rows(job, crew, tally or Tally(), skip=skip, progress=progress):
            yield from brackets_of(table, source)


def scan_job(source: str, options: ScanOptions, *, check: bool = False) -> ScanJob:
    """What a scan that begins now is to do, see :class:`ScanJob`."""
    return ScanJob(
        source=source, options=options, check=check, settled_ns=time.time_ns() - _GRANULE_NS
    )


def scan_rows(
    job: ScanJob,
    crew: Crew,
    tally: Tally,
    *,
    older: OlderCatalog | None = None,
    skip: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[pa.Table]:
    """The rows of a catalog, in the order of the walk.

    Args:
        job: what to scan.
        crew: who looks into folders.
        tally: counts along.
        older: knows the rows of folders that did not change.
        skip: a folder to leave out.
        progress: called with the number of files looked at since the last call.

    Raises:
        UsageError: ``source-missing``; ``catalog-invalid``, the older catalog is damaged.
        InfrastructureError: ``storage-failed``, or what the crew raises.
    """
    listed = folders_of(list_files(job.source, skip=skip), job.source)
    settled = _settled(listed, job.options.settle_s, tally)
    begun: deque[_Batch] = deque()

    def to_look() -> Iterator[list[Folder]]:
        for batch in _batches(settled, older, crew, tally):
            begun.append(batch)
            yield batch.folders

    for looked in crew.look(to_look()):
        batch = begun.popleft()
        for table in batch.woven(looked, older):
            tally.rows(table)
            yield table
        if progress is not None:
            progress(batch.files)


@dataclass
class _Batch:
    """Neighbouring folders: some to look into, and the known rows of the others."""

    folders: list[Folder] = field(default_factory=list)
    parts: list[range | int] = field(default_factory=list)
    """In their order: known rows, and how many folders are looked into between them."""
    known: int = 0
    photographs: int = 0
    files: int = 0

    @property
    def full(self) -> bool:
        return (
            self.photographs >= _BATCH_FILES
            or self.known >= ROW_GROUP
            or len(self.parts) + len(self.folders) >= _BATCH_PARTS
        )

    def add(self, folder: Folder, known: range | None) -> None:
        last = self.parts[-1] if self.parts else None
        if known is None:
            self.folders.append(folder)
            self.photographs += folder.photographs
            if isinstance(last, int):
                self.parts[-1] = last + 1
            else:
                self.parts.append(1)
        else:
            self.known += len(known)
            if isinstance(last, range) and last.stop == known.start:
                self.parts[-1] = range(last.start, known.stop)
            else:
                self.parts.append(known)
        self.files += folder.file_count

    def woven(self, looked: Looked, older: OlderCatalog | None) -> Iterator[pa.Table]:
        """All rows in the order of the walk."""
        folder = row = 0
        for part in self.parts:
            if isinstance(part, int):
                count = sum(looked.counts[folder : folder + part])
                yield looked.rows.slice(row, count)
                folder, row = folder + part, row + count
            elif older is not None:
                yield older.rows(part)


def _batches(
    folders: Iterable[Folder], older: OlderCatalog | None, crew: Crew, tally: Tally
) -> Iterator[_Batch]:
    batch = _Batch()
    for folder in folders:
        tally.folder(folder)
        batch.add(folder, older.find(folder, crew.looker.siblings) if older else None)
        if batch.full:
            yield batch
            batch = _Batch()
    if batch.parts:
        yield batch


def _settled(folders: Iterable[Folder], settle_s: float, tally: Tally) -> Iterator[Folder]:
    """The folders in which nothing changed of late; photographs of the others are counted."""
    latest_ns = time.time_ns() - round(settle_s * 1e9)
    for folder in folders:
        # A time to come tells nothing, and would never pass; now is later than the listing.
        now_ns = time.time_ns()
        times = (file.mtime_ns or 0 for file in folder.everything())
        if settle_s and any(latest_ns < changed_ns <= now_ns for changed_ns in times):
            tally.unsettled(folder.photographs)
        else:
            yield folder
