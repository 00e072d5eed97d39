# SPDX-License-Identifier: Apache-2.0
"""What a run has to do: each bracket of a catalog becomes a job, or is settled at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline import storage
from pipeline.bracket import Bracket
from pipeline.errors import BracketflowError, PhotoError, UsageError
from pipeline.ledger import read_intents, read_report
from pipeline.naming import Names
from pipeline.report.schema import Row, make_row
from pipeline.settings import FuseSettings, result_key

__all__ = [
    "FuseJob",
    "Ours",
    "Settled",
    "Standing",
    "base_row",
    "check_destination",
    "each_once",
    "failed_row",
    "plan",
    "settled_by_scan",
    "skipped",
    "standing_results",
    "stands",
    "unexpected",
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


def failed_row(
    bracket: Bracket, error: BracketflowError, *, run_id: str, worker: str, **values: Any
) -> Row:
    """The quarantined row of a bracket that no worker could finish."""
    return base_row(
        bracket,
        run_id=run_id,
        worker=worker,
        status="quarantined",
        error_code=error.code,
        error_message=error.message,
        **values,
    )


def unexpected(error: Exception, bracket: Bracket) -> PhotoError:
    """An error that nobody foresaw, as the bracket's own: the run goes on without it."""
    return PhotoError(
        "unexpected",
        f"{type(error).__name__}: {error}. The bracket was left out; please report this with "
        f"{bracket.frames[0].path}.",
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the destination already holds. Paths are relative to it, so it may be moved."""

    results: Mapping[str, str] = field(default_factory=dict)
    """Key -> path of the result that it stands for, as far as no other result replaced it."""
    newest: Mapping[str, tuple[str | None, str]] = field(default_factory=dict)
    """Bracket id -> key and status of its newest row."""
    ours: Mapping[str, tuple[Ours, ...]] = field(default_factory=dict)
    """Path -> everything that bracketflow ever wrote there."""


@dataclass(frozen=True)
class Ours:
    """A result that bracketflow wrote, and the frames it was made from (None: not on record)."""

    sha256: str
    frame_paths: frozenset[str] | None = None

    def may_give_way_to(self, bracket: Bracket) -> bool:
        """Only another result of the same view may take its place: they share frames."""
        if self.frame_paths is None:
            return True
        return any(frame.path in self.frame_paths for frame in bracket.frames)


@dataclass(frozen=True, kw_only=True)
class FuseJob:
    """One bracket to fuse: plain data that travels to a worker."""

    bracket: Bracket
    key: str
    result_uri: str
    result_path: str
    """The same relative to the destination."""
    ours_sha256: frozenset[str] = frozenset()
    """Hashes that a file at ``result_uri`` may have if an earlier run wrote it."""

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        return failed_row(self.bracket, error, run_id=run_id, worker=worker, key=self.key)


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
    columns = ["bracket_id", "key", "status", "result_path", "result_sha256", "frame_paths"]
    table = read_report(
        destination, columns=[*columns, "finished_at"], newest=False, missing_ok=True
    )
    at_path: dict[str, tuple[str, str]] = {}
    newest: dict[str, tuple[str | None, str]] = {}
    ours: dict[str, list[Ours]] = {}
    # Oldest first: what was written to a place last is what stands there.
    for row in table.sort_by("finished_at").select(columns).to_pylist():
        newest[row["bracket_id"]] = (row["key"], row["status"])
        path = row["result_path"]
        if row["status"] == "fused" and path is not None:
            at_path[path] = (row["key"], row["result_sha256"])
            ours.setdefault(path, []).append(
                Ours(row["result_sha256"], frozenset(row["frame_paths"]))
            )
    for path, hashes in read_intents(destination).items():
        ours.setdefault(path, []).extend(Ours(sha256) for sha256 in sorted(hashes))
        # Whoever died here may have replaced what the report speaks of.
        if path in at_path and hashes - {at_path[path][1]}:
            del at_path[path]
    return Standing(
        results={key: path for path, (key, _) in at_path.items()},
        newest=newest,
        ours={path: tuple(found) for path, found in ours.items()},
    )


def each_once(brackets: Iterable[Bracket]) -> Iterator[Bracket]:
    """The brackets as they come, in the memory of their ids.

    Raises:
        UsageError: ``catalog-invalid``, a bracket comes twice.
    """
    seen: set[int] = set()
    for bracket in brackets:
        number = int(bracket.id, 16)
        if number in seen:
            raise UsageError(
                "catalog-invalid",
                f"The bracket of {bracket.frames[0].path} is in the catalog twice; scan the "
                "archive again.",
            )
        seen.add(number)
        yield bracket


def settled_by_scan(
    bracket: Bracket, *, key: str, standing: Standing, run_id: str
) -> Settled | None:
    """The decision on a single, or on what the scan could not read; None for a real bracket."""
    if bracket.error_code is not None:
        return Settled(
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
    if bracket.kind == "single":
        return skipped(bracket, key=key, standing=standing, run_id=run_id)
    return None


def skipped(
    bracket: Bracket, *, key: str, standing: Standing, run_id: str, note: str | None = None
) -> Settled:
    """A bracket left out on purpose; no row where the newest one says so already."""
    if standing.newest.get(bracket.id) == (key, "skipped"):
        return Settled(status="skipped")
    notes = [*bracket.notes, note] if note else list(bracket.notes)
    return Settled(
        status="skipped",
        row=base_row(
            bracket, run_id=run_id, worker="driver", key=key, status="skipped", notes=notes
        ),
    )


def stands(bracket: Bracket, *, key: str, standing: Standing, destination: str) -> bool:
    """Whether the result of that key is there, and the report says so."""
    result = standing.results.get(key)
    before = standing.newest.get(bracket.id)
    return (
        result is not None
        and before is not None
        and before[1] == "fused"  # else the report would go on to say that it failed
        and storage.exists(storage.join(destination, *result.split("/")))
    )


def plan(
    brackets: Iterable[Bracket],
    *,
    names: Names,
    settings: FuseSettings,
    weights_sha256: str | None,
    destination: str,
    standing: Standing,
    run_id: str,
) -> Iterator[FuseJob | Settled]:
    """Decide on every bracket, one after the other.

    A bracket is reused when a result with the same key is still there;
    a single is skipped; what the scan could not read is quarantined; the rest is work.
    """
    for bracket in brackets:
        key = result_key(bracket, settings, weights_sha256)
        settled = settled_by_scan(bracket, key=key, standing=standing, run_id=run_id)
        if settled is not None:
            yield settled
            continue
        if stands(bracket, key=key, standing=standing, destination=destination):
            yield Settled(status="reused")
            continue
        path = f"results/{names.path(bracket, settings.extension)}"
        yield FuseJob(
            bracket=bracket,
            key=key,
            result_uri=storage.join(destination, *path.split("/")),
            result_path=path,
            ours_sha256=frozenset(
                one.sha256 for one in standing.ours.get(path, ()) if one.may_give_way_to(bracket)
            ),
        )
