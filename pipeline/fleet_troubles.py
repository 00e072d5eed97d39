# SPDX-License-Identifier: Apache-2.0
"""What a fleet says of the troubles it met: whose fault it was, and the cure."""

from __future__ import annotations

from ray.exceptions import OutOfMemoryError, RayError

from pipeline.cluster import free_resources
from pipeline.errors import BracketflowError, InfrastructureError, PhotoError
from pipeline.pool import PoolPlan

__all__ = ["no_progress", "raised_by", "too_many_deaths", "too_slow"]


def raised_by(error: RayError) -> BracketflowError:
    """Our own error where a worker raised one, else ``ray-failed``."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BracketflowError):
        return cause
    first = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return InfrastructureError("ray-failed", f"A Ray worker failed: {first}")


def too_many_deaths(error: RayError, deaths: int) -> PhotoError:
    """Why a bracket is given up that cost so many workers; ``error`` is the last one's."""
    if isinstance(error, OutOfMemoryError):
        return PhotoError(
            "out-of-memory",
            f"{deaths} workers were killed on this bracket because their machine ran out of "
            "memory; use fewer --workers, or a machine with more of it.",
        )
    return PhotoError(
        "worker-died",
        f"{deaths} workers died on this bracket, probably out of memory or a decoder "
        "crash; look at its frames, or give workers more memory with fewer --workers.",
    )


def too_slow(limit_s: float | None, times: int) -> PhotoError:
    """Why a bracket is given up that was stopped so many times."""
    return PhotoError(
        "bracket-timeout",
        f"It took longer than {limit_s:g} s, {times} times; look at its frames, or allow more "
        "with --bracket-timeout.",
    )


def no_progress(quiet_s: float, *, missing: int, plan: PoolPlan) -> InfrastructureError:
    """Why a run ends that waits in vain; ``missing`` workers were never placed."""
    return InfrastructureError(
        "no-progress",
        f"Nothing was finished for {quiet_s:.0f} s; {missing} of {plan.workers} workers wait to "
        f"be started, each needs {plan.cpus_per_worker:g} CPU and {plan.gpus_per_worker:g} GPU, "
        f"and Ray has {free_resources()}. Free some, or use fewer --workers; the same command "
        "goes on from here.",
    )
