# SPDX-License-Identifier: Apache-2.0
"""Many small segments become one file; at every moment each row counts exactly once.

The compacted file is written first and does not count yet. The list of what it replaces is the
commit: from then on it counts, and what it replaces counts no more. The old files go last, so a
reader that listed them just before may miss one, and lists again. Whoever dies in between leaves
files that do not count, which the next compaction removes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.fault_points import fault_point
from pipeline.ledger import read_manifests
from pipeline.lock import hold
from pipeline.report.schema import SCHEMA
from pipeline.runs import new_run_id
from pipeline.segments import (
    COMPACTED,
    REPLACES,
    REPORT,
    Segment,
    live_segments,
    open_segment,
    read_columns,
    read_json,
    report_files,
)

__all__ = ["compact"]

_ROWS = 4096  # in memory at a time, and in a row group


def compact(destination: str) -> int:
    """Merge the segments of all finished runs into one file; other runs are locked out meanwhile.

    Args:
        destination: the folder or URI that ``fuse`` wrote to.

    Returns:
        how many files were merged; 0 where there was nothing to gain.

    Raises:
        LockedError: a run is writing there.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    name = new_run_id()
    with hold(destination, run_id=f"compact-{name}") as lease:
        _sweep(destination)
        finished = {manifest["run_id"] for manifest in read_manifests(destination)}
        old = [one for one in live_segments(destination) if finished.issuperset(one.run_ids)]
        if len(old) < 2:
            return 0
        base = storage.join(destination, REPORT)
        fault_point("ledger.compact.before")
        with (
            storage.open_atomic(storage.join(base, f"{COMPACTED}{name}.parquet")) as handle,
            pq.ParquetWriter(handle, SCHEMA, compression="zstd") as writer,
        ):
            for table in _portions(old):
                writer.write_table(table)
        fault_point("ledger.compact.after")
        lease.check()
        content = {
            "replaces": [one.name for one in old],
            "run_ids": sorted({run_id for one in old for run_id in one.run_ids}),
        }
        storage.write_atomic(
            storage.join(base, f"{REPLACES}{name}.json"), json.dumps(content).encode("utf-8")
        )
        fault_point("ledger.replaces.after")
        _sweep(destination)
    return len(old)


def _portions(segments: Sequence[Segment]) -> Iterator[pa.Table]:
    """All rows, some thousand at a time."""
    waiting: list[pa.Table] = []
    for segment in segments:
        with open_segment(segment) as file:
            for group in range(file.metadata.num_row_groups):
                waiting.append(read_columns(file, SCHEMA.names, group=group))
                if sum(map(len, waiting)) >= _ROWS:
                    yield pa.concat_tables(waiting)
                    waiting.clear()
    if waiting:
        yield pa.concat_tables(waiting)


def _sweep(destination: str) -> None:
    """Remove what was replaced, and what an earlier compaction left before its commit."""
    files = report_files(destination)
    lists = {
        name.removeprefix("_").removesuffix(".json"): name
        for name in files
        if name.startswith(REPLACES) and name.endswith(".json")
    }
    replaced = {old for name in lists.values() for old in read_json(files[name])["replaces"]}
    for name, uri in files.items():
        stem = name.removesuffix(".parquet")
        unfinished = name.startswith(COMPACTED) and name != stem and stem not in lists
        if name in replaced or unfinished:
            storage.delete(uri)
            fault_point("ledger.sweep.after")
    # A list goes after its file: it kept that file from being taken for one that counts.
    for stem, name in lists.items():
        if f"{stem}.parquet" in replaced:
            storage.delete(files[name])
