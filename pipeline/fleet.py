# SPDX-License-Identifier: Apache-2.0
"""A pool of Ray actors that pay one visit to each bracket.

The fleet knows nothing of photographs: it is given a recipe for a visitor (anything with a
``visit(job) -> row``), builds one in every actor, hands out jobs and takes back rows. Pixels
never travel. Each actor appends its rows to the ledger itself, so that finished work is safe
even if the driver dies.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

import cv2
import ray
import torch
from ray.exceptions import RayError, RayTaskError

from pipeline.cluster import connect, version
from pipeline.errors import BracketflowError, InfrastructureError, PhotoError
from pipeline.ledger import Intend, Ledger
from pipeline.pool import Device, PoolOptions, PoolPlan, plan_pool
from pipeline.report.schema import Row

__all__ = ["Fleet", "Job", "Visitor", "VisitorRecipe", "open_fleet"]

_MAX_DEATHS = 2  # how many workers a job may cost before it is given up
_FLUSH_S = 60  # how long a worker gets to write its last rows
_IN_FLIGHT = 2  # jobs an actor has at hand, so that it never waits for the driver


class Job(Protocol):
    """One unit of work: plain data that travels to a worker."""

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        ...


class Visitor(Protocol):
    """What an actor holds: built once, visits many brackets."""

    def visit(self, job: Any) -> Row: ...


class VisitorRecipe(Protocol):
    """Plain data that knows how to build a visitor inside a worker."""

    @property
    def destination(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    def build(self, *, device: str, worker: str, intend: Intend) -> Visitor: ...


@contextlib.contextmanager
def open_fleet(recipe: VisitorRecipe, options: PoolOptions) -> Iterator[Fleet]:
    """Ray connected, the pool planned and its actors started, for a ``with`` block.

    Raises:
        UsageError: ``option-invalid``, see :func:`plan_pool`.
        InfrastructureError: ``ray-failed``, ``version-mismatch``, or what a worker raised.
    """
    with (
        connect() as resources,
        Fleet(recipe, plan_pool(options, resources), device=options.device) as fleet,
    ):
        yield fleet


class _Worker:
    """The actor: one visitor, one ledger writer."""

    def __init__(self, recipe: VisitorRecipe, device: Device, threads: int, name: str) -> None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._recipe = recipe
        self._device = device
        self._name = name
        self._ledger = Ledger(recipe.destination, recipe.run_id, name)
        self._visitor: Visitor | None = None

    def ready(self) -> str:
        """Load the model and return the version; here, so that its error keeps its code."""
        self._visitor = self._recipe.build(
            device=self._device, worker=self._name, intend=self._ledger.intend
        )
        return version()

    def visit(self, job: Job) -> tuple[Row, int]:
        """The row, and how many rows of this worker are on disk by now."""
        assert self._visitor is not None, "ready() comes first"
        row = self._visitor.visit(job)
        self._ledger.append(row)
        return row, self._ledger.committed

    def flush(self) -> None:
        self._ledger.flush()


class Fleet:
    """Actors over a stream of jobs, as a context manager.

    Args:
        recipe: how to build a visitor, and where its rows go.
        plan: see :func:`plan_pool`.
        device: passed to the visitors.

    Raises:
        InfrastructureError: ``version-mismatch``, ``ray-failed``, or what a worker raised.
    """

    def __init__(self, recipe: VisitorRecipe, plan: PoolPlan, *, device: Device = "auto") -> None:
        self._recipe = recipe
        self._plan = plan
        self._device = device
        self._names: dict[Any, str] = {}
        self._rows: dict[Any, list[Row]] = {}
        self._committed: dict[str, int] = {}
        self._started = 0
        self._ledger = Ledger(recipe.destination, recipe.run_id, "driver")

    def __enter__(self) -> Fleet:
        try:
            self._make_ready([self._start() for _ in range(self._plan.workers)])
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An interrupt does not wait for the bracket at hand: the copies here are as good.
        patient = error is None or isinstance(error, Exception)
        try:
            flushed = {actor: actor.flush.remote() for actor in self._names} if patient else {}
            for actor in list(self._names):
                try:
                    if patient:
                        ray.get(flushed[actor], timeout=_FLUSH_S)
                        self._rows[actor].clear()
                except RayTaskError as failure:
                    if error is None:
                        raise _infrastructure(failure) from failure
                except RayError:
                    pass  # dead or stuck: what it had not written is written here
                self._bury(actor)
            self._ledger.flush()
        finally:
            self._kill_all()

    def _make_ready(self, actors: list[Any]) -> None:
        """Wait until the actors have loaded their model, and compare versions."""
        try:
            for found in ray.get([actor.ready.remote() for actor in actors]):
                if found != version():
                    raise InfrastructureError(
                        "version-mismatch",
                        f"A worker runs bracketflow {found}, this is {version()}; install the "
                        "same version on every node.",
                    )
        except RayError as error:
            raise _infrastructure(error) from error

    def _kill_all(self) -> None:
        for actor in list(self._names):
            with contextlib.suppress(RayError):
                ray.kill(actor)
        self._names.clear()
        self._rows.clear()

    def run(self, jobs: Iterable[Job]) -> Iterator[Row]:
        """Visit all jobs; rows come in the order in which they are done."""
        waiting: deque[tuple[Job, int]] = deque()
        stream = iter(jobs)
        at_hand: dict[Any, tuple[Any, Job, int]] = {}

        def hand_out(actor: Any) -> None:
            if waiting:
                job, deaths = waiting.popleft()
            else:
                try:
                    job, deaths = next(stream), 0
                except StopIteration:
                    return
            at_hand[actor.visit.remote(job)] = (actor, job, deaths)

        for _ in range(_IN_FLIGHT):
            for actor in list(self._names):
                hand_out(actor)
        while at_hand:
            done, _ = ray.wait(list(at_hand), num_returns=1)
            actor, job, deaths = at_hand.pop(done[0])
            try:
                row, committed = ray.get(done[0])
            except RayTaskError as error:
                raise _infrastructure(error) from error
            except RayError:  # the actor died, its node did, or Ray killed it for its memory
                # The oldest job at hand is the one that was being worked on: it takes the blame.
                lost = [(job, deaths + 1)]
                for ref in [ref for ref, entry in at_hand.items() if entry[0] is actor]:
                    _, other, other_deaths = at_hand.pop(ref)
                    lost.append((other, other_deaths))
                name = self._bury(actor)
                if lost[0][1] >= _MAX_DEATHS:
                    row = self._give_up(lost.pop(0)[0], name)
                    self._ledger.append(row)
                    yield row
                waiting.extendleft(reversed(lost))
                replacement = self._start()
                self._make_ready([replacement])
                for _ in range(_IN_FLIGHT):
                    hand_out(replacement)
                continue
            self._rows[actor].append(row)
            self._forget(actor, committed)
            hand_out(actor)
            yield row

    def _forget(self, actor: Any, committed: int) -> None:
        """Drop the copies of rows that the actor has written by itself."""
        rows, name = self._rows[actor], self._names[actor]
        written = committed - self._committed.get(name, 0)
        del rows[:written]
        self._committed[name] = committed

    def _bury(self, actor: Any) -> str:
        """Take over what an actor had finished but not written, and make sure that it is gone."""
        for row in self._rows.pop(actor):
            self._ledger.append(row)
        with contextlib.suppress(RayError):
            ray.kill(actor)
        return self._names.pop(actor)

    def _start(self) -> Any:
        name = f"worker{self._started:03d}"
        self._started += 1
        actor = (
            ray.remote(_Worker)
            .options(
                num_cpus=self._plan.cpus_per_worker,
                num_gpus=self._plan.gpus_per_worker,
            )
            .remote(self._recipe, self._device, self._plan.threads_per_worker, name)
        )
        self._names[actor] = name
        self._rows[actor] = []
        return actor

    def _give_up(self, job: Job, worker: str) -> Row:
        error = PhotoError(
            "worker-died",
            f"{_MAX_DEATHS} workers died on this bracket, probably out of memory or a decoder "
            "crash; look at its frames, or give workers more memory with fewer --workers.",
        )
        return job.failed(run_id=self._recipe.run_id, worker=worker, error=error)


def _infrastructure(error: RayError) -> BracketflowError:
    """Our own error where a worker raised one, else ``ray-failed``."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BracketflowError):
        return cause
    first = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return InfrastructureError("ray-failed", f"A Ray worker failed: {first}")
