# SPDX-License-Identifier: Apache-2.0
"""The actors of a fleet as its driver sees them: who is at work, and what they owe.

The crew starts, replaces and ends actors. Of every row that came back it keeps a copy until the
actor has written it, so that an actor may die at any time.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.cluster import version
from pipeline.errors import InfrastructureError
from pipeline.fleet_queue import Ticket
from pipeline.fleet_troubles import no_progress, raised_by
from pipeline.fleet_worker import CONTROL, FleetWorker, Ready, Visited, VisitorRecipe
from pipeline.ledger import Ledger
from pipeline.pool import Device, PoolPlan
from pipeline.report.schema import SCHEMA, Row
from pipeline.segments import live_segments, open_segment, read_columns

__all__ = ["Crew", "Member"]

_MAX_FAILED_STARTS = 3  # one after the other, without a worker's own word on why
_IN_FLIGHT = 2  # jobs an actor has at hand, so that it never waits for the driver


@dataclass(kw_only=True, eq=False)
class Member:
    """One actor."""

    name: str
    actor: Any
    starting: Any
    """What it answers when it has started; None when it did."""
    node: str = ""
    worn: bool = False
    at_hand: dict[Any, Ticket] = field(default_factory=dict)
    """Answers to come, in order: it works on the first."""
    since: float = 0.0
    """When it began with the first."""
    unwritten: deque[tuple[int, Row]] = field(default_factory=deque)
    """Copies of rows, by number, that it has not written itself."""

    @property
    def takes_more(self) -> bool:
        """Whether it should get another job; beside a suspect there is none."""
        return (
            self.starting is None
            and not self.worn
            and len(self.at_hand) < _IN_FLIGHT
            and not any(ticket.suspect for ticket in self.at_hand.values())
        )

    def awaited(self) -> list[Any]:
        """The answers to wait for."""
        return list(self.at_hand) if self.starting is None else [self.starting]

    def send(self, ticket: Ticket, *, now: float) -> None:
        """Give it one more job."""
        if not self.at_hand:
            self.since = now
        self.at_hand[self.actor.visit.remote(ticket.job)] = ticket

    def done(self, ref: Any, *, now: float) -> Ticket:
        """It has answered, and goes on with the next."""
        self.since = now
        return self.at_hand.pop(ref)

    def keep(self, visited: Visited) -> None:
        """Keep a copy of its row, and drop those that it has written."""
        self.worn = visited.worn
        if visited.row is not None:
            self.unwritten.append((visited.number, visited.row))
        while self.unwritten and self.unwritten[0][0] <= visited.committed:
            self.unwritten.popleft()


class Crew:
    """All actors of a fleet.

    Args:
        recipe: how a worker builds its visitor, and where its rows go.
        plan: how many workers of what size.
        device: passed to the visitors.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        recipe: VisitorRecipe,
        plan: PoolPlan,
        *,
        device: Device,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.members: list[Member] = []
        self.ledger = Ledger(recipe.destination, recipe.run_id, "driver")
        self._recipe = recipe
        self._plan = plan
        self._device = device
        self._clock = clock
        self._started = 0
        self._failed_starts = 0

    @property
    def missing(self) -> int:
        """Workers that have not started."""
        return sum(member.starting is not None for member in self.members)

    @property
    def at_work(self) -> bool:
        """Whether any worker has a job at hand."""
        return any(member.at_hand for member in self.members)

    def start(self, seconds: float) -> None:
        """Start all workers; after that time those that Ray could place have to do.

        Where the cluster grows, the first one is enough: the others come as their nodes do.

        Raises:
            UsageError: what a worker raised.
            InfrastructureError: ``no-progress``, ``version-mismatch``, ``ray-failed``, or what a
                worker raised.
        """
        for _ in range(self._plan.workers):
            self._add()
        until = self._clock() + seconds
        while self.missing and (left := until - self._clock()) > 0:
            if self._plan.grows and self.missing < len(self.members):
                break
            starting = {m.starting: m for m in self.members if m.starting is not None}
            for ref in ray.wait(list(starting), num_returns=1, timeout=left)[0]:
                self.greet(starting[ref])
        if self.missing == len(self.members):
            raise no_progress(seconds, missing=self.missing, plan=self._plan)

    def greet(self, member: Member) -> None:
        """A worker has started, or could not.

        Raises:
            UsageError: what it raised.
            InfrastructureError: what it raised, or ``version-mismatch``, or ``ray-failed``.
        """
        try:
            found: Ready = ray.get(member.starting)
        except RayTaskError as error:
            raise raised_by(error) from error
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise raised_by(error) from error
            self.replace(member)
            return
        if found.version != version():
            raise InfrastructureError(
                "version-mismatch",
                f"A worker runs bracketflow {found.version}, this is {version()}; install the "
                "same version on every node.",
            )
        self._failed_starts = 0
        member.starting, member.node = None, found.node

    def replace(self, member: Member) -> dict[str, Row]:
        """End a worker and start another one in its place.

        Returns:
            The rows that it had written itself, by bracket: whatever it did not answer any more,
            those brackets are done.
        """
        written = self._bury(member)
        self.ledger.flush()
        self._add()
        return written

    def finish_at_hand(self, seconds: float) -> None:
        """Let every worker finish what it has begun, for so long, and begin nothing more."""
        busy = [member for member in self.members if member.at_hand]
        if busy:
            logging.getLogger(__name__).warning(
                "Stopping after the brackets at hand (%d), in %g s at most; interrupt again to "
                "stop at once.",
                len(busy),
                seconds,
            )
        for member in busy:
            member.actor.stop.options(concurrency_group=CONTROL).remote()
        waiting = {ref: member for member in busy for ref in member.at_hand}
        until = self._clock() + seconds
        while waiting and (left := until - self._clock()) > 0:
            for ref in ray.wait(list(waiting), num_returns=1, timeout=left)[0]:
                member = waiting.pop(ref)
                with contextlib.suppress(RayError):
                    member.keep(ray.get(ref))
                    del member.at_hand[ref]

    def flush(self, seconds: float) -> None:
        """Let workers write their last rows; copies of those that they cannot write stay."""
        idle = [m for m in self.members if m.starting is None and not m.at_hand]
        flushed = {member.actor.flush.remote(): member for member in idle}
        until = self._clock() + seconds
        for ref, member in flushed.items():
            with contextlib.suppress(RayError):
                ray.get(ref, timeout=max(until - self._clock(), 0.0))
                member.unwritten.clear()

    def end(self) -> None:
        """End all workers, and write what they had not written.

        Raises:
            InfrastructureError: ``disk-full`` or ``storage-failed``.
        """
        for member in list(self.members):
            self._bury(member)
        self.ledger.flush()

    def _add(self) -> None:
        name = f"worker{self._started:03d}"
        self._started += 1
        plan = self._plan
        remote: Any = ray.remote  # whose types do not know the groups
        actor = (
            remote(concurrency_groups={CONTROL: 1})(FleetWorker)
            .options(num_cpus=plan.cpus_per_worker, num_gpus=plan.gpus_per_worker)
            .remote(self._recipe, self._device, plan.threads_per_worker, name, plan.memory_bytes)
        )
        self.members.append(Member(name=name, actor=actor, starting=actor.ready.remote()))

    def _bury(self, member: Member) -> dict[str, Row]:
        """Make sure that it is gone, and write what it had not written."""
        with contextlib.suppress(RayError):
            ray.kill(member.actor)
        self.members.remove(member)
        written: dict[str, Row] = {}
        if member.at_hand or member.unwritten:
            # Should that fail, a row that comes twice is better than one that is lost.
            with contextlib.suppress(OSError, InfrastructureError):
                written = _rows_written_by(member.name, self._recipe)
        for _, row in member.unwritten:
            if row["bracket_id"] not in written:
                # What cannot be written stays in the ledger; the flush that follows says why.
                with contextlib.suppress(InfrastructureError):
                    self.ledger.append(row)
        return written


def _rows_written_by(worker: str, recipe: VisitorRecipe) -> dict[str, Row]:
    """The rows of a worker's own segments, by bracket."""
    rows: dict[str, Row] = {}
    for segment in live_segments(recipe.destination, run_id=recipe.run_id):
        if segment.name.rpartition("/")[2].startswith(f"segment-{worker}-"):
            with open_segment(segment) as file:
                found = read_columns(file, SCHEMA.names).to_pylist()
            rows |= {row["bracket_id"]: row for row in found}
    return rows
