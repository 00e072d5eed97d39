# SPDX-License-Identifier: Apache-2.0
"""The whole verification of a destination, step by step.

Everything streams: rows in batches, files a folder at a time, findings to a Parquet file. Without
``repair`` nothing is written. With it, what is ours and in the way is moved to ``set-aside/`` or,
where it is a mere leftover, removed; what is somebody else's is never touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.ledger import read_intents, read_report
from pipeline.verifying.findings import Finding, Findings
from pipeline.verifying.records import check_records
from pipeline.verifying.results import COLUMNS, check_row
from pipeline.verifying.tree import Tree
from pipeline.verifying.unrecorded import check_files

__all__ = ["Verdict", "check_report", "fused_rows", "verify"]

_BATCH = 500
_REMOTE_READERS = 16  # waiting for the network, not for a CPU


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a verification found."""

    destination: str
    rows: int
    """Results that were compared with their rows."""
    files: int
    """Files that were looked at in the folders of results."""
    complete: bool
    """False where a damaged report kept rows and files from being compared."""
    open: int
    """Findings that still need somebody; remarks do not count."""
    counts: dict[str, int]
    """How often each code came up."""
    findings: tuple[Finding, ...]
    """The first of them; all are in the Parquet file where one was asked for."""

    @property
    def clean(self) -> bool:
        return self.complete and not self.open


def check_report(destination: str) -> None:
    """Refuse a place where no run ever wrote a report.

    Raises:
        UsageError: ``source-missing``.
    """
    if not storage.exists(storage.join(destination, "report")):
        raise UsageError(
            "source-missing", f"There is no report/ in {destination}; name what `fuse` wrote to."
        )


def fused_rows(destination: str) -> pa.Table:
    """The newest rows that speak of a result of their own, as far as the check needs them."""
    table = read_report(destination, columns=COLUMNS)
    fused = pc.and_(pc.equal(table["status"], "fused"), pc.is_valid(table["result_path"]))
    return table.filter(fused)


def verify(
    destination: str,
    *,
    deep: bool = False,
    repair: bool = False,
    out: str | None = None,
    threads: int | None = None,
    now_s: float | None = None,
    began: Callable[[int], None] = lambda rows: None,
    progress: Callable[[], None] = lambda: None,
) -> Verdict:
    """Compare every row with its file, and every file with the rows.

    Args:
        destination: folder or URI that ``fuse`` or ``shard`` wrote to.
        deep: decode every result whole; by default its hash and its header are checked.
        repair: set damaged files aside and remove our leftovers. Nobody else may be writing.
        out: URI of a Parquet file for the findings.
        threads: files read at a time; by default as suits the storage.
        now_s: the time, in seconds since 1970; the clock's by default.
        began: told how many rows there are, once that is known.
        progress: called after each row.

    Raises:
        UsageError: ``source-missing``, there is no such destination.
        InfrastructureError: ``storage-failed``.
    """
    tree = Tree(destination)
    check_report(destination)
    rows = files = 0
    with Findings(out) as findings:
        records = check_records(tree, repair=repair, found=findings.add)
        complete = not records.damaged
        if complete:
            table = fused_rows(destination)
            began(len(table))
            workers = threads or _threads(destination, deep)
            for some in _results(tree, table, deep, repair, workers):
                rows += 1
                progress()
                for finding in some:
                    findings.add(finding)
            now_s = time.time() if now_s is None else now_s
            files = check_files(tree, records, repair=repair, now_s=now_s, found=findings.add)
    return Verdict(
        destination=destination,
        rows=rows,
        files=files,
        complete=complete,
        open=findings.open,
        counts=dict(sorted(findings.counts.items())),
        findings=tuple(findings.shown),
    )


def _results(
    tree: Tree, table: pa.Table, deep: bool, repair: bool, threads: int
) -> Iterator[list[Finding]]:
    announced = read_intents(tree.destination)

    def check(row: dict[str, Any]) -> list[Finding]:
        return check_row(tree, row, intents=announced, deep=deep, repair=repair)

    with ThreadPoolExecutor(threads) as pool:
        for batch in table.to_batches(max_chunksize=_BATCH):
            yield from pool.map(check, batch.to_pylist())


def _threads(destination: str, deep: bool) -> int:
    """Decoding takes CPUs, and the memory of a picture each."""
    cpus = os.cpu_count() or 1
    return min(cpus, 8) if deep or storage.is_local(destination) else _REMOTE_READERS
