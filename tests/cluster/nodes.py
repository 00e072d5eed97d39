# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of several nodes on this machine, started with the scripts of infra/ray.

Each node is a tree of processes of its own, so that one can be killed like a machine that loses
its power.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psutil

__all__ = ["NODE_PORTS", "Node", "Nodes", "clean_environment", "free_port", "open_nodes"]

_BIN = Path(sys.executable).parent
_ROOT = Path(__file__).resolve().parents[2]
_START_S = 240
NODE_PORTS = (
    "NODE_MANAGER_PORT",
    "OBJECT_MANAGER_PORT",
    "RUNTIME_ENV_AGENT_PORT",
    "AGENT_GRPC_PORT",
    "AGENT_PORT",
    "METRICS_PORT",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(folder: Path) -> dict[str, str]:
    """This process's variables without Ray's and Prefect's, with our commands on the path."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_"))}
    return clean | {
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


class Node:
    """One node; ``metrics_port`` is where its agent offers metrics."""

    def __init__(self, script: str, variables: dict[str, str], log: Path) -> None:
        ports = {name: str(free_port()) for name in NODE_PORTS}
        self.metrics_port = int(ports["METRICS_PORT"])
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [_ROOT / "infra" / "ray" / script],
                env=variables | ports,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._log = log

    def said(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def wait(self) -> None:
        """Until Ray says that it runs."""
        until = time.monotonic() + _START_S
        while "Ray runtime started" not in self.said():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.5)

    def kill(self) -> int:
        """All at once, as when the power goes; how many processes died."""
        return self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Politely."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        try:
            whole = psutil.Process(self._process.pid)
            family = [*whole.children(recursive=True), whole]
        except psutil.NoSuchProcess:
            return 0
        if number == signal.SIGTERM:
            whole.terminate()
            psutil.wait_procs([whole], timeout=20)
        alive = [process for process in family if process.is_running()]
        for process in alive:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait(30)
        return len(alive)


class Nodes:
    """The cluster; ``variables`` are what a command needs to use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._port = free_port()
        self.variables = clean_environment(folder) | {
            "RAY_ADDRESS": f"127.0.0.1:{self._port}",
            "RAY_AUTH_MODE": "token",
            "HEAD_ADDRESS": "127.0.0.1",
            "NODE_ADDRESS": "127.0.0.1",
            "PORT": str(self._port),
            "SPILL": str(folder / "spill"),
            "OBJECT_STORE_BYTES": str(100 * 2**20),
            "DASHBOARD": "false",
        }
        token = folder / ".ray" / "auth_token"
        token.parent.mkdir(parents=True)
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.nodes: list[Node] = []
        self._start("head.sh", {"RAY_TEMP_DIR": str(folder / "ray"), "CPUS": "0"})

    def add(self, cpus: int = 1) -> Node:
        """One more worker node."""
        return self._start("worker.sh", {"CPUS": str(cpus), "GPUS": "0"})

    def _start(self, script: str, more: dict[str, str]) -> Node:
        first = 20_000 + 200 * self._count
        ports = {"MIN_WORKER_PORT": str(first), "MAX_WORKER_PORT": str(first + 199)}
        # The scripts of a worker must not inherit the address: they are given it.
        variables = {k: v for k, v in self.variables.items() if k != "RAY_ADDRESS"}
        node = Node(script, variables | ports | more, self.folder / f"{self._count}-{script}.log")
        self._count += 1
        self.nodes.append(node)
        node.wait()
        return node

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command on this cluster."""
        done = subprocess.run(
            [_BIN / command[0], *command[1:]],
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command on this cluster that goes on."""
        with (self.folder / "command.log").open("wb") as log:
            return subprocess.Popen(
                [_BIN / command[0], *command[1:]],
                env=self.variables,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )


@contextmanager
def open_nodes() -> Iterator[Nodes]:
    """A head; its folder has a short name, for Ray's sockets' sake."""
    nodes = Nodes(Path(mkdtemp(prefix="bf")))
    try:
        yield nodes
    finally:
        for node in reversed(nodes.nodes):
            node.stop()
        shutil.rmtree(nodes.folder, ignore_errors=True)
