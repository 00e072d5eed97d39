# SPDX-License-Identifier: Apache-2.0
"""The one helper that connects to Ray or starts it, and refuses workers of another version."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import psutil
import ray

from pipeline.errors import InfrastructureError
from pipeline.pool import Resources

__all__ = ["connect", "free_resources", "node_is_alive", "own_interrupts", "version"]

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
def _own_sigterm() -> Iterator[None]:
    """Keep whatever the process does at SIGTERM: Ray would end it before rows are written."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        ours = callable(before) and threading.current_thread() is threading.main_thread()
        if ours:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def own_interrupts() -> Iterator[None]:
    """Let interrupts through as they are, while the block waits for Ray.

    Ray knows KeyboardInterrupt only. What another signal handler raises during ``ray.wait`` or
    ``ray.get`` (Prefect's at SIGTERM does) arrives as the cause of a SystemError.
    """
    try:
        yield
    except SystemError as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, Exception):
            raise
        raise cause from None


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
        with _own_sigterm():
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


def node_is_alive(node: str) -> bool:
    """Whether the cluster still has the node of that id."""
    return any(
        found["NodeID"] == node and found["Alive"]
        for found in ray.nodes()  # type: ignore[no-untyped-call]
    )


def free_resources() -> str:
    """What is free of what the cluster has, for a message."""
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return " and ".join(
        f"{free.get(name, 0.0):g} of {total.get(name, 0.0):g} {name} free"
        for name in ("CPU", "GPU")
    )
