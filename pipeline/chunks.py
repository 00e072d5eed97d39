# SPDX-License-Identifier: Apache-2.0
"""A chunk of a run's decisions: what is settled is written down, the rest goes to the fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.fleet import Fleet, Job
from pipeline.ledger import Ledger
from pipeline.metrics import tell_left
from pipeline.planning import Settled
from pipeline.report.schema import Row
from pipeline.runs import Counts

__all__ = ["work_chunk"]


def work_chunk(
    fleet: Fleet | None,
    ledger: Ledger,
    chunk: Iterable[Job | Settled],
    counts: Counts,
    advance: Callable[[Row | None, int], None],
) -> None:
    """Settle or visit every bracket of a chunk; ``advance`` is told of
    each row, and how many need none.

    ``fleet`` may be None for a chunk in which everything is settled.
    """
    jobs: list[Job] = []
    for decision in chunk:
        if not isinstance(decision, Settled):
            jobs.append(decision)
            continue
        if decision.row is not None:
            ledger.append(decision.row)
        counts.add(decision.status, decision.row, decision.count)
        advance(decision.row, decision.count)
    if fleet is None:
        if jobs:
            raise ValueError("a chunk with work needs a fleet")
        return
    for row in fleet.run(jobs):
        counts.add(row["status"], row)
        advance(row, 1)
        tell_left(counts.found - counts.done)
