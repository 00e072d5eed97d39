# SPDX-License-Identifier: Apache-2.0
"""One Ray and one Prefect server for many commands that are killed: a start of both takes long.

The commands are the real ones. What they start on this Ray dies with them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil

from pipeline.fault_points import ONCE, VARIABLE
from tests.chaos.ray_hook import WORKER_FAULT

__all__ = ["House", "open_house"]

_BIN = Path(sys.executable).parent
_ROOT = Path(__file__).resolve().parents[2]
_START_S = 240
_COMMAND_S = 1800
_OPTIONS = {
    "fuse": ("--model", "mertens", "--align", "off", "--format", "png"),
    "shard": ("--patch-px", "32", "--min-contrast", "0", "--align", "off"),
}


@dataclass(frozen=True, kw_only=True)
class House:
    """Where commands run."""

    variables: dict[str, str]
    ray: psutil.Process
    folder: Path
    _logs: list[Path] = field(default_factory=list)

    def start(
        self,
        source: Path,
        destination: Path,
        *more: str,
        driver_fault: str | None = None,
        worker_fault: str | None = None,
        once: Path | None = None,
        own_ray: bool = False,
        command: str = "fuse",
    ) -> subprocess.Popen[bytes]:
        """A ``bracketflow`` command under way, perhaps with a fault to come."""
        variables = dict(self.variables)
        if own_ray:
            del variables["RAY_ADDRESS"]
        if driver_fault:
            variables[VARIABLE] = driver_fault
        if worker_fault:
            variables[WORKER_FAULT] = worker_fault
        if once is not None:
            once.mkdir(parents=True, exist_ok=True)
            variables[ONCE] = str(once)
        log = self.folder / f"command-{len(self._logs):04d}.log"
        self._logs.append(log)
        with log.open("wb") as out:
            return subprocess.Popen(
                [_BIN / "bracketflow", command, source, destination, *_OPTIONS[command], *more],
                env=variables,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                start_new_session=True,
            )

    def wait(self, command: subprocess.Popen[bytes]) -> int:
        """Its exit status; negative if a signal ended it."""
        try:
            return command.wait(_COMMAND_S)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
            raise AssertionError(f"no end in sight:\n{self.said()}") from None

    def fuse(self, source: Path, destination: Path, *more: str, **faults: Any) -> int:
        """Run ``bracketflow fuse`` to its end."""
        return self.wait(self.start(source, destination, *more, **faults))

    def shard(self, source: Path, destination: Path, *more: str, **faults: Any) -> int:
        """Run ``bracketflow shard`` to its end."""
        return self.fuse(source, destination, *more, command="shard", **faults)

    def said(self) -> str:
        """What the last command printed."""
        return self._logs[-1].read_text("utf-8", errors="replace")

    def workers(self) -> list[psutil.Process]:
        """The processes of workers of a fleet that are alive."""
        found = []
        for process in self.ray.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "FleetWorker" in " ".join(process.cmdline()):
                    found.append(process)
        return found


@contextlib.contextmanager
def open_house() -> Iterator[House]:
    """A Ray and a Prefect server on loopback, with a home of their own."""
    folder = Path(mkdtemp(prefix="chaos-"))  # short: sockets lie below it
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "RAY_", "BRACKETFLOW_"))
    }
    ray_port, prefect_port = _free_port(), _free_port()
    variables = clean | {
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    ray = [_BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    ray += [f"--port={ray_port}", f"--temp-dir={folder / 'ray'}", "--include-dashboard=false"]
    ray += ["--num-cpus=2", "--num-gpus=0", "--object-store-memory=150000000"]
    ray += ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"]
    prefect = [_BIN / "prefect", "server", "start", "--host", "127.0.0.1"]
    prefect += ["--port", str(prefect_port)]
    processes = []
    try:
        for name, arguments in (("ray", ray), ("prefect", prefect)):
            with (folder / f"{name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        arguments, env=variables, stdout=log, stderr=log, start_new_session=True
                    )
                )
        _until_it_answers(f"http://127.0.0.1:{prefect_port}/api/health", processes)
        _until_it_listens(ray_port, processes)
        yield House(
            variables=variables
            | {
                "PREFECT_API_URL": f"http://127.0.0.1:{prefect_port}/api",
                "RAY_ADDRESS": f"127.0.0.1:{ray_port}",
                "RAY_RUNTIME_ENV_HOOK": "tests.chaos.ray_hook.arm_workers",
                "PYTHONPATH": str(_ROOT),
            },
            ray=psutil.Process(processes[0].pid),
            folder=folder,
        )
    finally:
        for process in processes:
            _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and all that it started."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_it_answers(url: str, processes: list[subprocess.Popen[bytes]]) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            return False

    _until(answers, processes)


def _until_it_listens(port: int, processes: list[subprocess.Popen[bytes]]) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _until(listens, processes)


def _until(condition: Callable[[], bool], processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        assert all(process.poll() is None for process in processes), "a server ended at once"
        assert time.monotonic() < deadline, "a server did not start"
        time.sleep(0.3)
