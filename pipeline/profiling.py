# SPDX-License-Identifier: Apache-2.0
"""Where the time of a run went: what the workers did, and what came before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow.compute as pc

from pipeline.ledger import read_report

__all__ = ["STEPS", "Profile", "Stopwatch", "profile_run"]

STEPS = ("read", "align", "fuse", "score", "write")
"""Of a visit; each has a column ``seconds_<step>`` in the report."""


class Stopwatch:
    """Seconds between laps, added up by name.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """What was done since the last lap."""
        now = self._clock()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Seconds of a run.

    ``driver`` is what the run went through, one after the other: ``scan``, ``plan``, ``start`` (of
    Ray and the workers), ``work`` and ``publish``. ``steps`` is what all workers together spent on
    each step of their visits; ``idle`` is what is left of their time: waiting for a bracket, for
    the last ones to finish, or for the ledger.
    """

    driver: Mapping[str, float]
    workers: int
    visits: int
    steps: Mapping[str, float] = field(default_factory=dict)

    @property
    def idle(self) -> float:
        """Seconds that the workers together did not spend on visits."""
        return max(self.workers * self.driver.get("work", 0.0) - sum(self.steps.values()), 0.0)


def profile_run(
    destination: str, run_id: str, *, driver: Mapping[str, float], workers: int
) -> Profile:
    """Put together what the driver measured and what the rows of a run say.

    Args:
        destination: of the run.
        run_id: the run.
        driver: seconds by name, see :class:`Profile`.
        workers: how many there were.
    """
    columns = [f"seconds_{step}" for step in STEPS]
    table = read_report(destination, run_id=run_id, columns=columns, newest=False)
    visits = table.filter(pc.is_valid(table["seconds_read"]))
    steps = {
        step: float(pc.sum(visits[column]).as_py() or 0.0)
        for step, column in zip(STEPS, columns, strict=True)
    }
    return Profile(driver=driver, workers=workers, visits=len(visits), steps=steps)
