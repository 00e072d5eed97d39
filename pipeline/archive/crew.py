# SPDX-License-Identifier: Apache-2.0
"""Who looks into folders: this process, and on Ray as many more as there are CPUs to spare.

A small archive is done before Ray would have started, so it is asked only when this process has
looked for as long as the start takes. Who looked into a folder makes no difference to its rows; and
where Ray of this machine does not start, this process goes on alone.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import psutil

from pipeline.archive.layout import Folder
from pipeline.archive.looking import Looked, Looker, ScanJob
from pipeline.errors import InfrastructureError

__all__ = ["START_AFTER_S", "Crew", "Promise"]

START_AFTER_S = 10.0
"""How long this process looks into folders alone: about what Ray and a worker need to start."""


class Promise(Protocol):
    """What will come of a batch of folders."""

    @property
    def ready(self) -> bool:
        """Whether :meth:`result` need not wait."""
        ...

    def result(self) -> Looked:
        """What is in the folders."""
        ...


class Helpers(Protocol):
    """Workers on Ray, see :mod:`pipeline.archive.helpers`."""

    @property
    def most(self) -> int:
        """How many batches may wait for the first of them, done or not."""
        ...

    def take(self, folders: Sequence[Folder]) -> Promise | None:
        """Hand a batch to whoever has least to do; None if all have enough."""
        ...


@dataclass(frozen=True)
class _Done:
    looked: Looked
    ready: bool = True

    def result(self) -> Looked:
        return self.looked


class Crew:
    """Looks into batches of folders, for the length of a ``with`` block.

    Args:
        job: what the scan was asked to do.
        workers: Ray actors that help; as many as fit if None.
        start_after_s: seconds of looking before Ray is asked.
    """

    def __init__(
        self, job: ScanJob, *, workers: int | None = None, start_after_s: float = START_AFTER_S
    ) -> None:
        self._job = job
        self._workers = workers
        self._start_after_s = start_after_s
        self._spent_s = 0.0
        self._helpers: Helpers | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.looker = self._stack.enter_context(Looker(self._job))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def look(self, batches: Iterable[Sequence[Folder]]) -> Iterator[Looked]:
        """What is in batches of folders, in their order; a few are worked on ahead.

        Raises:
            InfrastructureError: what looking raised, or the helpers.
        """
        waiting: deque[Promise] = deque()
        for batch in batches:
            waiting.append(self._take(batch))
            most = self._helpers.most if self._helpers else 0
            while waiting and (waiting[0].ready or len(waiting) > most):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _take(self, folders: Sequence[Folder]) -> Promise:
        if folders:
            if self._helpers is None and self._spent_s >= self._start_after_s:
                self._start()
            promise = self._helpers.take(folders) if self._helpers else None
            if promise is not None:
                return promise
        # Rather than wait for a helper this process does its share.
        began = time.perf_counter()
        looked = self.looker.look(folders)
        self._spent_s += time.perf_counter() - began
        return _Done(looked)

    def _start(self) -> None:
        cluster = os.environ.get("RAY_ADDRESS")
        if not cluster and (psutil.cpu_count() or 1) < 2:
            self._start_after_s = math.inf  # nobody to share with
            return
        # Ray takes a second to load, which small archives and `--help` need not wait for.
        from pipeline.archive.helpers import open_helpers  # noqa: PLC0415

        try:
            self._helpers = self._stack.enter_context(open_helpers(self._job, self._workers))
        except InfrastructureError:
            if cluster:
                raise
            self._start_after_s = math.inf  # it takes longer, but nobody is needed
