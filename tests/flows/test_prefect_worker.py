# SPDX-License-Identifier: Apache-2.0
"""A deployment, run by a real Prefect worker among modules of our packages' names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pipeline.ledger import read_manifests

DEPLOY = """
from prefect.flows import EntrypointType
from flows.fuse import fuse_archive

deployment = fuse_archive.to_deployment(
    "nightly",
    work_pool_name="local",
    entrypoint_type=EntrypointType.MODULE_PATH,
    parameters={
        "source": %r,
        "destination": %r,
        "settings": {"model": "mertens", "align": "off"},
    },
)
deployment.apply()
"""


@pytest.fixture
def place(tmp_path):
    """A folder with a model.py, flows/ and pipeline/ of somebody else."""
    folder = tmp_path / "place"
    for name in ("flows", "pipeline"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    (folder / "model.py").write_text("raise RuntimeError('not ours')\n")
    return folder


@pytest.fixture
def environment(tmp_path):
    """The variables of a shell that talks to a Prefect server of its own, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path / "home"
    home.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    variables = clean | {
        "HOME": str(home),
        "PREFECT_HOME": str(home / ".prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    prefect = Path(sys.executable).with_name("prefect")
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(
        [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=variables,
        stdout=log,
        stderr=log,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                assert time.monotonic() < deadline, "the Prefect server did not start"
                time.sleep(0.5)
        yield variables
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.mark.ray
@pytest.mark.prefect
def test_a_deployment_fuses_wherever_its_worker_was_started(archive, place, environment, tmp_path):
    destination = tmp_path / "out"

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr

    prefect = Path(sys.executable).with_name("prefect")
    script = tmp_path / "deploy.py"
    script.write_text(DEPLOY % (str(archive[0]), str(destination)))
    run(prefect, "work-pool", "create", "local", "--type", "process")
    run(sys.executable, script)
    run(prefect, "deployment", "run", "fuse/nightly")
    run(prefect, "worker", "start", "--pool", "local", "--run-once", "--limit", "1")
    (manifest,) = read_manifests(str(destination))
    counts = manifest["counts"]
    assert counts["fused"] == sum(not bracket.broken for bracket in archive[1].brackets)
    assert counts["found"] == len(archive[1].brackets) + len(archive[1].singles)
