# SPDX-License-Identifier: Apache-2.0
"""The actor of a fleet: one visitor, one ledger writer, and two threads that look after them.

One thread writes finished rows down when they grow old, also in the middle of a long bracket or
when there is nothing to do, so that a crash costs little. The other one, where a limit was set,
ends a bracket that takes too much memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import ray
import torch

from pipeline.cluster import version
from pipeline.errors import BracketflowError, InfrastructureError, PhotoError, UsageError
from pipeline.fault_points import fault_point
from pipeline.fleet_queue import Job
from pipeline.ledger import Intend, Ledger
from pipeline.memory_guard import MemoryGuard, resident_bytes
from pipeline.metrics import tell_bracket
from pipeline.pool import Device
from pipeline.report.schema import Row

__all__ = ["CONTROL", "RETRIED", "FleetWorker", "Ready", "Visited", "Visitor", "VisitorRecipe"]

RETRIED = frozenset({"storage-failed"})
"""Codes of infrastructure errors that may go away by themselves; a full disk does not."""

CONTROL = "control"
"""Ray's concurrency group for a word to a worker that is in the middle of a bracket."""

_LOOK_EVERY_S = 1.0
_MAX_AGE_S = 20.0  # of a finished row that is not on disk; with a slow write still below 30 s
_MAX_FLUSH_FAILURES = 6


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


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a worker says when it has started."""

    version: str
    node: str


@dataclass(frozen=True, kw_only=True)
class Visited:
    """What comes back from a visit."""

    row: Row | None
    """None: the worker is worn out or was told to stop, and did not touch the job."""
    number: int
    """Of the row among all rows of this worker, from 1."""
    committed: int
    """How many rows of this worker are on disk by now, in their order."""
    worn: bool
    """The worker used up its memory and is to be replaced."""


class FleetWorker:
    """One visitor and the writer of its rows; Ray makes an actor of it.

    Args:
        recipe: how to build the visitor, and where its rows go.
        device: passed to the visitor.
        threads: of its numerics.
        name: of the worker in the report.
        memory_bytes: resident memory that ends a bracket; None for no limit.
    """

    def __init__(
        self,
        recipe: VisitorRecipe,
        device: Device,
        threads: int,
        name: str,
        memory_bytes: int | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._recipe = recipe
        self._device = device
        self._name = name
        self._memory_bytes = memory_bytes
        self._guard = None if memory_bytes is None else MemoryGuard(memory_bytes)
        self._worn = False
        self._stopped = False
        self._visitor: Visitor | None = None
        self._ledger = Ledger(recipe.destination, recipe.run_id, name)
        self._lock = threading.Lock()  # the ledger belongs to the visit and to the thread
        self._appended = 0
        self._oldest: float | None = None
        self._intended = False
        self._flush_failures = 0

    def ready(self) -> Ready:
        """Load the model; here, so that its error keeps its code.

        Raises:
            UsageError: ``option-invalid``, the memory limit leaves no room for a bracket; or what
                the recipe raises.
        """
        fault_point("worker.ready.before")
        self._visitor = self._recipe.build(
            device=self._device, worker=self._name, intend=self._intend
        )
        used = resident_bytes()
        if self._memory_bytes is not None and used >= self._memory_bytes:
            raise UsageError(
                "option-invalid",
                f"--memory {self._memory_bytes / 2**20:.0f} MiB is less than a worker takes before "
                f"its first photograph ({used / 2**20:.0f} MiB); allow more.",
            )
        threading.Thread(target=self._keep_fresh, name="flush", daemon=True).start()
        fault_point("worker.ready.after")
        return Ready(version=version(), node=ray.get_runtime_context().get_node_id())

    def visit(self, job: Job) -> Visited:
        """Visit one bracket and put its row into the ledger."""
        row = None
        if not (self._worn or self._stopped):
            fault_point("worker.visit.before")
            row = self._visit(job)
            fault_point("worker.visit.after")
            self._append(row)
            tell_bracket(row)
        return Visited(
            row=row, number=self._appended, committed=self._ledger.committed, worn=self._worn
        )

    def stop(self) -> None:
        """Begin no other bracket; called in the group :data:`CONTROL`, so that it comes through.

        Ray would start a call that waits here even if its driver cancels it.
        """
        self._stopped = True

    def flush(self) -> None:
        """Write down all rows."""
        with self._lock:
            self._ledger.flush()

    def _visit(self, job: Job) -> Row:
        assert self._visitor is not None, "ready() comes first"
        row: Row | None = None
        try:
            with nullcontext() if self._guard is None else self._guard.watch():
                row = self._visitor.visit(job)
        except MemoryError:
            self._worn = True
        if self._guard is not None and self._guard.fired:
            self._worn = True
        # A result that was finished before the limit was noticed is as good as any.
        if row is None or (self._worn and row["status"] == "quarantined"):
            row = job.failed(run_id=self._recipe.run_id, worker=self._name, error=self._too_big())
        return row

    def _too_big(self) -> BracketflowError:
        limit = self._memory_bytes
        allowed = "its memory" if limit is None else f"the {limit / 2**30:.2g} GiB it is allowed"
        return PhotoError(
            "out-of-memory",
            f"The worker went past {allowed} with this bracket; allow more with --memory, or look "
            "at the size of its frames.",
        )

    def _intend(self, result_path: str, sha256: str) -> None:
        with self._lock:
            self._intended = True
            self._ledger.intend(result_path, sha256)

    def _append(self, row: Row) -> None:
        with self._lock:
            self._intended = False
            self._appended += 1
            self._oldest = self._oldest or time.monotonic()
            self._written(lambda: self._ledger.append(row))

    def _written(self, write: Callable[[], None]) -> None:
        """Write; a failure that may go away is let pass, since the rows stay in memory."""
        try:
            write()
        except InfrastructureError as error:
            self._flush_failures += 1
            if error.code not in RETRIED or self._flush_failures >= _MAX_FLUSH_FAILURES:
                raise
        if self._ledger.committed == self._appended:
            self._flush_failures = 0
            self._oldest = None

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            with self._lock:
                # Writing forgets the intents, and the result they speak of has no row yet.
                if self._oldest is None or self._intended:
                    continue
                if time.monotonic() - self._oldest < _MAX_AGE_S:
                    continue
                try:
                    self._written(self._ledger.flush)
                except InfrastructureError:
                    continue  # the rows wait; the next visit, or the end of the run, says it
