# SPDX-License-Identifier: Apache-2.0
"""Lists of brackets that a user wrote: CSV or Parquet.

CSV: a header line with the columns ``bracket`` and ``path``, optionally ``exposure_time_s``; one
row a frame, rows of the same ``bracket`` value make a bracket wherever they stand. Parquet: a
list column ``frames`` of structs with ``uri`` (or of strings); the other fields of the catalog's
frames, and the column ``bracket_id``, are optional.

Paths: absolute paths and URIs are taken as they are. Relative ones are resolved against the
list's folder and may not climb out of it with ``..``: a list that came with an archive should
only speak of that archive.

The frames of a bracket are ordered by EV or exposure time where all of them have it, else they
stay in the order of the list. Nothing that is listed is dropped: a bracket with one frame stays a
bracket, and fusing says what is wrong with it.
"""

from __future__ import annotations

import csv
import io
import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from pipeline.bracket import Bracket, Frame, exposure_value
from pipeline.errors import PhotoError, UsageError
from pipeline.plain_parquet import open_plain
from pipeline.storage import info, is_local, join, local_path, open_read, to_uri

__all__ = ["ID", "damage", "open_list", "open_parquet", "parquet_rows", "read_list"]

_BATCH = 1024
_NUMBERS = ("exposure_time_s", "f_number", "iso", "captured_s", "ev")
ID = re.compile(r"[0-9a-f]{16}")


def read_list(uri: str) -> Iterator[Bracket]:
    """The brackets of a list, in the order in which they are first named.

    A Parquet list is read in batches; a CSV is read as a whole, since its rows may stand anywhere.

    Raises:
        UsageError: ``catalog-invalid`` with the line and the cure, or ``source-missing``.
    """
    entries = _csv_entries(uri) if uri.lower().endswith(".csv") else _parquet_entries(uri)
    seen: set[str] = set()
    for name, given_id, frames in entries:
        ordered = _dark_to_bright(frames)
        bracket = Bracket(
            frames=ordered,
            source=uri,
            layout="list",
            reason=f"listed as {name!r}" if name else "listed",
            id=given_id,
        )
        if bracket.id in seen:
            raise _invalid(uri, f"bracket {name or bracket.id!r} is listed twice", "list it once")
        seen.add(bracket.id)
        yield bracket


@contextmanager
def open_list(uri: str) -> Iterator[IO[bytes]]:
    """Open a catalog or list.

    Raises:
        UsageError: ``source-missing`` or ``catalog-invalid``.
    """
    try:
        with open_read(uri) as handle:
            yield handle
    except PhotoError as error:
        code = (
            "source-missing" if error.code in ("file-missing", "file-link") else "catalog-invalid"
        )
        raise UsageError(code, error.message) from error


def open_parquet(handle: IO[bytes], uri: str) -> Any:
    """The Parquet file behind the handle.

    Raises:
        UsageError: ``catalog-invalid``.
    """
    try:
        return open_plain(handle)
    except (pa.ArrowException, OSError) as error:
        raise _invalid(
            uri, f"it is no Parquet file ({error})", "give a catalog or a list"
        ) from error


def parquet_rows(table: Any, uri: str) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries, a batch in memory at a time.

    Raises:
        UsageError: ``catalog-invalid``, the file is damaged.
    """
    with damage(uri):
        for batch in table.iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()


@contextmanager
def damage(uri: str) -> Iterator[None]:
    """What goes wrong while a Parquet file is read is the file's fault.

    Raises:
        UsageError: ``catalog-invalid``, the file is damaged.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise _invalid(uri, f"it is damaged ({error})", "write it again") from error


def _csv_entries(uri: str) -> Iterator[tuple[str, str, list[Frame]]]:
    brackets: dict[str, list[Frame]] = {}
    with open_list(uri) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
        reader = csv.DictReader(text, skipinitialspace=True, strict=True)
        try:
            missing = {"bracket", "path"} - {
                (name or "").strip() for name in reader.fieldnames or ()
            }
            if missing:
                raise _invalid(
                    uri,
                    f"its first line lacks {' and '.join(sorted(missing))}",
                    "begin with the line: bracket,path",
                )
            for line in reader:
                row = {(k or "").strip(): v for k, v in line.items() if isinstance(v, str)}
                name, path = row.get("bracket", "").strip(), row.get("path", "")
                where = f"line {reader.line_num}"
                if not name or not path.strip():
                    raise _invalid(uri, f"{where} has no bracket or no path", "fill in both")
                frame = _frame(uri, where, {"uri": path} | {key: row.get(key) for key in _NUMBERS})
                brackets.setdefault(name, []).append(frame)
        except (csv.Error, UnicodeDecodeError) as error:
            cure = "save it as CSV with UTF-8 text"
            raise _invalid(uri, f"it cannot be read ({error})", cure) from error
        finally:
            text.detach()
    if not brackets:
        raise _invalid(uri, "it lists no bracket", "add a row for each frame: bracket,path")
    for name, frames in brackets.items():
        yield name, "", frames


def _parquet_entries(uri: str) -> Iterator[tuple[str, str, list[Frame]]]:
    with open_list(uri) as handle:
        table = open_parquet(handle, uri)
        if "frames" not in table.schema_arrow.names:
            raise _invalid(uri, "it has no column `frames`", "add a list of structs with `uri`")
        for index, row in enumerate(parquet_rows(table, uri)):
            where = f"row {index}"
            listed = row["frames"]
            if not isinstance(listed, list) or not listed:
                raise _invalid(uri, f"{where} has no frames", "list at least one, or drop the row")
            frames = []
            for entry in listed:
                facts = {"uri": entry} if isinstance(entry, str) else entry
                if not isinstance(facts, Mapping) or not isinstance(facts.get("uri"), str):
                    raise _invalid(
                        uri, f"{where} has a frame without `uri`", "give each frame its path or URI"
                    )
                frames.append(_frame(uri, where, facts))
            name = row.get("bracket_id")
            name = name if isinstance(name, str) else ""
            yield name, name if ID.fullmatch(name) else "", frames


def _frame(uri: str, where: str, facts: Mapping[str, Any]) -> Frame:
    """A listed frame with what the list says of it and what the storage says of the file."""
    target, path = _resolve(uri, where, str(facts["uri"]))
    known: dict[str, Any] = {}
    for name in _NUMBERS:
        value = facts.get(name)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or (name == "exposure_time_s" and number <= 0):
            raise _invalid(uri, f"{where}: {name} {value!r} is no number", "write seconds, as 0.01")
        known[name] = number
    for name in ("width", "height"):
        if isinstance(facts.get(name), int):
            known[name] = facts[name]
    for name in ("camera", "twin_uri"):
        if isinstance(facts.get(name), str):
            known[name] = facts[name]
    if "ev" not in known:
        known["ev"] = exposure_value(
            known.get("exposure_time_s"), known.get("f_number"), known.get("iso")
        )
    size_bytes, mtime_ns = _stat(target)
    return Frame(uri=target, path=path, size_bytes=size_bytes, mtime_ns=mtime_ns, **known)


def _resolve(uri: str, where: str, listed: str) -> tuple[str, str]:
    """URI and path of a listed file; the path is where results will be mirrored."""
    base = posixpath.dirname(uri)
    if "\0" in listed:
        raise _invalid(uri, f"{where}: {listed!r} is no path", "mend it")
    if "://" in listed or listed.startswith("/"):
        target = listed if "://" in listed else to_uri(listed)
        inside = target.startswith(base.rstrip("/") + "/")
        path = target[len(base.rstrip("/")) :] if inside else target.partition("://")[2] or target
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        return target, "/".join(parts)
    path = posixpath.normpath(listed)
    if (path.startswith("..") and path.split("/")[0] == "..") or path == ".":
        raise _invalid(
            uri,
            f"{where}: {listed!r} leaves the folder of the list",
            "move the list above the photographs, or write the absolute path",
        )
    return join(base, path), path


def _stat(uri: str) -> tuple[int, int | None]:
    """Size and time of a file, zero and None where it is missing: fusing will say so."""
    try:
        if is_local(uri):
            stat = local_path(uri).stat()
            return stat.st_size, stat.st_mtime_ns
        found = info(uri) or {}
    except (OSError, UsageError, ValueError):
        return 0, None
    stamp: Any = found.get("LastModified") or found.get("mtime") or found.get("created")
    stamp_ns = int(stamp.timestamp() * 1e9) if hasattr(stamp, "timestamp") else None
    return int(found.get("size") or 0), stamp_ns


def _dark_to_bright(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    if all(frame.ev is not None for frame in frames):
        return tuple(sorted(frames, key=lambda frame: frame.ev or 0.0))
    return tuple(frames)


def _invalid(uri: str, what: str, cure: str) -> UsageError:
    return UsageError("catalog-invalid", f"{uri}: {what}; {cure}.")
