# SPDX-License-Identifier: Apache-2.0
"""What a run may have to do: jobs, what is settled at once, and the rows that say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline import storage
from pipeline.bracket import Bracket
from pipeline.digests import digest_of
from pipeline.errors import BracketflowError, PhotoError, UsageError
from pipeline.report.schema import HIDDEN_FATES, Row, Status, make_row
from pipeline.standing import Before, Standing
from pipeline.work_options import WorkOptions

__all__ = [
    "AGAIN_CODES",
    "FuseJob",
    "Place",
    "Settled",
    "base_row",
    "check_destination",
    "each_once",
    "failed_row",
    "known_row",
    "last_of",
    "revived",
    "settled_by_scan",
    "skipped",
    "stands",
    "stays_failed",
    "unexpected",
]


AGAIN_CODES = frozenset({"result-exists", "result-unwritable", "result-missing", "result-damaged"})
"""What failed for a reason that lies at the destination is tried again without being told to."""


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
class Place:
    """Where a file of a bracket goes."""

    uri: str
    path: str
    """The same relative to the destination."""
    ours_sha256: frozenset[str] = frozenset()
    """Hashes that a file there may have if an earlier run wrote it."""


@dataclass(frozen=True, kw_only=True)
class FuseJob:
    """One bracket to fuse: plain data that travels to a worker."""

    bracket: Bracket
    key: str
    timeless_key: str
    """The key without the files' times."""
    result_uri: str
    result_path: str
    """The same relative to the destination."""
    ours_sha256: frozenset[str] = frozenset()
    """Hashes that a file at ``result_uri`` may have if an earlier run wrote it."""
    display: Place | None = None
    """Where the tone-mapped picture beside a radiance goes, if there is one."""

    @property
    def result(self) -> Place:
        """Where the result goes."""
        return Place(uri=self.result_uri, path=self.result_path, ours_sha256=self.ours_sha256)

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        return failed_row(
            self.bracket,
            error,
            run_id=run_id,
            worker=worker,
            key=self.key,
            timeless_key=self.timeless_key,
        )


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Brackets that need no worker; ``row`` is None where the report already says so."""

    status: Literal["reused", "skipped", "quarantined"]
    row: Row | None = None
    count: int = 1
    """How many; one if there is a row."""


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


def last_of(bracket_id: str, standing: Standing) -> Before | None:
    """What the report says of a bracket, None where it shows nothing of it any more."""
    before = standing.before(bracket_id)
    return None if before is None or before.fate in HIDDEN_FATES else before


def _says(before: Before | None, key: str, status: Status, code: str | None = None) -> bool:
    """Whether the newest row says just that already."""
    return before is not None and (before.digest, before.status, before.error_code) == (
        digest_of(key),
        status,
        code,
    )


def known_row(before: Before, standing: Standing, *, run_id: str) -> Row | None:
    """The row that a settled bracket needs: none, or its old one if that says it was gone."""
    if before.fate is None:
        return None
    return revived(standing.row(before.place), run_id=run_id, fate=None)


def revived(row: Row, *, run_id: str, **values: Any) -> Row:
    """A copy of an earlier row with another fate."""
    now = datetime.now(UTC)
    return row | {"run_id": run_id, "worker": "driver", "finished_at": now} | values


def settled_by_scan(
    bracket: Bracket,
    *,
    key: str,
    standing: Standing,
    run_id: str,
    work: WorkOptions,
    skip_singles: bool = True,
) -> Settled | None:
    """The decision on a single that is left out, or on what the scan could not read; None for what
    is to be worked on."""
    if bracket.error_code is not None:
        before = last_of(bracket.id, standing)
        again = work.force or work.retry_quarantined
        said = _says(before, key, "quarantined", bracket.error_code)
        if before is not None and said and not again:
            row = known_row(before, standing, run_id=run_id)
            return Settled(status="quarantined", row=row)
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
    if bracket.kind == "single" and skip_singles:
        return skipped(bracket, key=key, standing=standing, run_id=run_id)
    return None


def skipped(
    bracket: Bracket, *, key: str, standing: Standing, run_id: str, note: str | None = None
) -> Settled:
    """A bracket left out on purpose; no row where the newest one says so already."""
    before = last_of(bracket.id, standing)
    if before is not None and _says(before, key, "skipped"):
        return Settled(status="skipped", row=known_row(before, standing, run_id=run_id))
    notes = [*bracket.notes, note] if note else list(bracket.notes)
    return Settled(
        status="skipped",
        row=base_row(
            bracket, run_id=run_id, worker="driver", key=key, status="skipped", notes=notes
        ),
    )


def stands(bracket: Bracket, *, digest: bytes, standing: Standing, destination: str) -> bool:
    """Whether the result of the key with that digest is there, and the report says so."""
    before = last_of(bracket.id, standing)
    if before is None or before.status != "fused":
        return False  # else the report would go on to say that it failed
    files = standing.files(bracket.id, digest)
    uris = (storage.join(destination, *path.split("/")) for path in files)
    return bool(files) and all(map(storage.exists, uris))


def stays_failed(before: Before, digest: bytes, work: WorkOptions) -> bool:
    """Whether what failed before is left alone: nothing changed, and nobody wants it retried."""
    return (
        (before.digest, before.status) == (digest, "quarantined")
        and before.error_code not in AGAIN_CODES
        and not (work.retry_quarantined or work.force)
    )
