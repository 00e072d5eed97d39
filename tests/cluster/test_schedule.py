# SPDX-License-Identifier: Apache-2.0
"""A real Prefect server, work pool and worker: schedules, triggers, cancelling, kills."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta

import psutil
import pytest
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.states import Cancelling
from prefect.types.entrypoint import EntrypointType

from flows.ends import QUARANTINE
from flows.scheduled import fuse_nightly
from pipeline.demo.archive import ArchivePlan, make_archive
from pipeline.ledger import read_manifests, read_report
from tests.cluster.prefect_house import end, open_prefect

pytestmark = [pytest.mark.ray, pytest.mark.prefect]

SETTINGS = {"model": "mertens", "align": "off", "format": "png"}


@pytest.fixture
def house(tmp_path_factory):
    with open_prefect(tmp_path_factory.mktemp("house")) as (found, client):
        yield found, client


def deploy(source, destination, **more):
    """The nightly deployment, as prefect.yaml has it but for its parameters and its schedule."""
    deployment = fuse_nightly.to_deployment(
        "nightly",
        work_pool_name="bracketflow",
        entrypoint_type=EntrypointType.MODULE_PATH,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, grace_period_seconds=600),
        parameters={
            "source": str(source),
            "destination": str(destination),
            "settings": SETTINGS,
            "options": {"settle_s": 0},
            "pool": {"workers": 1},
        },
        **more,
    )
    return deployment.apply()


def test_a_schedule_works_on_what_is_new(house, archive, tmp_path, write_table):
    prefect, client = house
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(archive[0], source)
    deployment = deploy(source, out, interval=timedelta(seconds=45))
    prefect.start_worker()
    prefect.until(lambda: len(read_manifests(str(out))) >= 1)
    make_archive(source / "new", brackets=3, plan=ArchivePlan(seed=9, size=(64, 96)))
    before = len(read_manifests(str(out)))
    prefect.until(lambda: len(read_manifests(str(out))) >= before + 2)
    client.set_deployment_paused_state(deployment, paused=True)
    manifests = read_manifests(str(out))
    fused = [manifest["counts"]["fused"] for manifest in manifests]
    assert fused[0] == archive[1].good
    assert sum(fused[1:]) == 3
    states = {run.state_name for run in runs_of(client) if run.state.is_final()}
    assert states == {QUARANTINE}, "one bracket of the archive is broken"
    write_table("schedule", "A schedule of 45 s, brackets added", [("fused in each run", fused)])


def test_of_two_triggers_one_writes_and_cancelling_ends_the_actors(
    house, tmp_path, brackets, write_table
):
    prefect, client = house
    source, out = tmp_path / "in", tmp_path / "out"
    plan = ArchivePlan(seed=5, size=(768, 1024), broken_index=None)
    make_archive(source / "0", brackets=6, plan=plan)
    for copy in range(1, max(brackets // 6, 4)):
        shutil.copytree(source / "0", source / str(copy))
    deploy(source, out)
    prefect.start_worker()
    first, second = (run_deployment("nightly/nightly", timeout=0) for _ in range(2))
    prefect.until(lambda: list(out.glob("results/**/*.png")))
    states = {client.read_flow_run(run.id).state_name for run in (first, second)}
    assert states == {"Running", "AwaitingConcurrencySlot"}
    running, waiting = (
        (first, second)
        if client.read_flow_run(first.id).state_name == "Running"
        else (second, first)
    )
    client.set_flow_run_state(waiting.id, Cancelling(), force=True)
    actors = [one for one in family(prefect.worker) if "FleetWorker" in title(one)]
    assert actors
    client.set_flow_run_state(running.id, Cancelling())
    began = time.monotonic()
    prefect.until(lambda: not any(one.is_running() for one in actors), 60)
    gone_s = time.monotonic() - began
    prefect.until(lambda: client.read_flow_run(running.id).state_name == "Cancelled", 90)
    assert gone_s < 30
    rows = read_report(str(out)).to_pylist()
    done = {row["result_path"] for row in rows if row["status"] == "fused"}
    assert done == {path.relative_to(out).as_posix() for path in out.glob("results/**/*.png")}
    assert not read_manifests(str(out)), "the run was over before it was cancelled"
    again = run_deployment("nightly/nightly", timeout=900)
    assert again.state_name == "Completed"
    (manifest,) = read_manifests(str(out))
    assert manifest["counts"]["reused"] == len(done)
    write_table(
        "cancelling",
        "Two triggers, the one that ran cancelled, run again",
        [
            ("seconds from the word to the last actor's end", f"{gone_s:.1f}"),
            ("fused before", len(done)),
            ("counts of the next run", manifest["counts"]),
        ],
    )


def test_what_is_killed_is_made_up_for(house, archive, tmp_path, write_table):
    """The server restarted in the middle, then the worker and its run killed."""
    prefect, client = house
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(archive[0], source)
    deploy(source, out)
    prefect.start_worker()
    first = run_deployment("nightly/nightly", timeout=0)
    prefect.until(lambda: list(out.glob("results/**/*.png")))
    end(prefect.server)
    prefect.server = prefect.start_server()
    for one in [*family(prefect.worker), prefect.worker]:
        if one.is_running():
            one.kill()
    done = len(list(out.glob("results/**/*.png")))
    prefect.start_worker()
    client.set_flow_run_state(first.id, Cancelling(), force=True)  # as the automation does
    again = run_deployment("nightly/nightly", timeout=900)
    assert again.state_name == QUARANTINE
    counts = read_manifests(str(out))[-1]["counts"]
    assert counts["found"] == archive[1].found
    assert counts["fused"] + counts["reused"] == archive[1].good
    write_table(
        "killed",
        "Server restarted, worker and run killed, run again",
        [("results before", done), ("counts after", counts)],
    )


def runs_of(client):
    runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_ASC, limit=200)
    return [run for run in runs if run.deployment_id is not None]


def family(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
