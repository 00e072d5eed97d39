# SPDX-License-Identifier: Apache-2.0
"""A Prefect server of its own with a process work pool and a worker, to be killed and restarted.

CLUSTER_DATABASE_URL names a PostgreSQL (postgresql+asyncpg://...); SQLite without it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.cluster.nodes import clean_environment, free_port

__all__ = ["PrefectHouse", "open_prefect"]

_BIN = Path(sys.executable).parent
_START_S = 240


class PrefectHouse:
    """Server, work pool ``bracketflow`` and worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/api"
        self.variables = clean_environment(folder) | {
            "PREFECT_API_URL": self.url,
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        }
        if database := os.environ.get("CLUSTER_DATABASE_URL"):
            self.variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        self._logs = 0
        self.server = self.start_server()
        self.run("prefect", "work-pool", "create", "bracketflow", "--type", "process")
        self.worker: psutil.Popen | None = None

    def start_server(self) -> psutil.Popen:
        server = self._popen("server", "start", "--host", "127.0.0.1", "--port", str(self._port))
        until = time.monotonic() + _START_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return server
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, self.said()
                assert time.monotonic() < until, self.said()
                time.sleep(0.5)

    def start_worker(self) -> psutil.Popen:
        self.worker = self._popen("worker", "start", "--pool", "bracketflow", "--limit", "4")
        return self.worker

    def run(self, *command: str) -> str:
        """A command that talks to the server."""
        done = subprocess.run(
            [_BIN / command[0], *command[1:]],
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def until(self, true: Callable[[], Any], seconds: float = 600) -> Any:
        """Wait for something."""
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, self.said()
            time.sleep(0.5)
        return found

    def said(self) -> str:
        return "\n".join(log.read_text("utf-8", "replace") for log in self.folder.glob("*.log"))

    def _popen(self, *words: str) -> psutil.Popen:
        self._logs += 1
        with (self.folder / f"{self._logs}-{words[0]}.log").open("wb") as log:
            return psutil.Popen(
                [_BIN / "prefect", *words],
                env=self.variables,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def end(process: psutil.Popen | None, number: int = signal.SIGTERM) -> None:
    """End a process and all that it started."""
    if process is None or process.poll() is not None:
        return
    family = process.children(recursive=True)
    process.send_signal(number)
    psutil.wait_procs([process], timeout=40)
    for one in [*family, process]:
        if one.is_running():
            one.kill()


@contextmanager
def open_prefect(folder: Path) -> Iterator[tuple[PrefectHouse, SyncPrefectClient]]:
    """The house, and a client of its server."""
    house = PrefectHouse(folder)
    try:
        with (
            temporary_settings({PREFECT_API_URL: house.url}),
            get_client(sync_client=True) as client,
        ):
            yield house, client
    finally:
        end(house.worker)
        end(house.server)
