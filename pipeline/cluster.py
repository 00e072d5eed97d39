# SPDX-License-Identifier: Apache-2.0
"""The one helper that connects to Ray or starts it, and refuses workers of another version."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import psutil
import ray

from pipeline.errors import InfrastructureError
from pipeline.pool import Resources

__all__ = ["connect", "version"]

_LOCAL_OBJECT_STORE_BYTES = 256 * 2**20  # only report rows travel


def version() -> str:
    """The installed version of bracketflow."""
    return metadata.version("bracketflow")


def _import_ours_first() -> Callable[[], None]:
    """A hook for the start of each worker process.

    Ray puts the driver's current folder in front of a worker's import path, where a ``model.py``
    or ``flows/`` of the user's own would win over ours. The hook runs before that, so the
    packages are already loaded when anything asks for them. It is a nested function because
    those travel by value: nothing has to be importable yet.
    """

    def hook() -> None:
        import model  # noqa: F401, PLC0415
        import pipeline  # noqa: F401, PLC0415

    return hook


@contextmanager
def connect(
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    object_store_bytes: int = _LOCAL_OBJECT_STORE_BYTES,
) -> Iterator[Resources]:
    """Ray for the length of a ``with`` block.

    Where ``RAY_ADDRESS`` is set (or the process already runs on a cluster) that cluster is used
    and left as it is. Otherwise a local instance is started, on loopback, without a dashboard,
    and shut down at the end.

    Args:
        cpus: logical CPUs of a local instance; all cores by default.
        gpus: logical GPUs of a local instance; those Ray finds by default.
        object_store_bytes: memory for what travels between workers of a local instance.

    Raises:
        InfrastructureError: ``ray-failed``.
    """
    if ray.is_initialized():
        yield _resources(local=False)
        return
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {
            "worker_process_setup_hook": _import_ours_first(),
            # Threads that spin while they wait collapse (40 times slower) on a busy machine.
            "env_vars": {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")},
        },
    }
    if not address:
        options |= {
            "address": "local",
            "num_cpus": cpus or psutil.cpu_count() or 1,
            "num_gpus": gpus,
            "include_dashboard": False,
            "object_store_memory": object_store_bytes,
            "_node_ip_address": "127.0.0.1",
        }
    # Ray warns about its own defaults while it starts; what matters comes as an exception.
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {address}" if address else "on this machine"
        raise InfrastructureError(
            "ray-failed",
            f"Ray could not be {'reached' if address else 'started'} {where}: {error}. "
            "Run `bracketflow doctor`; unset RAY_ADDRESS to use this machine alone.",
        ) from error
    try:
        yield _resources(local=not address)
    finally:
        ray.shutdown()


def _resources(*, local: bool) -> Resources:
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return Resources(
        cpus=float(total.get("CPU", 0.0)),
        gpus=float(total.get("GPU", 0.0)),
        nodes=len(alive),
        local=local,
    )
