# SPDX-License-Identifier: Apache-2.0
"""A pool of Ray actors that pay one visit to each bracket.

The fleet knows nothing of photographs: it is given a recipe for a visitor (anything with a
``visit(job) -> row``), builds one in every actor, hands out jobs and takes back rows. Pixels
never travel. Each actor appends its rows to the ledger itself, so that finished work is safe
even if the driver dies.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from pipeline.cluster import connect, node_is_alive, own_interrupts
from pipeline.errors import PhotoError
from pipeline.fault_points import fault_point
from pipeline.fleet_crew import Crew, Member
from pipeline.fleet_queue import Job, Ticket, WorkQueue
from pipeline.fleet_troubles import no_progress, raised_by, too_many_deaths, too_slow
from pipeline.fleet_worker import RETRIED, Visitor, VisitorRecipe
from pipeline.metrics import tell_fleet
from pipeline.pool import Device, PoolOptions, PoolPlan, plan_pool
from pipeline.report.schema import Row

__all__ = ["Fleet", "Job", "Visitor", "VisitorRecipe", "open_fleet"]

_MAX_DEATHS = 2  # how many workers a job may cost before it is given up
_MAX_TIMEOUTS = 2  # the same for workers that are stopped: once more alone, then never again
_START_S = 600  # how long Ray may take to place a worker; clusters that grow need minutes
_SILENCE_S = 3600  # how long nothing may be finished where no bracket has a time limit
_LOOK_EVERY_S = 5.0
_FLUSH_S = 60  # how long a worker gets to write its last rows
# Prefect and Kubernetes kill 30 s after the SIGTERM that asks to stop.
_GRACE_S = 20
_LAST_FLUSH_S = 5


@contextlib.contextmanager
def open_fleet(recipe: VisitorRecipe, options: PoolOptions) -> Iterator[Fleet]:
    """Ray connected, the pool planned and its actors started, for a ``with`` block.

    Raises:
        UsageError: ``option-invalid``, see :func:`plan_pool`.
        InfrastructureError: ``ray-failed``, ``no-progress``, ``version-mismatch``, or what a
            worker raised.
    """
    with (
        connect() as resources,
        Fleet(recipe, plan_pool(options, resources), device=options.device) as fleet,
    ):
        yield fleet


class Fleet:
    """Actors over a stream of jobs, as a context manager.

    Left by an interrupt (Ctrl-C, or SIGTERM as Prefect raises it), it hands out nothing more,
    lets every worker finish the bracket at hand for a grace time, and writes down all rows. A
    second interrupt ends the waiting at once, and still writes the rows.

    Args:
        recipe: how to build a visitor, and where its rows go.
        plan: see :func:`plan_pool`.
        device: passed to the visitors.
        start_s: how long Ray may take to place workers.
        grace_s: how long a bracket at hand may take after an interrupt.
        clock: seconds that only grow.

    Raises:
        InfrastructureError: ``version-mismatch``, ``ray-failed``, ``no-progress``, or what a
            worker raised.
    """

    def __init__(
        self,
        recipe: VisitorRecipe,
        plan: PoolPlan,
        *,
        device: Device = "auto",
        start_s: float = _START_S,
        grace_s: float = _GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_id = recipe.run_id
        self._plan = plan
        self._start_s = start_s
        self._grace_s = grace_s
        self._clock = clock
        self._crew = Crew(recipe, plan, device=device, clock=clock)

    def __enter__(self) -> Fleet:
        try:
            with own_interrupts():
                self._crew.start(self._start_s)
        except BaseException:
            self._crew.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = error is not None and not isinstance(error, Exception)
        try:
            with own_interrupts():
                if interrupted:
                    self._crew.finish_at_hand(self._grace_s)
                self._crew.flush(_LAST_FLUSH_S if interrupted else _FLUSH_S)
        finally:
            self._crew.end()

    @property
    def size(self) -> int:
        """How many workers there are by now."""
        return len(self._crew.members)

    def run(self, jobs: Iterable[Job]) -> Iterator[Row]:
        """Visit all jobs; rows come in the order in which they are done.

        When a worker dies, each job that it had at hand is a suspect, since nobody can tell which
        one it was working on; see :mod:`pipeline.fleet_queue` for what becomes of it.

        Raises:
            InfrastructureError: ``no-progress``, or what kept failing.
        """
        queue = WorkQueue(jobs, clock=self._clock)
        quiet_since = self._clock()
        self._hand_out(queue)
        while self._crew.at_work or not queue.empty:
            with own_interrupts():
                rows, quiet = self._next_rows(queue)
            if not quiet:
                quiet_since = self._clock()
            self._check_progress(self._clock() - quiet_since)
            self._hand_out(queue)
            for row in rows:
                fault_point("driver.row.before")
                yield row
                fault_point("driver.row.after")

    def _next_rows(self, queue: WorkQueue) -> tuple[list[Row], bool]:
        """Wait for an answer, for a while; the rows that came, and whether nothing happened."""
        refs = {ref: member for member in self._crew.members for ref in member.awaited()}
        pause = self._pause(queue)
        if not refs:  # all that is left waits for the infrastructure
            time.sleep(pause)
            return [], False
        done = ray.wait(list(refs), num_returns=1, timeout=pause)[0]
        rows = [row for ref in done for row in self._settle(refs[ref], ref, queue)]
        rows += self._stop_overdue(queue)
        return rows, not (done or rows)

    def _hand_out(self, queue: WorkQueue) -> None:
        for member in self._crew.members:
            while member.takes_more:
                ticket = queue.take(busy=bool(member.at_hand))
                if ticket is None:
                    break
                member.send(ticket, now=self._clock())
        members, missing = self._crew.members, self._crew.missing
        at_hand = sum(len(member.at_hand) for member in members)
        tell_fleet(ready=len(members) - missing, starting=missing, at_hand=at_hand)

    def _pause(self, queue: WorkQueue) -> float:
        """How long to wait for an answer before something else is due."""
        due = [_LOOK_EVERY_S]
        seconds = queue.seconds_to_next()
        if seconds is not None and any(member.takes_more for member in self._crew.members):
            due.append(seconds)
        if (limit := self._plan.bracket_timeout_s) is not None:
            now = self._clock()
            due += [m.since + limit - now for m in self._crew.members if m.at_hand]
        return max(min(due), 0.0)

    def _settle(self, member: Member, ref: Any, queue: WorkQueue) -> list[Row]:
        """Take what came back from a worker; the rows of finished jobs."""
        if ref == member.starting:
            self._crew.greet(member)
            return []
        try:
            visited = ray.get(ref)
        except RayTaskError as error:
            cause = raised_by(error)
            if cause.code not in RETRIED or not queue.try_later(
                member.done(ref, now=self._clock())
            ):
                raise cause from error
            return []
        except RayError as error:  # the actor died, its node did, or Ray killed it for its memory
            return self._lost(member, error, queue)
        ticket = member.done(ref, now=self._clock())
        member.keep(visited)
        if visited.row is None:
            queue.put_back(ticket)
        if member.worn and not member.at_hand:
            self._crew.replace(member)
        return [] if visited.row is None else [visited.row]

    def _lost(self, member: Member, error: RayError, queue: WorkQueue) -> list[Row]:
        """Replace a worker that died; the rows of jobs that are done or given up."""
        innocent = isinstance(error, ActorUnavailableError) or not node_is_alive(member.node)
        written = self._crew.replace(member)
        rows = []
        for ticket in member.at_hand.values():
            ticket.deaths += not innocent
            row = self._failed(ticket, member, too_many_deaths(error, _MAX_DEATHS))
            if row["bracket_id"] in written:
                rows.append(written[row["bracket_id"]])
            elif innocent:
                if not queue.try_later(ticket):
                    raise raised_by(error) from error
            elif ticket.deaths < _MAX_DEATHS:
                queue.put_back(ticket)
            else:  # it was alone with its worker
                self._crew.ledger.append(row)
                rows.append(row)
        return rows

    def _stop_overdue(self, queue: WorkQueue) -> list[Row]:
        """Replace workers whose bracket takes too long; rows as in :meth:`_lost`."""
        rows: list[Row] = []
        limit = self._plan.bracket_timeout_s
        for member in list(self._crew.members):
            if limit is None or not member.at_hand or self._clock() - member.since < limit:
                continue
            head = next(iter(member.at_hand))
            if ray.wait([head], timeout=0)[0]:
                continue  # done after all; the driver only had no time to look
            written = self._crew.replace(member)
            member.at_hand[head].timeouts += 1
            for ref, ticket in member.at_hand.items():
                row = self._failed(ticket, member, too_slow(limit, _MAX_TIMEOUTS))
                if row["bracket_id"] in written:
                    rows.append(written[row["bracket_id"]])
                elif ref != head or ticket.timeouts < _MAX_TIMEOUTS:
                    queue.put_back(ticket)
                else:
                    self._crew.ledger.append(row)
                    rows.append(row)
        return rows

    def _failed(self, ticket: Ticket, member: Member, why: PhotoError) -> Row:
        return ticket.job.failed(run_id=self._run_id, worker=member.name, error=why)

    def _check_progress(self, quiet_s: float) -> None:
        at_work = self._crew.at_work
        if at_work and self._plan.bracket_timeout_s is not None:
            return  # the time limit of a bracket ends every wait
        if quiet_s > (_SILENCE_S if at_work else self._start_s):
            raise no_progress(quiet_s, missing=self._crew.missing, plan=self._plan)
