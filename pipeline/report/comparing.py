# SPDX-License-Identifier: Apache-2.0
"""Two reports side by side: the same brackets, their differences, and who wins how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.report.figures import FIGURE_COLUMNS, Figures, figures_of
from pipeline.report.newest import NewestRows, newest_rows
from pipeline.segments import live_segments, report_files

__all__ = ["TIE", "Comparison", "Other", "compare", "find_other", "runs_of"]

TIE = 1e-4
"""Scores that differ by less count as equal: an 8-bit rounding more or less."""


@dataclass(frozen=True, kw_only=True)
class Other:
    """What is compared with: a destination, or one run of it."""

    destination: str
    run_id: str | None
    label: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """This report less the other one, over the brackets that both have a score of.

    ``other`` has the other's score of each row here, NaN where there is none. ``small`` says of
    each row whether the other has small pictures of its own.
    """

    label: str
    destination: str
    other: NDArray[np.float64]
    common: int
    wins: int
    losses: int
    mean: float | None
    median: float | None
    only_here: int
    only_there: int
    models: Mapping[str, int] = field(default_factory=dict)

    @property
    def ties(self) -> int:
        """Brackets whose scores differ by less than :data:`TIE`."""
        return self.common - self.wins - self.losses


def runs_of(destination: str) -> set[str]:
    """The ids of all runs that wrote rows to a destination, or ended there."""
    folders = {name.partition("/")[0] for name in report_files(destination) if "/" in name}
    begun = {name.removeprefix("run=") for name in folders if name.startswith("run=")}
    return begun | {run_id for one in live_segments(destination) for run_id in one.run_ids}


def find_other(text: str, destination: str) -> Other:
    """What the user names: a run of the same destination, or another destination.

    Raises:
        UsageError: ``source-missing``, there is neither.
    """
    runs = runs_of(destination)
    if text in runs:
        return Other(destination=destination, run_id=text, label=f"run {text}")
    uri = storage.absolute(text)
    if not live_segments(uri):
        raise UsageError(
            "source-missing",
            f"{text} is neither a run of {destination} nor a folder with a report; name one of "
            f"{', '.join(sorted(runs)[-3:]) or 'its runs'}, or another destination of `fuse`.",
        )
    return Other(destination=uri, run_id=None, label=uri)


def compare(rows: NewestRows, figures: Figures, other: Other) -> Comparison:
    """Compare the scores of the same brackets."""
    theirs = newest_rows(other.destination, run_id=other.run_id)
    their_figures = figures_of(theirs.tables(FIGURE_COLUMNS))
    order = np.argsort(theirs.ids)
    ids, scores = theirs.ids[order], their_figures.score[order]
    found = np.full(len(rows), np.nan)
    if len(ids):
        at = np.minimum(np.searchsorted(ids, rows.ids), len(ids) - 1)
        same = ids[at] == rows.ids
        found[same] = scores[at[same]]
    delta = figures.score - found
    known = delta[np.isfinite(delta)]
    return Comparison(
        label=other.label,
        destination=other.destination,
        other=found,
        common=len(known),
        wins=int((known >= TIE).sum()),
        losses=int((known <= -TIE).sum()),
        mean=float(known.mean()) if len(known) else None,
        median=float(np.median(known)) if len(known) else None,
        only_here=int(np.isfinite(figures.score).sum()) - len(known),
        only_there=int(np.isfinite(their_figures.score).sum()) - len(known),
        models=their_figures.counts("model"),
    )
