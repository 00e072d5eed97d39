# SPDX-License-Identifier: Apache-2.0
"""One machine on a schedule: a Prefect server on loopback, and a process that runs what is due.

Clusters use work pools instead, see ``prefect.yaml`` and ``infra/README.md``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType

from flows.scheduled import fuse_nightly, verify_weekly
from flows.server import ready_server
from pipeline import storage
from pipeline.archive.scan import ScanOptions
from pipeline.errors import InfrastructureError
from pipeline.pool import PoolOptions
from pipeline.settings import FuseSettings

__all__ = ["ServePlan", "deployments", "own_server", "serve_archive"]

_START_S = 120.0
_STOP_S = 30.0
_SLOT_S = 600  # how long a run may take to start before another one may


@dataclass(frozen=True, kw_only=True)
class ServePlan:
    """What is done when; cron in the machine's own time zone unless ``timezone`` says another."""

    source: str
    destination: str
    cron: str = "0 2 * * *"
    verify_cron: str | None = "0 6 * * 0"
    timezone: str | None = None
    settings: FuseSettings = field(default_factory=FuseSettings)
    options: ScanOptions = field(default_factory=lambda: ScanOptions(settle_s=600.0))
    pool: PoolOptions = field(default_factory=PoolOptions)
    max_failures: str = "10%"
    port: int = 4200
    """Of the server on loopback, where none is configured."""


def deployments(plan: ServePlan) -> list[RunnerDeployment]:
    """The nightly run, and the weekly check if there is to be one."""
    destination = storage.absolute(plan.destination)
    nightly = {
        "source": storage.absolute(plan.source),
        "destination": destination,
        "settings": asdict(plan.settings),
        "options": asdict(plan.options),
        "pool": asdict(plan.pool),
        "max_failures": plan.max_failures,
    }
    made = [_deployment(fuse_nightly, "nightly", plan.cron, plan.timezone, nightly)]
    if plan.verify_cron is not None:
        weekly = {"destination": destination}
        made.append(_deployment(verify_weekly, "weekly", plan.verify_cron, plan.timezone, weekly))
    return made


def _deployment(
    flow: Flow[..., Any], name: str, cron: str, timezone: str | None, parameters: dict[str, Any]
) -> RunnerDeployment:
    made: Any = flow.to_deployment(
        name,
        schedule=Cron(cron, timezone=timezone or _timezone()),
        # Two at once would only meet the lock of the destination.
        concurrency_limit=ConcurrencyLimitConfig(limit=1, grace_period_seconds=_SLOT_S),
        parameters=parameters,
        tags=["bracketflow"],
        # By module: a path would put a folder in front of the import path.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment: RunnerDeployment = made
    return deployment


def serve_archive(plan: ServePlan) -> None:
    """Run what is due until somebody stops it; the schedules stay for the next time.

    Raises:
        InfrastructureError: ``prefect-failed``.
    """
    with own_server(plan.port):
        serve(*deployments(plan), pause_on_shutdown=False, limit=2)


@contextmanager
def own_server(port: int) -> Iterator[str]:
    """The server that is configured, or one of our own on loopback for the length of the block.

    Schedules need a server that stays up: the temporary one of Prefect fires none.

    Raises:
        InfrastructureError: ``prefect-failed``.
    """
    if PREFECT_API_URL.value():
        yield ready_server()
        return
    url = f"http://127.0.0.1:{port}/api"
    prefect = Path(sys.executable).with_name("prefect")
    server = subprocess.Popen(
        [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | {"PREFECT_API_URL": url, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        stdout=subprocess.DEVNULL,
        # Ctrl-C in a terminal goes to the run first; it still needs its server.
        start_new_session=True,
    )
    try:
        _wait_for(url, server)
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        server.terminate()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while True:
        if server.poll() is not None or time.monotonic() > until:
            raise InfrastructureError(
                "prefect-failed",
                f"Prefect's server did not start at {url}; is the port taken? Choose another with "
                "--port, or set PREFECT_API_URL to a server that runs. `bracketflow doctor` says "
                "more.",
            )
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success and server.poll() is None:
                return
        except httpx.HTTPError:
            time.sleep(0.5)


def _timezone() -> str:
    """The machine's time zone by its name, as far as it has one."""
    if name := os.environ.get("TZ"):
        return name
    _, found, name = os.path.realpath("/etc/localtime").partition("zoneinfo/")
    return name if found else "UTC"
