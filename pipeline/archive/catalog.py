# SPDX-License-Identifier: Apache-2.0
"""The catalog: a Parquet table of the brackets and singles of an archive, frames nested."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archive import lists
from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from pipeline.fault_points import fault_point
from pipeline.storage import exists, is_folder, open_atomic

__all__ = [
    "CATALOG_SCHEMA",
    "CATALOG_VERSION",
    "bracket_of",
    "copy_catalog",
    "is_bracket_list",
    "is_catalog",
    "open_catalog",
    "read_brackets",
    "read_catalog",
    "write_catalog",
]

CATALOG_VERSION = 1
"""Raised whenever a column changes its meaning."""

_ROW_GROUP = 4096  # brackets held in memory at a time
_COPY_BYTES = 8 << 20
_KEY = b"bracketflow.catalog"


def _field(name: str, kind: Any, about: str, *, unit: str = "", null: bool = True) -> Any:
    metadata = {"description": about} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=null, metadata=metadata)


_FRAME = pa.struct(
    [
        _field("uri", pa.string(), "where the photograph is", null=False),
        _field("path", pa.string(), "path relative to the source, /-separated", null=False),
        _field("size_bytes", pa.int64(), "size of the file", unit="B", null=False),
        _field("mtime_ns", pa.int64(), "last change of the file since 1970", unit="ns"),
        _field("width", pa.int32(), "upright width", unit="px"),
        _field("height", pa.int32(), "upright height", unit="px"),
        _field("exposure_time_s", pa.float64(), "exposure time", unit="s"),
        _field("f_number", pa.float64(), "aperture, f-number"),
        _field("iso", pa.float64(), "sensitivity, ISO"),
        _field("captured_s", pa.float64(), "capture since 1970 in the camera's clock", unit="s"),
        _field("ev", pa.float64(), "exposure, brighter is larger", unit="stop"),
        _field("camera", pa.string(), "make, model and serial of the body"),
        _field("twin_uri", pa.string(), "the same shot in another format, not fused"),
    ]
)
CATALOG_SCHEMA = pa.schema(
    [
        _field("bracket_id", pa.string(), "hash of the frames' paths, 16 hex digits", null=False),
        _field("kind", pa.string(), "bracket, or single: a frame of no bracket", null=False),
        _field("source", pa.string(), "URI that was scanned", null=False),
        _field("layout", pa.string(), "the layout that found it", null=False),
        _field("reason", pa.string(), "why it was formed", null=False),
        _field("confidence", pa.float64(), "how sure that is, 0..1", null=False),
        _field("notes", pa.list_(pa.string()), "what lowered the confidence, and more", null=False),
        _field("label_uri", pa.string(), "reference picture"),
        _field("label_kind", pa.string(), "display (sRGB) or radiance (linear)"),
        _field("error_code", pa.string(), "why it cannot be worked on"),
        _field("error_message", pa.string(), "the same as a sentence, with the cure"),
        _field("frames", pa.list_(_FRAME), "the frames, dark to bright", null=False),
    ],
    metadata={_KEY: str(CATALOG_VERSION).encode()},
)
"""Columns of the catalog; the fields' metadata hold descriptions and units."""


def write_catalog(brackets: Iterable[Bracket], uri: str) -> int:
    """Write a catalog; the file appears when it is complete, in place of an older catalog.

    Memory is bounded by a row group, however many brackets come.

    Returns:
        the number of rows.

    Raises:
        UsageError: ``destination-invalid``, a file stands there that is no catalog.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    if exists(uri) and not is_catalog(uri):
        raise UsageError(
            "destination-invalid",
            f"{uri} exists and is no catalog of bracketflow; choose another name.",
        )
    fault_point("catalog.before")
    with open_atomic(uri) as handle:
        rows = _write(brackets, handle)
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
        version = int(table.schema_arrow.metadata[_KEY])
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


def _write(brackets: Iterable[Bracket], handle: IO[bytes]) -> int:
    rows = 0
    waiting = iter(brackets)
    with pq.ParquetWriter(handle, CATALOG_SCHEMA, compression="zstd") as writer:
        while chunk := list(islice(waiting, _ROW_GROUP)):
            table = pa.Table.from_pylist([_row(b) for b in chunk], schema=CATALOG_SCHEMA)
            writer.write_table(table)
            rows += len(chunk)
    return rows


def _row(bracket: Bracket) -> dict[str, Any]:
    row = asdict(bracket)
    row["bracket_id"] = row.pop("id")
    row["reason"] = _text(bracket.reason)
    row["notes"] = [_text(note) for note in bracket.notes]
    if bracket.error_message is not None:
        row["error_message"] = _text(bracket.error_message)
    return row


def _text(text: str) -> str:
    """Text that may quote a file name whose bytes are not UTF-8, made fit for Parquet."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def bracket_of(row: dict[str, Any], uri: str) -> Bracket:
    """The bracket of a row.

    Raises:
        UsageError: ``catalog-invalid``.
    """
    try:
        return _bracket(row)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "catalog-invalid",
            f"{uri} is a damaged catalog ({error!r}); scan the archive again.",
        ) from error


def _bracket(row: dict[str, Any]) -> Bracket:
    values = dict(row)
    if not lists.ID.fullmatch(values["bracket_id"]):
        # The id becomes part of paths: nothing but our own hash may stand there.
        raise UsageError(
            "catalog-invalid",
            f"{values['bracket_id']!r} is no bracket id of a catalog; scan the archive again.",
        )
    frames = tuple(Frame(**frame) for frame in values.pop("frames"))
    notes = tuple(values.pop("notes") or ())
    return Bracket(frames=frames, notes=notes, id=values.pop("bracket_id"), **values)


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
    return _KEY in (table.schema_arrow.metadata or {})


_open = lists.open_list
