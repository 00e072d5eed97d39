# SPDX-License-Identifier: Apache-2.0
"""A catalog by columns: what a plan asks of every bracket, without making brackets of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.archive import lists
from pipeline.archive.catalog import bracket_of, open_catalog
from pipeline.bracket import Bracket
from pipeline.digests import id_numbers, path_numbers
from pipeline.errors import UsageError
from pipeline.naming import Named
from pipeline.settings import KeyMaker

__all__ = ["CatalogBatch", "catalog_batches", "catalog_ids", "catalog_names", "catalog_paths"]

_BATCH = 4096  # brackets looked at together
_FRAME = "frames.list.element."
_FACTS = ("path", "size_bytes", "mtime_ns", "exposure_time_s", "ev")
_COLUMNS = (
    "bracket_id",
    "kind",
    "label_uri",
    "label_kind",
    "error_code",
    *(_FRAME + name for name in _FACTS),
)


@dataclass(frozen=True)
class CatalogBatch:
    """Neighbouring rows of a catalog."""

    columns: pa.RecordBatch
    whole: _Group
    offset: int
    """Of the first row within its row group."""

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """Ids as numbers."""
        return id_numbers(pa.chunked_array([self.columns["bracket_id"]]))

    @cached_property
    def plain(self) -> NDArray[np.bool_]:
        """Brackets and singles that have frames, no label and no error, as most of them."""
        columns = self.columns
        nothing = pc.and_(pc.is_null(columns["label_uri"]), pc.is_null(columns["label_kind"]))
        clean = pc.and_(nothing, pc.is_null(columns["error_code"]))
        filled = pc.greater(pc.fill_null(pc.list_value_length(columns["frames"]), 0), 0)
        return np.asarray(pc.and_(clean, filled))

    @cached_property
    def real(self) -> NDArray[np.bool_]:
        """Brackets, not singles."""
        return np.asarray(pc.fill_null(pc.not_equal(self.columns["kind"], "single"), False))

    @cached_property
    def single(self) -> NDArray[np.bool_]:
        """Singles."""
        return np.asarray(pc.fill_null(pc.equal(self.columns["kind"], "single"), False))

    def digests(self, keys: KeyMaker, which: NDArray[np.bool_]) -> NDArray[Any]:
        """Digests of the keys of some of the rows, all of them plain ones."""
        frames = self.columns["frames"].filter(pa.array(which))
        ends = frames.offsets.to_numpy()
        flat = frames.values
        facts = [pc.struct_field(flat, name).to_pylist() for name in _FACTS]
        # As Frame.fingerprint and Bracket.fingerprint have it.
        lines = [f"{p}|{s}|{t}|{e}|{v}" for p, s, t, e, v in zip(*facts, strict=True)]
        found = [
            keys.plain_digest(_sha256("\n".join(lines[start:end]).encode()).hexdigest())[:16]
            for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]
        return np.array(found, "S16")

    def bracket(self, number: int) -> Bracket:
        """One row as a bracket.

        Raises:
            UsageError: ``catalog-invalid``.
        """
        (row,) = self.whole.table.slice(self.offset + number, 1).to_pylist()
        return bracket_of(row, self.whole.uri)


_sha256 = hashlib.sha256


@dataclass(frozen=True)
class _Group:
    """A row group with all its columns, read when one of its rows is asked for."""

    uri: str
    file: Any
    number: int

    @cached_property
    def table(self) -> pa.Table:
        with lists.damage(self.uri):
            return self.file.read_row_group(self.number)


def catalog_batches(uri: str) -> Iterator[CatalogBatch]:
    """All rows of a catalog, in their order.

    Raises:
        UsageError: ``catalog-invalid``, or ``source-missing`` if there is no such file.
    """
    with open_catalog(uri) as file:
        for number in range(file.num_row_groups):
            whole = _Group(uri, file, number)
            with lists.damage(uri):
                table = file.read_row_group(number, list(_COLUMNS)).combine_chunks()
            offset = 0
            for batch in table.to_batches(max_chunksize=_BATCH):
                yield CatalogBatch(batch, whole, offset)
                offset += len(batch)


def catalog_ids(uri: str) -> tuple[NDArray[np.uint64], frozenset[str]]:
    """The ids of all rows, sorted, and the sources that they name.

    Raises:
        UsageError: ``catalog-invalid``, a bracket comes twice or the file is damaged.
    """
    parts: list[NDArray[np.uint64]] = []
    sources: set[str] = set()
    with open_catalog(uri) as file, lists.damage(uri):
        for batch in file.iter_batches(_BATCH, columns=["bracket_id", "source"]):
            parts.append(id_numbers(pa.chunked_array([batch["bracket_id"]])))
            sources.update(batch["source"].unique().to_pylist())
    ids = np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        path = _first_path(uri, int(twice[0]))
        raise UsageError(
            "catalog-invalid",
            f"The bracket of {path} is in the catalog twice; scan the archive again.",
        )
    return ids, frozenset(sources)


def _first_path(uri: str, number: int) -> str:
    batches = catalog_batches(uri)
    brackets = (b.bracket(int(np.flatnonzero(b.ids == number)[0])) for b in batches
                if (b.ids == number).any())  # fmt: skip
    return next(brackets).frames[0].path


def catalog_names(uri: str) -> Iterator[Named]:
    """What the results' names are made of.

    Raises:
        UsageError: ``catalog-invalid``, the file is damaged.
    """
    columns = ["bracket_id", "layout", f"{_FRAME}path"]
    with open_catalog(uri) as file, lists.damage(uri):
        for batch in file.iter_batches(_BATCH, columns=columns):
            rows = zip(*(batch[name].to_pylist() for name in ("bracket_id", "layout", "frames")),
                       strict=True)  # fmt: skip
            for name, layout, frames in rows:
                yield Named(min(f["path"] for f in frames), name, len(frames), layout)


def catalog_paths(uri: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Numbers of the frames' paths, and of each the bracket that it belongs to.

    Raises:
        UsageError: ``catalog-invalid``, the file is damaged.
    """
    with open_catalog(uri) as file, lists.damage(uri):
        for batch in file.iter_batches(_BATCH, columns=["bracket_id", f"{_FRAME}path"]):
            ids = id_numbers(pa.chunked_array([batch["bracket_id"]]))
            frames = batch["frames"]
            paths = pc.struct_field(frames.flatten(), "path").to_pylist()
            counts = pc.fill_null(pc.list_value_length(frames), 0).to_numpy()
            yield path_numbers(paths), np.repeat(ids, counts)
