# SPDX-License-Identifier: Apache-2.0
"""What an older catalog knows already: rows of folders in which nothing changed since.

A row tells what the listing of its folder looked like (:mod:`pipeline.archive.stamps`), the file
how it was scanned. Where both are the same now, a scan would find the same, and need not.
"""

from __future__ import annotations

import json
import posixpath
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.archive import lists
from pipeline.archive.catalog import SCAN_KEY, open_catalog
from pipeline.archive.catalog_rows import CATALOG_SCHEMA
from pipeline.archive.layout import Folder
from pipeline.archive.looking import ScanJob
from pipeline.archive.siblings import Siblings
from pipeline.archive.stamps import DIGITS, beside_digest, folder_digest
from pipeline.errors import UsageError

__all__ = ["OlderCatalog", "open_older", "scan_note"]

SCAN_VERSION = 1
"""Raised by hand whenever a scan would find something else in the same files."""

_NO_MATTER = ("threads", "settle_s")  # options that do not change what is found
_LOOK_BACK = 8  # runs to the same destination among which one of this source is looked for


def scan_note(job: ScanJob) -> bytes:
    """What a catalog says of its scan; rows are taken over where it is the same."""
    options = asdict(job.options)
    for name in _NO_MATTER:
        del options[name]
    note = {"version": SCAN_VERSION, "source": job.source, "check": job.check, "options": options}
    return json.dumps(note, sort_keys=True).encode()


@contextmanager
def open_older(catalog: str, job: ScanJob) -> Iterator[OlderCatalog | None]:
    """The catalog that stands where one is to be written, or that an earlier run left beside it.

    Args:
        catalog: URI of the catalog to be written.
        job: how its source is to be scanned; None comes where no catalog was made like that.
    """
    for uri in _candidates(catalog):
        with ExitStack() as stack:
            try:
                file = stack.enter_context(open_catalog(uri))
                if (file.schema_arrow.metadata or {}).get(SCAN_KEY) != scan_note(job):
                    continue
                older = OlderCatalog(uri, file)
            except UsageError:  # gone, damaged or another file: nothing to learn from it
                continue
            yield older
            return
    yield None


def _candidates(catalog: str) -> Iterator[str]:
    if storage.exists(catalog):
        yield catalog
    folder, name = posixpath.split(catalog)
    if not _is_of_run(name):
        return
    runs = [other for other in storage.names_in(folder) if _is_of_run(other) and other != name]
    for other in sorted(runs, reverse=True)[:_LOOK_BACK]:
        yield storage.join(folder, other)


def _is_of_run(name: str) -> bool:
    return name.startswith("run=") and name.endswith(".parquet")


class OlderCatalog:
    """The rows of a catalog by the folder that they were found in.

    Holds 28 bytes for each folder, and two row groups; looking up folders in the order of the
    walk reads each row group once.
    """

    def __init__(self, uri: str, file: Any) -> None:
        self.uri = uri
        self._file = file
        self._ends = np.cumsum(
            [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)], dtype=int
        )
        self._groups: dict[int, pa.Table] = {}
        with lists.damage(uri):
            digests, starts, counts = _runs(file)
        order = np.argsort(digests, kind="stable")
        self._digests = digests[order]
        self._starts = np.frombuffer(starts, np.int64)[order]
        self._counts = np.frombuffer(counts, np.int32)[order]

    def find(self, folder: Folder, siblings: Siblings) -> range | None:
        """The numbers of a folder's rows; None if it changed, or nobody looked into it.

        Raises:
            UsageError: ``catalog-invalid``, the file is damaged.
        """
        if not len(self._digests):
            return None
        own = folder_digest(folder)
        key = np.bytes_(bytes.fromhex(own))
        at = int(np.searchsorted(self._digests, key))
        if at == len(self._digests) or self._digests[at] != key:
            return None
        start = int(self._starts[at])
        row = self.rows(range(start, start + 1))
        listing: str = row["listing"][0].as_py()
        if listing != own:
            beside = row["beside"][0].as_py() or []
            if listing != own + beside_digest(folder, beside, siblings.digest):
                return None
        return range(start, start + int(self._counts[at]))

    def rows(self, which: range) -> pa.Table:
        """Some rows.

        Raises:
            UsageError: ``catalog-invalid``, the file is damaged.
        """
        parts = []
        start = which.start
        while start < which.stop:
            group = int(np.searchsorted(self._ends, start, side="right"))
            first = int(self._ends[group - 1]) if group else 0
            stop = min(which.stop, int(self._ends[group]))
            parts.append(self._group(group).slice(start - first, stop - start))
            start = stop
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts)

    def _group(self, number: int) -> pa.Table:
        if number not in self._groups:
            with lists.damage(self.uri):
                table = self._file.read_row_group(number)
            self._groups[number] = table.select(CATALOG_SCHEMA.names).cast(CATALOG_SCHEMA)
            for old in [k for k in self._groups if k < number - 1]:
                del self._groups[old]
        return self._groups[number]


def _runs(file: Any) -> tuple[Any, array[int], array[int]]:
    """The folders of a catalog: hashes of their listings, first rows, numbers of rows."""
    found = bytearray()
    starts, counts = array("q"), array("i")
    row, last = 0, None
    for batch in file.iter_batches(columns=["listing"]):
        runs = pc.run_end_encode(batch["listing"])
        begin = 0
        for listing, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            if listing is not None and listing == last:
                counts[-1] += end - begin
            elif listing is not None:
                found += bytes.fromhex(listing[:DIGITS])
                starts.append(row + begin)
                counts.append(end - begin)
            begin, last = end, listing
        row += len(batch)
    return np.frombuffer(bytes(found), f"S{DIGITS // 2}"), starts, counts
