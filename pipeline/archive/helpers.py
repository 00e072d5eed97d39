# SPDX-License-Identifier: Apache-2.0
"""Ray actors that help a scan: a batch of folders in, rows of the catalog out.

An actor that dies is started again and its batch done again, twice at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.archive.layout import Folder
from pipeline.archive.looking import Looked, Looker, ScanJob
from pipeline.cluster import connect, own_interrupts, version
from pipeline.errors import InfrastructureError
from pipeline.fleet_troubles import raised_by
from pipeline.pool import PoolOptions, plan_pool

__all__ = ["ScanHelpers", "open_helpers"]

_RETRIES = 2  # of a batch whose worker died
_AT_HAND = 2  # batches of a worker: one to work on, and the next
_SILENCE_S = 3600.0  # how long one batch may take


@contextmanager
def open_helpers(job: ScanJob, workers: int | None) -> Iterator[ScanHelpers]:
    """Ray connected and its actors started, for a ``with`` block.

    Args:
        job: what the scan was asked to do.
        workers: how many; as many as fit if None, one CPU left for this process.

    Raises:
        InfrastructureError: ``ray-failed``.
    """
    with connect() as resources:
        wanted = PoolOptions(workers=workers, device="cpu", threads_per_worker=1)
        plan = plan_pool(wanted, resources)
        actor = ray.remote(
            num_cpus=plan.cpus_per_worker, max_restarts=-1, max_task_retries=_RETRIES
        )(_Worker)
        actors: list[Any] = [actor.remote(job, version()) for _ in range(plan.workers)]
        try:
            yield ScanHelpers(actors)
        finally:
            for one in actors:
                ray.kill(one)


class ScanHelpers:
    """Hands batches to actors."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self._starting = {actor.ready.remote(): actor for actor in actors}
        self._at_hand: dict[Any, list[Any]] = {}

    @property
    def most(self) -> int:
        """How many batches may wait for the first of them, done or not."""
        return 4 * _AT_HAND * len(self._at_hand)

    def take(self, folders: Sequence[Folder]) -> _Sent | None:
        """Hand a batch to whoever has least to do; None if all have enough, or nobody started.

        A full cluster may start actors late or never, which must not keep the scan waiting.

        Raises:
            InfrastructureError: ``version-mismatch``.
        """
        self._greet()
        if not self._at_hand:
            return None
        for actor, refs in self._at_hand.items():
            if refs:
                with own_interrupts():
                    left = ray.wait(refs, num_returns=len(refs), timeout=0)[1]
                self._at_hand[actor] = left
        least = min(self._at_hand, key=lambda actor: len(self._at_hand[actor]))
        if len(self._at_hand[least]) >= _AT_HAND:
            return None
        ref = least.look.remote(folders)
        self._at_hand[least].append(ref)
        first, last = folders[0].uri, folders[-1].uri
        return _Sent(ref, first if first == last else f"the folders from {first} to {last}")

    def _greet(self) -> None:
        """Take note of actors that have started."""
        if not self._starting:
            return
        with own_interrupts():
            started = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)[0]
            for ref in started:
                actor = self._starting.pop(ref)
                try:
                    ray.get(ref)
                except RayTaskError as error:
                    raise raised_by(error) from error
                except RayError:
                    continue  # the others do its share
                self._at_hand[actor] = []


@dataclass(frozen=True)
class _Sent:
    """What Ray will have; ``what`` names the folders."""

    ref: Any
    what: str

    @property
    def ready(self) -> bool:
        with own_interrupts():
            return bool(ray.wait([self.ref], timeout=0)[0])

    def result(self) -> Looked:
        """Wait for it.

        Raises:
            InfrastructureError: ``ray-failed``, ``no-progress``, or what the worker raised.
        """
        try:
            with own_interrupts():
                if not ray.wait([self.ref], timeout=_SILENCE_S)[0]:
                    raise InfrastructureError(
                        "no-progress",
                        f"No worker has looked into {self.what} for {_SILENCE_S:.0f} s; free some "
                        "CPUs of the cluster, or unset RAY_ADDRESS to use this machine alone.",
                    )
                looked: Looked = ray.get(self.ref)
        except RayTaskError as error:
            raise raised_by(error) from error
        except RayError as error:
            raise InfrastructureError(
                "ray-failed",
                f"{_RETRIES + 1} workers died while they looked into {self.what}, probably out of "
                "memory or by a decoder's crash; use fewer --workers, or move away the folder "
                "whose files do it.",
            ) from error
        return looked


class _Worker:
    """An actor, so that what lies beside folders is listed once."""

    def __init__(self, job: ScanJob, expected: str) -> None:
        self._versions = version(), expected
        self._looker = Looker(job).__enter__()

    def ready(self) -> None:
        """Make sure that this is the driver's version.

        Raises:
            InfrastructureError: ``version-mismatch``.
        """
        ours, expected = self._versions
        if ours != expected:
            raise InfrastructureError(
                "version-mismatch",
                f"A worker runs bracketflow {ours}, this is {expected}; install the same version "
                "on every node.",
            )

    def look(self, folders: Sequence[Folder]) -> Looked:
        """What is in some folders.

        Raises:
            InfrastructureError: what looking raises.
        """
        return self._looker.look(folders)
