# SPDX-License-Identifier: Apache-2.0
"""Training batches streamed by Ray Data into one training worker.

Readers (Ray actors) decode and augment ahead of the network, each batch as one block, in order.
What they are to read is decided by ``pipeline.batches``; only numbers of steps travel to them.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError

from pipeline.batches import BatchSource, read_training_batch
from pipeline.errors import BracketflowError, InfrastructureError, PhotoError, UsageError
from pipeline.prefetch import one_ahead

__all__ = ["ReaderPlan", "data_context", "stream_batches"]

_SEGMENT = 256  # steps of one Ray dataset; each costs a millisecond before the first is read
_OVERLAP = 24  # steps before its end at which the next dataset is started
_NAP_S = 0.02
_STALL_S = 300.0


@dataclass(frozen=True, kw_only=True)
class ReaderPlan:
    """The readers of one training worker."""

    readers: int = 1
    cpus_per_reader: float = 0.125
    """Two sets of readers are at work where one dataset follows another."""
    store_bytes: int = 64 * 2**20
    """Object store that batches read ahead may fill."""
    prefetch: int = 2


def stream_batches(
    source: BatchSource, start: int, stop: int, *, rank: int, size: int, plan: ReaderPlan
) -> Generator[dict[str, torch.Tensor], None, None]:
    """Worker ``rank``'s part of the batches ``start`` to ``stop - 1``, in order.

    Raises:
        UsageError: ``shards-invalid``, ``recipe-invalid``.
        InfrastructureError: ``ray-failed``.
    """
    _configure(plan)
    segments = [range(s, min(s + _SEGMENT, stop)) for s in range(start, stop, _SEGMENT)]
    with contextlib.ExitStack() as begun, ThreadPoolExecutor(1) as opener:

        def begin(steps: range) -> Iterator[dict[str, torch.Tensor]]:
            stream = _segment(source, steps, rank, size, plan)
            begun.callback(stream.close)
            # A dataset starts when its first batch is asked for.
            return itertools.chain([next(stream)], stream)

        following = [opener.submit(begin, steps) for steps in segments[:1]]
        for number, steps in enumerate(segments):
            stream = following.pop().result()
            for left, batch in zip(range(len(steps), 0, -1), stream, strict=True):
                if left == min(_OVERLAP, len(steps)):
                    following = [opener.submit(begin, s) for s in segments[number + 1 :][:1]]
                yield batch


def _segment(
    source: BatchSource, steps: range, rank: int, size: int, plan: ReaderPlan
) -> Generator[dict[str, torch.Tensor], None, None]:
    batches = (
        ray.data.from_items([{"step": step} for step in steps], override_num_blocks=len(steps))
        .map_batches(
            _Reader,
            fn_constructor_args=(source, rank, size),
            batch_size=1,
            compute=ActorPoolStrategy(size=min(plan.readers, len(steps))),
            num_cpus=plan.cpus_per_reader,
        )
        .iter_batches(batch_size=1, prefetch_batches=plan.prefetch, batch_format="pyarrow")
    )
    decoded = (_decode(step, table) for step, table in zip(steps, iter(batches), strict=True))
    try:
        yield from one_ahead(decoded)
    except (RayError, ExecutionTimeoutError) as error:
        last = " ".join(str(error).split())[-300:]
        raise InfrastructureError("ray-failed", f"Reading patches failed: {last}") from error


def _decode(step: int, table: pa.Table) -> dict[str, torch.Tensor]:
    (row,) = table.to_pylist()
    if row["step"] != step:
        raise AssertionError(f"step {row['step']} came in the place of {step}")
    for kind in (UsageError, InfrastructureError, PhotoError):
        if row["code"] in kind.codes:
            raise kind(row["code"], row["message"])
    return safetensors.torch.load(row["batch"])


class _Reader:
    """The actor behind a dataset."""

    def __init__(self, source: BatchSource, rank: int, size: int) -> None:
        torch.set_num_threads(1)
        self._source = source
        self._rank = rank
        self._size = size

    def __call__(self, rows: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
        """One row: the batch of the step, or why there is none.

        Of an error that is raised here, Ray Data brings nothing back but its name.
        """
        (step,) = rows["step"].tolist()
        code = message = ""
        data = b""
        try:
            (plan,) = self._source.plans(step, step + 1)
            batch = read_training_batch(self._source, plan.part(self._rank, self._size))
            data = safetensors.numpy.save(batch)
        except BracketflowError as error:
            code, message = error.code, error.message
        return {"step": [step], "batch": [data], "code": [code], "message": [message]}


class _Nap:
    """Ray Data's executor turns round without a pause while it waits for a slow consumer, which
    a network in training is: three quarters of a core for nothing. This callback, called once in
    every turn, makes it rest."""

    def before_execution_starts(self, executor: object) -> None: ...

    def on_execution_step(self, executor: object) -> None:
        time.sleep(_NAP_S)

    def after_execution_succeeds(self, executor: object) -> None: ...

    def after_execution_fails(self, executor: object, error: Exception) -> None: ...


def data_context() -> DataContext:
    """Ray Data's settings, without the warnings that it makes about its own defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return DataContext.get_current()


def _configure(plan: ReaderPlan) -> None:
    """Settings of Ray Data, which are those of the process; a training worker has it for itself."""
    context = data_context()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources(
        object_store_memory=plan.store_bytes
    )
    context.execution_no_progress_timeout_s = _STALL_S
    context.custom_execution_callback_classes = [_Nap]  # type: ignore[list-item]
