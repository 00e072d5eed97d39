# SPDX-License-Identifier: Apache-2.0
"""The columns of the catalog, and brackets as its rows."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import Any

import pyarrow as pa

from pipeline.archive import lists
from pipeline.archive.stamps import Stamp
from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError

__all__ = [
    "CATALOG_KEY",
    "CATALOG_SCHEMA",
    "CATALOG_VERSION",
    "ROW_GROUP",
    "bracket_of",
    "brackets_of",
    "in_row_groups",
    "rows_of",
    "tables_of",
]

CATALOG_KEY = b"bracketflow.catalog"
"""Of the file's metadata: the version."""
ROW_GROUP = 4096
"""Brackets held in memory at a time."""

CATALOG_VERSION = 2
"""Raised whenever a column changes its meaning, or older versions could not read a new one."""


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
        _field("listing", pa.string(), "hash of the listing that it was found in"),
        _field("beside", pa.list_(pa.string()), "in a folder's first row: what else was looked at"),
    ],
    metadata={CATALOG_KEY: str(CATALOG_VERSION).encode()},
)
"""Columns of the catalog; the fields' metadata hold descriptions and units."""


_TEXTS = ("kind", "source", "layout", "label_uri", "label_kind", "error_code")
_FRAMES = CATALOG_SCHEMA.field("frames").type
_facts = operator.attrgetter(*(field.name for field in _FRAME))


def rows_of(brackets: Sequence[Bracket], stamps: Sequence[Stamp | None] = ()) -> pa.Table:
    """Brackets as rows of the catalog.

    Args:
        brackets: in their order.
        stamps: of each one's folder; none at all for brackets that no scan found.
    """
    columns: dict[str, Any] = {name: [getattr(b, name) for b in brackets] for name in _TEXTS}
    columns["bracket_id"] = [bracket.id for bracket in brackets]
    columns["confidence"] = [bracket.confidence for bracket in brackets]
    columns["reason"] = [_text(bracket.reason) for bracket in brackets]
    columns["notes"] = [[_text(note) for note in bracket.notes] for bracket in brackets]
    columns["error_message"] = [
        None if b.error_message is None else _text(b.error_message) for b in brackets
    ]
    known = stamps or [None] * len(brackets)
    columns["listing"] = [stamp and stamp.listing for stamp in known]
    # In a folder's first row alone: it may name as many places as the folder has rows.
    columns["beside"] = [
        stamp.beside if stamp and stamp.beside and stamp is not before else None
        for before, stamp in pairwise([None, *known])
    ]
    columns["frames"] = _frames([bracket.frames for bracket in brackets])
    arrays = [
        pa.array(columns[field.name], field.type) if field.name != "frames" else columns["frames"]
        for field in CATALOG_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=CATALOG_SCHEMA)


def _frames(frames: Sequence[Sequence[Frame]]) -> pa.ListArray:
    # By columns: a struct from dictionaries takes several times as long.
    facts = [_facts(frame) for frame in chain.from_iterable(frames)]
    columns = list(zip(*facts, strict=True)) or [()] * len(_FRAME)
    parts = [pa.array(part, field.type) for part, field in zip(columns, _FRAME, strict=True)]
    ends = [0]
    for group in frames:
        ends.append(ends[-1] + len(group))
    flat = pa.StructArray.from_arrays(parts, fields=list(_FRAME))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat, type=_FRAMES)


def tables_of(brackets: Iterable[Bracket]) -> Iterator[pa.Table]:
    """Brackets as rows, a row group at a time."""
    waiting = iter(brackets)
    while chunk := list(islice(waiting, ROW_GROUP)):
        yield rows_of(chunk)


def in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, cut into row groups wherever the tables began and ended."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        while count >= ROW_GROUP:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, ROW_GROUP).combine_chunks()
            waiting, count = [whole.slice(ROW_GROUP)], count - ROW_GROUP
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def brackets_of(table: pa.Table, uri: str) -> Iterator[Bracket]:
    """The brackets of some rows.

    Raises:
        UsageError: ``catalog-invalid``.
    """
    for row in table.to_pylist():
        yield bracket_of(row, uri)


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
    for ours in ("listing", "beside"):  # for the next scan; older catalogs have none
        values.pop(ours, None)
    return Bracket(frames=frames, notes=notes, id=values.pop("bracket_id"), **values)
