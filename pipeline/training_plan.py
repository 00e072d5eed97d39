# SPDX-License-Identifier: Apache-2.0
"""How much of a cluster a training takes. No Ray is needed here."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.pool import Device, Resources

__all__ = ["TrainingPlan", "plan_training"]

_MOST_READERS = 8
_CPUS_A_READER = 8  # of a worker that trains on CPUs
_CPUS_A_READER_GPU = 2


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What the training workers and their readers get; see :func:`plan_training`."""

    workers: int
    gpu: bool
    cpus_per_worker: float
    threads_per_worker: int
    readers_per_worker: int
    cpus_per_reader: float


def plan_training(resources: Resources, *, workers: int, device: Device) -> TrainingPlan:
    """Share the cluster out between training workers and the readers that feed them.

    Claims are small, because a claim decides where a process runs and not how fast: workers take
    half of the logical CPUs and readers a quarter, so that something is always left for Ray's
    own tasks. All threads go to the workers.

    Args:
        workers: how many training processes.
        device: ``auto`` takes GPUs where the cluster has some.

    Raises:
        UsageError: ``option-invalid``, there are fewer GPUs than workers, or more workers than
            CPUs.
    """
    gpu = device == "cuda" or (device == "auto" and resources.gpus > 0)
    if gpu and resources.gpus < workers:
        raise UsageError(
            "option-invalid",
            f"{workers} training workers need a GPU each, this Ray cluster has "
            f"{resources.gpus:g}; lower --workers or use --device cpu.",
        )
    if workers > max(resources.cpus, 1):
        raise UsageError(
            "option-invalid",
            f"{workers} training workers do not fit on {resources.cpus:g} CPUs; lower --workers.",
        )
    # A worker cannot be larger than its node.
    cpus = min(resources.cpus / workers, resources.cpus / max(resources.nodes, 1))
    readers = int(cpus / (_CPUS_A_READER_GPU if gpu else _CPUS_A_READER))
    readers = min(max(readers, 1), _MOST_READERS)
    return TrainingPlan(
        workers=workers,
        gpu=gpu,
        cpus_per_worker=round(cpus / 2, 3),
        threads_per_worker=max(int(cpus), 1),
        readers_per_worker=readers,
        # Two sets of readers overlap where one dataset follows another.
        cpus_per_reader=round(min(cpus / 4 / (2 * readers), 1.0), 3),
    )
