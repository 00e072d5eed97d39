# SPDX-License-Identifier: Apache-2.0
"""What a run has to do: each bracket of a catalog becomes a job, or is settled at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline import storage
from pipeline.bracket import Bracket
from pipeline.errors import BracketflowError, PhotoError, UsageError
from pipeline.ledger import read_report
from pipeline.naming import Names
from pipeline.report.schema import Row, make_row
from pipeline.settings import FuseSettings, result_key

__all__ = [
    "FuseJob",
    "Settled",
    "Standing",
    "base_row",
    "check_destination",
    "plan",
    "standing_results",
]


def base_row(bracket: Bracket, *, run_id: str, worker: str, **values: Any) -> Row:
    """A row with all that the catalog knows of a bracket; ``values`` add to it or correct it."""
    frames = bracket.frames
    captured = [frame.captured_s for frame in frames if frame.captured_s is not None]
    known: dict[str, Any] = {
        "run_id": run_id,
        "worker": worker,
        "bracket_id": bracket.id,
        "kind": bracket.kind,
        "source": bracket.source,
        "layout": bracket.layout,
        "reason": bracket.reason,
        "confidence": bracket.confidence,
        "notes": list(bracket.notes),
        "frame_count": len(frames),
        "frame_uris": [frame.uri for frame in frames],
        "frame_paths": [frame.path for frame in frames],
        "exposure_times_s": [frame.exposure_time_s for frame in frames],
        "evs": [frame.ev for frame in frames],
        "camera": frames[0].camera,
        "captured_s": min(captured) if captured else None,
        "source_width": frames[0].width,
        "source_height": frames[0].height,
    }
    return make_row(**known | values)


def unexpected(error: Exception, bracket: Bracket) -> PhotoError:
    """An error that nobody foresaw, as the bracket's own: the run goes on without it."""
    return PhotoError(
        "unexpected",
        f"{type(error).__name__}: {error}. The bracket was left out; please report this with "
        f"{bracket.frames[0].path}.",
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the destination already holds."""

    results: Mapping[str, str] = field(default_factory=dict)
    """Key -> URI of the result that it stands for, as far as no other result replaced it."""
    skipped: frozenset[str] = frozenset()
    """Keys of the rows that say ``skipped``."""


@dataclass(frozen=True, kw_only=True)
class FuseJob:
    """One bracket to fuse: plain data that travels to a worker."""

    bracket: Bracket
    key: str
    result_uri: str
    ours_sha256: frozenset[str] = frozenset()
    """Hashes that a file at ``result_uri`` may have if an earlier run wrote it."""

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        return base_row(
            self.bracket,
            run_id=run_id,
            worker=worker,
            key=self.key,
            status="quarantined",
            error_code=error.code,
            error_message=error.message,
        )


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A bracket that needs no worker; ``row`` is None where the report already says so."""

    status: Literal["reused", "skipped", "quarantined"]
    row: Row | None = None


def check_destination(source: str, destination: str) -> None:
    """Refuse a destination that is inside the source, or a file.

    Raises:
        UsageError: ``destination-invalid``.
    """
    if not (storage.is_local(source) and storage.is_local(destination)):
        inside = destination.rstrip("/").startswith(source.rstrip("/") + "/")
    else:
        root = storage.local_path(source).resolve()
        target = storage.local_path(destination).resolve()
        if target.exists() and not target.is_dir():
            raise UsageError(
                "destination-invalid", f"{destination} is a file; name a folder for the results."
            )
        inside = root.is_dir() and (target == root or root in target.parents)
    if inside or source == destination:
        raise UsageError(
            "destination-invalid",
            f"The destination {destination} lies inside the source {source}, so results would be "
            "taken for photographs next time; choose a folder outside it.",
        )


def standing_results(destination: str) -> Standing:
    """What all runs so far have left at the destination."""
    columns = ["key", "status", "result_uri", "finished_at"]
    table = read_report(destination, columns=columns, newest=False, missing_ok=True)
    at_uri: dict[str, str] = {}
    skipped: set[str] = set()
    # Oldest first: what was written to a place last is what stands there.
    for row in table.sort_by("finished_at").select(columns[:3]).to_pylist():
        if row["status"] == "fused" and row["key"] is not None:
            at_uri[row["result_uri"]] = row["key"]
        elif row["status"] == "skipped":
            skipped.add(row["key"])
    return Standing(results={key: uri for uri, key in at_uri.items()}, skipped=frozenset(skipped))


def plan(
    brackets: Iterable[Bracket],
    *,
    names: Names,
    settings: FuseSettings,
    weights_sha256: str | None,
    destination: str,
    standing: Standing,
    written: dict[str, set[str]],
    run_id: str,
) -> Iterator[FuseJob | Settled]:
    """Decide on every bracket, one after the other.

    A bracket is reused when a result with the same key is still there;
    a single is skipped; what the scan could not read is quarantined; the rest is work.
    """
    for bracket in brackets:
        key = result_key(bracket, settings, weights_sha256)
        if bracket.error_code is not None:
            yield Settled(
                status="quarantined",
                row=base_row(
                    bracket,
                    run_id=run_id,
                    worker="driver",
                    key=key,
                    status="quarantined",
                    error_code=bracket.error_code,
                    error_message=bracket.error_message,
                    error_stage="scan",
                ),
            )
            continue
        if bracket.kind == "single":
            if key in standing.skipped:
                yield Settled(status="skipped")
                continue
            row = base_row(bracket, run_id=run_id, worker="driver", key=key, status="skipped")
            yield Settled(status="skipped", row=row)
            continue
        result = standing.results.get(key)
        if result is not None and storage.exists(result):
            yield Settled(status="reused")
            continue
        result_uri = storage.join(
            destination, "results", *names.path(bracket, settings.extension).split("/")
        )
        yield FuseJob(
            bracket=bracket,
            key=key,
            result_uri=result_uri,
            ours_sha256=frozenset(written.get(result_uri, ())),
        )
