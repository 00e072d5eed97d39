# SPDX-License-Identifier: Apache-2.0
"""How much of a cluster a run uses: what was asked for, and what fits. No Ray is needed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import UsageError

__all__ = ["Device", "PoolOptions", "PoolPlan", "Resources", "plan_pool"]

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the connected cluster has in all."""

    cpus: float
    gpus: float
    nodes: int
    local: bool
    """True for an instance that ``pipeline.cluster`` started on this machine."""


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """How much of the cluster to use. None of it changes a result."""

    workers: int | None = None
    """Number of actors; by default as many as fit."""
    device: Device = "auto"
    """``auto`` takes GPUs where the cluster has some."""
    gpus_per_worker: float | None = None
    """Share of a GPU that an actor takes (1 by default); below 1 several share one."""
    threads_per_worker: int | None = None
    """Threads of one actor's numerics (2 by default, or what the machine has)."""
    bracket_timeout_s: float | None = 1800.0
    """How long one bracket may take; None for no limit. Half an hour is far beyond what the
    largest RAW brackets need on a slow processor, and a stuck decoder costs a night little."""
    memory_bytes: int | None = None
    """Resident memory of one actor that ends the bracket at hand; None for no limit."""
    grows: bool = False
    """The cluster starts nodes as they are needed: ask for all ``workers``, whatever it has now,
    and begin with the first that starts."""

    def __post_init__(self) -> None:
        for option, number in (
            ("--workers", self.workers),
            ("--threads", self.threads_per_worker),
        ):
            if number is not None and number < 1:
                raise UsageError("option-invalid", f"{option} {number} must be at least 1.")
        for option, limit in (
            ("--bracket-timeout", self.bracket_timeout_s),
            ("--memory", self.memory_bytes),
        ):
            if limit is not None and not limit > 0:
                raise UsageError("option-invalid", f"{option} {limit} must be more than nothing.")
        if self.grows and self.workers is None:
            raise UsageError(
                "option-invalid",
                "A cluster that grows does so for the workers it is asked for: say how many with "
                "--workers.",
            )


@dataclass(frozen=True, kw_only=True)
class PoolPlan:
    """The pool that a cluster gets: checked to fit before any actor starts."""

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    threads_per_worker: int
    bracket_timeout_s: float | None = None
    memory_bytes: int | None = None
    grows: bool = False


def plan_pool(options: PoolOptions, resources: Resources) -> PoolPlan:
    """Decide on the pool, leaving one CPU of the cluster free for everything else.

    Raises:
        UsageError: ``option-invalid``, the cluster cannot hold what was asked for.
    """
    if options.grows:
        return _growing_pool(options)
    if options.device == "cuda" and not resources.gpus:
        raise UsageError(
            "option-invalid",
            "--device cuda: this Ray cluster has no GPU; use --device auto or cpu, "
            "or start Ray where it sees the GPUs.",
        )
    use_gpu = options.device == "cuda" or (options.device == "auto" and resources.gpus > 0)
    share = 0.0
    if use_gpu:
        share = 1.0 if options.gpus_per_worker is None else options.gpus_per_worker
        if not 0 < share <= resources.gpus or (share > 1 and share != int(share)):
            raise UsageError(
                "option-invalid",
                f"--gpus-per-worker {share:g} must be a share (0..1] or a whole number of at "
                f"most {resources.gpus:g}, which is what the cluster has.",
            )
    free = max(resources.cpus - 1, 0.5)
    threads = options.threads_per_worker or int(min(2, max(resources.cpus, 1)))
    if use_gpu:
        fitting = max(int(resources.gpus / share), 1)
    else:
        fitting = max(int(free // min(threads, free)), 1)
    workers = options.workers or fitting
    if use_gpu and workers > fitting:
        raise UsageError(
            "option-invalid",
            f"--workers {workers} with {share:g} GPU each does not fit {resources.gpus:g} GPUs; "
            f"use at most {fitting} or a smaller --gpus-per-worker.",
        )
    return PoolPlan(
        workers=workers,
        # Never all CPUs: a pool that claims every one of them starves Ray's other tasks.
        cpus_per_worker=min(float(threads), free / workers),
        gpus_per_worker=share,
        threads_per_worker=threads,
        bracket_timeout_s=options.bracket_timeout_s,
        memory_bytes=options.memory_bytes,
    )


def _growing_pool(options: PoolOptions) -> PoolPlan:
    """The pool as it is asked for: what the cluster has now says nothing."""
    assert options.workers is not None, "checked by the options"
    share = 0.0
    if options.device == "cuda":
        share = 1.0 if options.gpus_per_worker is None else options.gpus_per_worker
        if not share > 0 or (share > 1 and share != int(share)):
            raise UsageError(
                "option-invalid",
                f"--gpus-per-worker {share:g} must be a share (0..1] or a whole number.",
            )
    threads = options.threads_per_worker or 2
    return PoolPlan(
        workers=options.workers,
        cpus_per_worker=float(threads),
        gpus_per_worker=share,
        threads_per_worker=threads,
        bracket_timeout_s=options.bracket_timeout_s,
        memory_bytes=options.memory_bytes,
        grows=True,
    )
