# SPDX-License-Identifier: Apache-2.0
"""What failed, as a table; and what it takes to try it again.

Quarantine is a view of the report: the brackets whose newest row says so. It is written to CSV in
a way that no spreadsheet takes a file's name for a formula.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.archive.scan import ScanOptions
from pipeline.csv_cells import csv_cell
from pipeline.errors import CODES, UsageError
from pipeline.ledger import read_manifests, read_quarantine, read_report
from pipeline.settings import FuseSettings

__all__ = [
    "Failed",
    "LastRun",
    "Retried",
    "code_counts",
    "failures",
    "last_fuse_run",
    "quarantine_table",
    "what_became",
    "write_quarantine",
]

_RENAMED = {"error_stage": "stage", "error_code": "code", "error_message": "message"}
_COLUMNS = (
    "bracket_id",
    "error_stage",
    "error_code",
    "error_message",
    "frame_paths",
    "frame_uris",
    "source",
    "run_id",
    "finished_at",
)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """One bracket in quarantine."""

    bracket_id: str
    frame_paths: tuple[str, ...]
    stage: str | None
    code: str
    message: str


def quarantine_table(destination: str, *, code: str | None = None) -> pa.Table:
    """The brackets in quarantine, with stage, code, message and frames, sorted by code.

    Args:
        destination: the folder or URI that a run wrote to.
        code: only those that failed with this code.

    Raises:
        UsageError: ``option-invalid``, there is no such code.
    """
    if code is not None and code not in CODES:
        raise UsageError(
            "option-invalid", f"--code {code!r} is none of the codes: {', '.join(sorted(CODES))}."
        )
    table = read_quarantine(destination).select(_COLUMNS)
    if code is not None:
        table = table.filter(pc.equal(table["error_code"], code))
    table = table.sort_by([("error_code", "ascending"), ("bracket_id", "ascending")])
    return table.rename_columns([_RENAMED.get(name, name) for name in _COLUMNS])


def failures(table: pa.Table) -> list[Failed]:
    """Rows of :func:`quarantine_table` as records."""
    names = [item.name for item in fields(Failed)]
    return [
        Failed(**row | {"frame_paths": tuple(row["frame_paths"])})
        for row in table.select(names).to_pylist()
    ]


def code_counts(table: pa.Table) -> dict[str, int]:
    """How often each code came up, the most frequent first."""
    return dict(Counter(table["code"].to_pylist()).most_common())


def write_quarantine(table: pa.Table, uri: str) -> None:
    """Write the table to a ``.parquet`` or ``.csv`` file.

    In CSV the frames are one cell, a line each, and text that begins like a formula gets an
    apostrophe in front.

    Raises:
        UsageError: ``option-invalid``, another ending.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    ending = uri.rsplit(".", 1)[-1].lower()
    if ending == "parquet":
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        storage.write_atomic(uri, buffer.getbuffer())
    elif ending == "csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(table.column_names)
        for row in table.to_pylist():
            writer.writerow([csv_cell(value) for value in row.values()])
        storage.write_atomic(uri, text.getvalue().encode("utf-8"))
    else:
        raise UsageError("option-invalid", f"--out {uri} must end in .parquet or .csv.")


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """What it takes to run a fusing run again."""

    source: str
    settings: FuseSettings
    options: ScanOptions


def last_fuse_run(destination: str) -> LastRun:
    """What the last fusing run that ended was asked to do, as its manifest says.

    Raises:
        UsageError: ``manifest-missing``, no fusing run ended, or its manifest is of no use.
    """
    again = "run the same `fuse` again with --retry-quarantined."
    known = {item.name for item in fields(FuseSettings)}
    for manifest in reversed(read_manifests(destination)):
        settings = manifest.get("settings")
        if not isinstance(settings, dict) or "format" not in settings:
            continue  # shards and scores have settings of their own
        strange = sorted(settings.keys() - known)
        if strange:
            raise UsageError(
                "manifest-missing",
                f"The last run of {destination} was made with settings that this version does "
                f"not know ({', '.join(strange)}); upgrade bracketflow, or {again}",
            )
        settings.setdefault("effort", "full")  # before it was a choice
        try:
            return LastRun(
                source=str(manifest["source"]),
                settings=FuseSettings(**settings),
                options=_scan_options(manifest.get("scan") or {}),
            )
        except (KeyError, TypeError) as error:
            raise UsageError(
                "manifest-missing",
                f"The manifest of the last run of {destination} is of no use ({error!r}); {again}",
            ) from error
    raise UsageError(
        "manifest-missing",
        f"No run of `fuse` to {destination} has ended yet, so nobody knows what to do again; "
        f"{again}",
    )


def _scan_options(recorded: dict[str, Any]) -> ScanOptions:
    known = {item.name for item in fields(ScanOptions)}
    return ScanOptions(**{name: value for name, value in recorded.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What became of the brackets that were in quarantine before."""

    before: int
    fused: int
    quarantined: int
    gone: int
    """They are no brackets of the archive any more."""


def what_became(destination: str, before: Collection[str], *, run_id: str) -> Retried:
    """Look up the brackets that were in quarantine after they were tried again.

    Args:
        destination: the folder or URI that was written to.
        before: their ids.
        run_id: the run that tried them again; what it has no row of, it did not find.
    """
    table = read_report(destination, columns=["bracket_id", "status", "fate", "run_id"])
    table = table.filter(pc.is_in(table["bracket_id"], pa.array(sorted(before), pa.string())))
    table = table.filter(pc.equal(table["run_id"], run_id))
    table = table.filter(pc.is_null(table["fate"]))
    now = Counter(table["status"].to_pylist())
    return Retried(
        before=len(before),
        fused=now["fused"],
        quarantined=now["quarantined"],
        gone=len(before) - now["fused"] - now["quarantined"],
    )
