# SPDX-License-Identifier: Apache-2.0
"""The work of a fleet in the order in which it is handed out, and what each job has cost so far.

No Ray is needed here: this is the place where it is decided what is tried again, when, and beside
whom. Three kinds of trouble are told apart:

- *A job may be guilty* (its worker died or ran out of time): it goes alone to the next worker, so
  that a second time convicts the right one.
- *The infrastructure failed* (storage, a lost node): nobody's photograph is to blame; the job
  waits, longer each time, and after a bounded number of tries the run fails.
- *Neither* (its worker was stopped for the sake of another job): it simply comes again.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from pipeline.errors import BracketflowError
from pipeline.report.schema import Row

__all__ = ["Job", "Ticket", "WorkQueue"]

_FIRST_DELAY_S = 2.0
_MAX_FAILURES = 6  # 2 + 4 + 8 + 16 + 32 s: what a store that restarts may take
_MANY_DELAYED = 8  # so many jobs wait for the infrastructure: no new ones until it answers


class Job(Protocol):
    """One unit of work: plain data that travels to a worker."""

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        ...


@dataclass(kw_only=True, eq=False)
class Ticket:
    """A job on its way through the fleet."""

    job: Job
    deaths: int = 0
    """Workers that died while they had it at hand."""
    timeouts: int = 0
    """Workers that were stopped because it took too long."""
    failures: int = 0
    """Times that the infrastructure failed it."""

    @property
    def suspect(self) -> bool:
        """Whether it must be alone with its worker."""
        return self.deaths > 0 or self.timeouts > 0


class WorkQueue:
    """Jobs to hand out: suspects first, then what has waited long enough, then new ones.

    Args:
        jobs: read one at a time, when a worker is free.
        clock: seconds that only grow.
        jitter: factor of a delay, so that workers do not come back all at the same moment.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.5),
    ) -> None:
        self._stream: Iterator[Job] | None = iter(jobs)
        self._clock = clock
        self._jitter = jitter
        self._again: deque[Ticket] = deque()
        self._suspects: deque[Ticket] = deque()
        self._delayed: list[tuple[float, int, Ticket]] = []
        self._order = count()

    @property
    def empty(self) -> bool:
        """Whether everything was handed out, as far as is known."""
        return self._stream is None and not (self._again or self._suspects or self._delayed)

    def take(self, *, busy: bool) -> Ticket | None:
        """The next job for a worker, None if there is none for it now.

        Args:
            busy: the worker has another job at hand.
        """
        while self._delayed and self._delayed[0][0] <= self._clock():
            self.put_back(heapq.heappop(self._delayed)[2])
        if self._suspects:
            return None if busy else self._suspects.popleft()
        if self._again:
            return self._again.popleft()
        if self._stream is None or len(self._delayed) >= _MANY_DELAYED:
            return None
        job = next(self._stream, None)
        if job is None:
            self._stream = None
            return None
        return Ticket(job=job)

    def put_back(self, ticket: Ticket) -> None:
        """Hand it out again as soon as possible; alone, if it is a suspect."""
        (self._suspects if ticket.suspect else self._again).append(ticket)

    def try_later(self, ticket: Ticket) -> bool:
        """Hand it out again after a while, since the infrastructure failed it.

        Returns:
            False if that happened too often: the run should fail.
        """
        ticket.failures += 1
        if ticket.failures >= _MAX_FAILURES:
            return False
        delay = _FIRST_DELAY_S * 2 ** (ticket.failures - 1) * self._jitter()
        heapq.heappush(self._delayed, (self._clock() + delay, next(self._order), ticket))
        return True

    def seconds_to_next(self) -> float | None:
        """How long until a delayed job is due (0 if one is), None if there is none."""
        if not self._delayed:
            return None
        return max(self._delayed[0][0] - self._clock(), 0.0)
