# SPDX-License-Identifier: Apache-2.0
"""Everything that a page says, gathered from a destination's report and manifests.

Figures are over all rows. Whole rows are kept of up to 20,000 brackets; of more, of the 5,000 best
and the 5,000 worst, and of 5,000 that failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.report.comparing import Comparison, compare, find_other, runs_of
from pipeline.report.figures import FIGURE_COLUMNS, Figures, figures_of
from pipeline.report.newest import NewestRows, newest_rows
from pipeline.report.schema import Row
from pipeline.segments import MANIFEST, read_json, report_files, unchanging
from pipeline.verifying.verify import check_report

__all__ = ["MOST_ROWS", "SHARE_ROWS", "Gathered", "check_run", "gather", "moment", "seconds_of"]

MOST_ROWS = 20_000
"""A report of up to so many brackets is shown whole."""
SHARE_ROWS = 5_000
"""Of a larger one, so many of the best, of the worst, and of those that failed."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """A page's content.

    ``rows`` are those shown, sorted by folder and name, ``places`` where each lies among all.
    ``manifests`` are those of the runs that ended, oldest first; ``manifest`` is of the one that
    the page's summary is about, None where it did not end. ``notes`` say what is to be minded.
    """

    destination: str
    run_id: str | None
    made_at: datetime
    figures: Figures
    total: int
    rows: Sequence[Row]
    places: NDArray[np.int64]
    manifests: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, Any] | None
    notes: Sequence[str]
    comparison: Comparison | None

    @property
    def megapixels_per_second(self) -> float | None:
        """Of all frames, over the whole time of the run that the summary is about."""
        seconds = self.seconds
        if self.manifest is None or not seconds:
            return None
        own = self.figures.has("run_id", str(self.manifest.get("run_id")))
        megapixels = float(np.nansum(self.figures.megapixels[own]))
        return megapixels / seconds if megapixels else None

    @property
    def seconds(self) -> float | None:
        """How long that run took."""
        if self.manifest is None:
            return None
        return seconds_of(self.manifest)


def moment(text: object) -> datetime | None:
    """A manifest's time; None where it is none."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def seconds_of(manifest: Mapping[str, Any]) -> float | None:
    """How long a run took."""
    began, ended = (moment(manifest.get(f"{name}_at")) for name in ("started", "finished"))
    return (ended - began).total_seconds() if began and ended else None


def gather(destination: str, *, run_id: str | None = None, other: str | None = None) -> Gathered:
    """Read what a page shows.

    Args:
        destination: the folder or URI that ``fuse`` wrote to.
        run_id: show this run alone.
        other: compare with this destination, or with this run of the same.

    Raises:
        UsageError: ``source-missing``, there is no report, no such run, or nothing to compare with.
        InfrastructureError: the storage fails.
    """
    check_report(destination)
    return unchanging(lambda: _gather(destination, run_id, other))


def check_run(destination: str, run_id: str) -> None:
    """Refuse a run that a destination does not know.

    Raises:
        UsageError: ``source-missing``.
    """
    known = runs_of(destination)
    if run_id not in known:
        last = ", ".join(sorted(known)[-3:])
        raise UsageError(
            "source-missing",
            f"{destination} knows no run {run_id}"
            + (f"; its last ones are {last}." if last else "."),
        )


def _gather(destination: str, run_id: str | None, other: str | None) -> Gathered:
    notes: list[str] = []
    manifests, begun = _runs(destination, notes)
    if run_id is not None:
        check_run(destination, run_id)
    rows = newest_rows(destination, run_id=run_id)
    figures = figures_of(rows.tables(FIGURE_COLUMNS))
    comparison = None if other is None else compare(rows, figures, find_other(other, destination))
    ended = {_id(one): one for one in manifests}
    last = max([*begun, *ended], default=None) if run_id is None else run_id
    manifest = None if last is None else ended.get(last)
    places = _shown(figures)
    found = rows.rows(places)
    order = sorted(range(len(found)), key=lambda place: min(found[place]["frame_paths"] or [""]))
    notes[:0] = _remarks(rows, figures, last, ended)
    return Gathered(
        destination=destination,
        run_id=run_id,
        made_at=datetime.now(UTC),
        figures=figures,
        total=len(rows),
        rows=[found[place] for place in order],
        places=places[np.array(order, np.int64)],
        manifests=manifests,
        manifest=manifest or (manifests[-1] if manifests and run_id is None else None),
        notes=notes,
        comparison=comparison,
    )


def _runs(destination: str, notes: list[str]) -> tuple[list[dict[str, Any]], set[str]]:
    """The manifests of the runs that ended, oldest first, and the ids of all that began."""
    manifests, begun = [], set()
    for name, uri in report_files(destination).items():
        folder, _, file = name.rpartition("/")
        if not folder.startswith("run="):
            continue
        begun.add(folder.removeprefix("run="))
        if file != MANIFEST:
            continue
        try:
            content = read_json(uri)
            manifests.append(dict(content) | {"run_id": folder.removeprefix("run=")})
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError):
            notes.append(f"The manifest of run {folder.removeprefix('run=')} is damaged.")
    return sorted(manifests, key=_id), begun


def _remarks(
    rows: NewestRows, figures: Figures, last: str | None, ended: Mapping[str, Any]
) -> list[str]:
    notes = []
    if last is not None and last not in ended:
        notes.append(
            f"Run {last} has not ended: it was interrupted, or is still at work. What it finished "
            "is shown; the same command again goes on from there."
        )
    if rows.damaged:
        shown = ", ".join(rows.damaged[:3]) + (", ..." if len(rows.damaged) > 3 else "")
        notes.append(
            f"{len(rows.damaged):,} files of the report cannot be read and are left out ({shown}); "
            "`bracketflow verify --repair` sees to that."
        )
    if not len(rows):
        notes.append("The report has no rows: nothing was found, or nothing was finished.")
    elif not figures.has("status", "fused").any():
        failed = int(figures.has("status", "quarantined").sum())
        notes.append(
            "No bracket was fused"
            + (f"; {failed:,} failed, see below for why." if failed else ": there was none.")
        )
    if rows.older:
        notes.append(
            f"{rows.older:,} rows were written by an older version of bracketflow; what it did "
            "not record is left empty, and pictures that it did not make are missing."
        )
    if rows.newer:
        notes.append(
            f"{rows.newer:,} rows were written by a newer version of bracketflow; what only that "
            "one knows is not shown. Update to see it."
        )
    return notes


def _shown(figures: Figures) -> NDArray[np.int64]:
    """Places of the rows that are shown whole."""
    if len(figures) <= MOST_ROWS:
        return np.arange(len(figures))
    scored = np.flatnonzero(np.isfinite(figures.score))
    order = scored[np.argsort(figures.score[scored], kind="stable")]
    failed = np.flatnonzero(figures.has("status", "quarantined"))[:SHARE_ROWS]
    return np.unique(np.concatenate([order[:SHARE_ROWS], order[-SHARE_ROWS:], failed]))


def _id(manifest: Mapping[str, Any]) -> str:
    return str(manifest["run_id"])
