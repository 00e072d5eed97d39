# SPDX-License-Identifier: Apache-2.0
"""The runbook's ten steps, as they stand, with a head and a worker node on this machine."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest
import yaml

from pipeline.ledger import read_manifests
from tests.cluster.nodes import NODE_PORTS, clean_environment, free_port
from tests.infra.runbook import blocks_of

pytestmark = [pytest.mark.ray, pytest.mark.prefect]

_WAIT_FOR_RAY = 'until grep -q "Ray runtime started" "$LOGS/ray-{}.log"; do sleep 1; done'


@pytest.fixture
def folder():
    place = Path(mkdtemp(prefix="bf"))
    yield place
    ended = []
    for file in place.glob("*.pid"):
        if psutil.pid_exists(pid := int(file.read_text())):
            process = psutil.Process(pid)
            ended += [process, *process.children(recursive=True)]
            process.send_signal(signal.SIGTERM)
    for process in psutil.wait_procs(ended, timeout=30)[1]:
        process.kill()


def ports(first: int) -> str:
    """Ports of a node that is not alone on its machine."""
    own = [f"{name}={free_port()}" for name in NODE_PORTS]
    workers = [f"MIN_WORKER_PORT={first}", f"MAX_WORKER_PORT={first + 199}"]
    return "export " + " ".join(own + workers)


def test_the_ten_steps(repository, archive, folder, write_table):
    source, truth = archive
    out = folder / "out"
    steps = [b.text for b in blocks_of(repository / "infra" / "README.md") if "cluster" in b.where]
    token, head, worker, *prefect = steps
    script = [
        "set -euo pipefail",
        token,
        ports(22_000),
        f"export CPUS=0 RAY_TEMP_DIR={folder}/ray",
        head,
        _WAIT_FOR_RAY.format("head"),
        ports(22_200),
        "export CPUS=2 GPUS=0; unset RAY_TEMP_DIR",
        worker,
        _WAIT_FOR_RAY.format("worker"),
        *prefect,
    ]
    variables = clean_environment(folder) | {
        "LOGS": str(folder),
        "HEAD_ADDRESS": "127.0.0.1",
        "NODE_ADDRESS": "127.0.0.1",
        "PORT": str(free_port()),
        "PREFECT_PORT": str(free_port()),
        "DASHBOARD": "false",
        "OBJECT_STORE_BYTES": str(100 * 2**20),
        "SPILL": str(folder / "spill"),
        "BRACKETFLOW_SOURCE": str(source),
        "BRACKETFLOW_DESTINATION": str(out),
    }
    done = subprocess.run(
        ["bash"],
        input="\n".join(script),
        text=True,
        capture_output=True,
        cwd=repository,
        env=variables,
        timeout=1500,
    )
    logs = "\n".join(log.read_text("utf-8", "replace")[-3000:] for log in folder.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    (manifest,) = read_manifests(str(out))
    assert manifest["counts"]["found"] == truth.found
    write_table("runbook", "The ten steps", [("counts", manifest["counts"])])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize(("overlay", "tag"), [("cpu", "cpu"), ("gpu", "cuda")])
def test_kustomize_makes_a_whole_rayjob(repository, overlay, tag):
    folder = repository / "infra" / "ray" / "kuberay" / "overlays" / overlay
    text = subprocess.check_output(["kubectl", "kustomize", folder], text=True)
    found = {document["kind"]: document for document in yaml.safe_load_all(text)}
    job = found["RayJob"]["spec"]
    assert job["rayClusterSpec"] == found["RayCluster"]["spec"]
    assert text.count("image: bracketflow:") == text.count(f"image: bracketflow:0.1.0-{tag}")
    groups = {group["groupName"] for group in job["rayClusterSpec"]["workerGroupSpecs"]}
    assert groups == ({"cpu", "gpu"} if overlay == "gpu" else {"cpu"})
