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
_START_S = 300  # how long a replacement may take when nothing else is at work
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
        self._starting: dict[Any, Any] = {}
        self._started = 0
        self._ledger = Ledger(recipe.destination, recipe.run_id, "driver")

    def __enter__(self) -> Fleet:
        try:
            actors = [self._start() for _ in range(self._plan.workers)]
            self._check_ready([actor.ready.remote() for actor in actors])
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
        failed: RayTaskError | None = None
        try:
            flushed = {actor: actor.flush.remote() for actor in self._at_work() if patient}
            for actor in list(self._names):
                try:
                    if actor in flushed:
                        ray.get(flushed[actor], timeout=_FLUSH_S)
                        self._rows[actor].clear()
                except RayTaskError as failure:
                    failed = failure
                except RayError:
                    pass  # dead or stuck: what it had not written is written here
                self._bury(actor)
            self._ledger.flush()
            if failed is not None and error is None:
                raise _infrastructure(failed) from failed
        finally:
            self._kill_all()

    def _at_work(self) -> list[Any]:
        """The workers that have started."""
        starting = list(self._starting.values())
        return [actor for actor in self._names if actor not in starting]

    def _check_ready(self, refs: list[Any]) -> None:
        """Wait until workers have loaded their model, and compare versions."""
        try:
            for found in ray.get(refs):
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
        self._starting.clear()

    def run(self, jobs: Iterable[Job]) -> Iterator[Row]:
        """Visit all jobs; rows come in the order in which they are done.

        When a worker dies, each job that it had at hand is a suspect, since nobody can tell which
        one it was working on. Suspects are handed out again one by one, each alone with its
        worker, so that a second death convicts the right one.
        """
        waiting: deque[tuple[Job, int]] = deque()
        stream = iter(jobs)
        exhausted = False
        at_hand: dict[Any, tuple[Any, Job, int]] = {}

        def fill(actor: Any) -> None:
            nonlocal exhausted
            mine = [deaths for owner, _, deaths in at_hand.values() if owner is actor]
            while len(mine) < _IN_FLIGHT and not any(mine):
                if waiting and mine:
                    return
                if waiting:
                    job, deaths = waiting.popleft()
                else:
                    try:
                        job, deaths = next(stream), 0
                    except StopIteration:
                        exhausted = True
                        return
                at_hand[actor.visit.remote(job)] = (actor, job, deaths)
                mine.append(deaths)

        def fill_all() -> None:
            for actor in self._at_work():
                fill(actor)

        fill_all()
        while at_hand or waiting or not exhausted:
            ready = ray.wait(
                [*at_hand, *self._starting],
                num_returns=1,
                timeout=None if at_hand else _START_S,
            )[0]
            if not ready:
                raise InfrastructureError(
                    "ray-failed",
                    f"No worker could be started again within {_START_S} s; is the cluster "
                    "short of nodes? Run the same command again to go on.",
                )
            done = ready[0]
            if done in self._starting:
                self._check_ready([done])
                del self._starting[done]
                fill_all()
                continue
            actor = at_hand[done][0]
            try:
                row, committed = ray.get(done)
            except RayTaskError as error:
                raise _infrastructure(error) from error
            except RayError:  # the actor died, its node did, or Ray killed it for its memory
                refs = [ref for ref, entry in at_hand.items() if entry[0] is actor]
                suspects = [(job, deaths + 1) for _, job, deaths in map(at_hand.pop, refs)]
                name = self._bury(actor)
                if suspects[0][1] >= _MAX_DEATHS:
                    row = self._give_up(suspects.pop(0)[0], name)
                    self._ledger.append(row)
                    yield row
                waiting.extendleft(reversed(suspects))
                replacement = self._start()
                self._starting[replacement.ready.remote()] = replacement
                fill_all()
                continue
            del at_hand[done]
            self._rows[actor].append(row)
            self._forget(actor, committed)
            fill(actor)
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
