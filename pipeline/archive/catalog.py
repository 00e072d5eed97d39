# SPDX-License-Identifier: Apache-2.0
"""The catalog: a Parquet table of the brackets and singles of an archive, frames nested."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archive import lists
from pipeline.archive.catalog_rows import (
    CATALOG_KEY,
    CATALOG_SCHEMA,
    CATALOG_VERSION,
    bracket_of,
    in_row_groups,
    tables_of,
)
from pipeline.bracket import Bracket
from pipeline.errors import UsageError
from pipeline.fault_points import fault_point
from pipeline.storage import exists, is_folder, open_atomic

__all__ = [
    "CATALOG_SCHEMA",
    "CATALOG_VERSION",
    "SCAN_KEY",
    "bracket_of",
    "copy_catalog",
    "is_bracket_list",
    "is_catalog",
    "open_catalog",
    "read_brackets",
    "read_catalog",
    "write_catalog",
    "write_rows",
]

SCAN_KEY = b"bracketflow.scan"
"""Of the file's metadata: how it was scanned."""

_COPY_BYTES = 8 << 20


def write_catalog(brackets: Iterable[Bracket], uri: str) -> int:
    """Write a catalog; the file appears when it is complete, in place of an older catalog.

    Memory is bounded by a row group, however many brackets come.

    Returns:
        the number of rows.

    Raises:
        UsageError: ``destination-invalid``, a file stands there that is no catalog.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    return write_rows(tables_of(brackets), uri)


def write_rows(tables: Iterable[pa.Table], uri: str, *, scan: bytes | None = None) -> int:
    """As :func:`write_catalog`, from rows that :func:`rows_of` made.

    The bytes depend on the rows and their order, not on the tables that they come in.

    Args:
        tables: any number of rows each.
        uri: where the catalog goes.
        scan: what the next scan compares itself with, see :mod:`pipeline.archive.older`.
    """
    if exists(uri) and not is_catalog(uri):
        raise UsageError(
            "destination-invalid",
            f"{uri} exists and is no catalog of bracketflow; choose another name.",
        )
    fault_point("catalog.before")
    more = {} if scan is None else {SCAN_KEY: scan}
    schema = CATALOG_SCHEMA.with_metadata(CATALOG_SCHEMA.metadata | more)
    with open_atomic(uri) as handle:
        rows = _write(tables, handle, schema)
    fault_point("catalog.after")
    return rows


def copy_catalog(source: str, uri: str) -> int:
    """A copy of a catalog, byte for byte; it appears when it is complete.

    Returns:
        the number of rows.

    Raises:
        UsageError: ``catalog-invalid``, or ``source-missing`` if there is no such file.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    with open_catalog(source) as file:
        rows = int(file.metadata.num_rows)
    with _open(source) as old, open_atomic(uri) as new:
        shutil.copyfileobj(old, new, _COPY_BYTES)
    return rows


@contextmanager
def open_catalog(uri: str) -> Iterator[Any]:
    """The Parquet file of a catalog.

    Raises:
        UsageError: ``catalog-invalid``, or ``source-missing`` if there is no such file.
    """
    with _open(uri) as handle:
        table = lists.open_parquet(handle, uri)
        if not _has_key(table):
            raise UsageError(
                "catalog-invalid",
                f"{uri} is not a catalog; write one with `bracketflow scan SOURCE --out {uri}`.",
            )
        try:
            version = int(table.schema_arrow.metadata[CATALOG_KEY])
        except ValueError as error:
            raise UsageError(
                "catalog-invalid",
                f"{uri} is a damaged catalog (its version is no number); scan the archive again.",
            ) from error
        if version > CATALOG_VERSION:
            raise UsageError(
                "catalog-invalid",
                f"{uri} was written by a newer bracketflow (version {version} of the catalog); "
                "update bracketflow or scan again.",
            )
        yield table


def read_catalog(uri: str) -> Iterator[Bracket]:
    """The rows of a catalog in their order, a row group at a time.

    Raises:
        UsageError: ``catalog-invalid``, or ``source-missing`` if there is no such file.
    """
    with open_catalog(uri) as table:
        for row in lists.parquet_rows(table, uri):
            yield bracket_of(row, uri)


def read_brackets(uri: str) -> Iterator[Bracket]:
    """The brackets of a catalog or of a user's list (see :mod:`pipeline.archive.lists`).

    Raises:
        UsageError: ``catalog-invalid``, or ``source-missing`` if there is no such file.
    """
    if not uri.lower().endswith(".csv") and is_catalog(uri):
        return read_catalog(uri)
    return lists.read_list(uri)


def is_bracket_list(source: str) -> bool:
    """Whether a source is a catalog or a list of brackets, by its extension, not a folder."""
    if not source.lower().endswith((".csv", ".parquet")):
        return False
    return not is_folder(source)


def _write(tables: Iterable[pa.Table], handle: IO[bytes], schema: pa.Schema) -> int:
    rows = 0
    with pq.ParquetWriter(handle, schema, compression="zstd") as writer:
        for table in in_row_groups(tables):
            writer.write_table(table)
            rows += len(table)
    return rows


def is_catalog(uri: str) -> bool:
    """Whether a file is a catalog that :func:`write_catalog` wrote.

    Raises:
        UsageError: ``source-missing``.
    """
    try:
        with _open(uri) as handle:
            return _has_key(lists.open_parquet(handle, uri))
    except UsageError as error:
        if error.code == "source-missing":
            raise
        return False


def _has_key(table: Any) -> bool:
    return CATALOG_KEY in (table.schema_arrow.metadata or {})


_open = lists.open_list
