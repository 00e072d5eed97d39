# SPDX-License-Identifier: Apache-2.0
"""What an older catalog knows already: rows of folders in which nothing changed since.

A row tells what the listing of its folder looked like (:mod:`pipeline.archive.stamps`), the file
how it was scanned. Where both are the same now, a scan would find the same, and need not.
"""

from __future__ import annotations

import json
import posixpath
import re
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
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
from pipeline.archive.stamps import DIGITS, SEALED, Seal, answer_digest, folder_digest
from pipeline.errors import UsageError

__all__ = ["OlderCatalog", "open_older", "scan_note"]

SCAN_VERSION = 2
"""Raised by hand whenever a scan would find something else in the same files."""

_NO_MATTER = ("threads", "settle_s")  # options that do not change what is found
_LISTING = re.compile(rf"[0-9a-f]{{{2 * DIGITS}}}")
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
                schema = file.schema_arrow
                if (schema.metadata or {}).get(SCAN_KEY) != scan_note(job):
                    continue
                if not schema.equals(CATALOG_SCHEMA):  # somebody's own columns or types
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


@dataclass(frozen=True)
class _Group:
    """A row group, and what the seals of its rows are over."""

    table: pa.Table

    @cached_property
    def _rows(self) -> list[list[str | None]]:
        return [self.table[name].to_pylist() for name in SEALED[:3]]

    @cached_property
    def _frames(self) -> list[list[str | None]]:
        flat = pc.list_flatten(self.table["frames"])
        return [pc.struct_field(flat, name).to_pylist() for name in SEALED[3:]]

    @cached_property
    def _ends(self) -> Any:
        return np.cumsum(pc.list_value_length(self.table["frames"]).to_numpy(), dtype=int)

    def sealed(self, start: int, stop: int) -> Iterator[list[str | None]]:
        """The sealed columns of some rows."""
        first = int(self._ends[start - 1]) if start else 0
        last = int(self._ends[stop - 1])
        yield from (values[start:stop] for values in self._rows)
        yield from (values[first:last] for values in self._frames)


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
        self._groups: dict[int, _Group] = {}
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
        which = range(start, start + int(self._counts[at]))
        first = self.rows(which[:1])
        places = first["beside"][0].as_py() or []
        if None in places:
            return None
        seal = Seal()
        for group, begin, end in self._pieces(which):
            seal.update(group.sealed(begin, end))
        answers = answer_digest(map(siblings.digest, places), seal.hexdigest())
        return which if first["listing"][0].as_py() == own + answers else None

    def rows(self, which: range) -> pa.Table:
        """Some rows.

        Raises:
            UsageError: ``catalog-invalid``, the file is damaged.
        """
        parts = [group.table.slice(begin, end - begin) for group, begin, end in self._pieces(which)]
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts)

    def _pieces(self, which: range) -> Iterator[tuple[_Group, int, int]]:
        """The row groups that some rows lie in, and where in each."""
        start = which.start
        while start < which.stop:
            number = int(np.searchsorted(self._ends, start, side="right"))
            first = int(self._ends[number - 1]) if number else 0
            stop = min(which.stop, int(self._ends[number]))
            yield self._group(number), start - first, stop - first
            start = stop

    def _group(self, number: int) -> _Group:
        if number not in self._groups:
            with lists.damage(self.uri):
                table = self._file.read_row_group(number).cast(CATALOG_SCHEMA)
                table.validate(full=True)  # text that is none would be noticed too late
            self._groups[number] = _Group(table)
            for old in [k for k in self._groups if k < number - 1]:
                del self._groups[old]
        return self._groups[number]


def _runs(file: Any) -> tuple[Any, array[int], array[int]]:
    """The folders of a catalog: hashes of their listings, first rows, numbers of rows."""
    found = bytearray()
    starts, counts = array("q"), array("i")
    row, last = 0, None
    for batch in file.iter_batches(columns=["listing"]):
        batch.validate(full=True)
        runs = pc.run_end_encode(batch["listing"])
        begin = 0
        for listing, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            if listing is None or not _LISTING.fullmatch(listing):
                listing = None
            elif listing == last:
                counts[-1] += end - begin
            else:
                found += bytes.fromhex(listing[:DIGITS])
                starts.append(row + begin)
                counts.append(end - begin)
            begin, last = end, listing
        row += len(batch)
    return np.frombuffer(bytes(found), f"S{DIGITS // 2}"), starts, counts
