# SPDX-License-Identifier: Apache-2.0
"""The fleet, with visitors that do next to nothing, on a real local Ray."""

from __future__ import annotations

import time

import psutil
import pytest

from pipeline.cluster import connect, own_interrupts
from pipeline.errors import InfrastructureError, UsageError
from pipeline.fleet import Fleet
from pipeline.ledger import read_report
from pipeline.pool import PoolOptions, Resources, plan_pool
from tests.pipeline.toy_fleet import ToyJob, ToyRecipe


def resources(cpus: float, gpus: float = 0.0) -> Resources:
    return Resources(cpus=cpus, gpus=gpus, nodes=1, local=True)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 64])
def test_a_pool_never_claims_every_cpu(cpus):
    plan = plan_pool(PoolOptions(), resources(cpus))
    assert plan.workers >= 1
    assert plan.workers * plan.cpus_per_worker < cpus
    more = plan_pool(PoolOptions(workers=4), resources(cpus))
    assert more.workers == 4
    assert more.workers * more.cpus_per_worker < cpus


def test_gpus_are_shared_as_asked():
    plan = plan_pool(PoolOptions(gpus_per_worker=0.25), resources(16, 2))
    assert (plan.workers, plan.gpus_per_worker) == (8, 0.25)
    assert plan_pool(PoolOptions(), resources(16, 2)).workers == 2
    assert plan_pool(PoolOptions(device="cpu"), resources(16, 2)).gpus_per_worker == 0


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        (PoolOptions(device="cuda"), 0),
        (PoolOptions(gpus_per_worker=0.0), 1),
        (PoolOptions(gpus_per_worker=2.0), 1),
        (PoolOptions(gpus_per_worker=1.5), 4),
        (PoolOptions(workers=3), 2),
    ],
)
def test_what_cannot_fit_is_refused_before_anything_starts(options, gpus):
    with pytest.raises(UsageError) as caught:
        plan_pool(options, resources(8, gpus))
    assert caught.value.code == "option-invalid"


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": -1}, {"threads_per_worker": 0}])
def test_a_pool_of_nothing_is_refused(wrong):
    with pytest.raises(UsageError, match="at least 1"):
        PoolOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"bracket_timeout_s": 0.0}, {"memory_bytes": -1}])
def test_a_limit_of_nothing_is_refused(wrong):
    with pytest.raises(UsageError, match="more than nothing"):
        PoolOptions(**wrong)


class Terminated(BaseException):
    """What a signal handler may raise."""


@pytest.mark.parametrize(
    ("hidden", "seen"), [(Terminated(), Terminated), (ValueError(), SystemError)]
)
def test_an_interrupt_that_ray_hides_is_brought_to_light(hidden, seen):
    with pytest.raises(seen), own_interrupts():
        raise SystemError("returned a result with an exception set") from hidden


@pytest.fixture(scope="module")
def ray_with_a_logical_gpu():
    with connect(cpus=3, gpus=1) as found:
        yield found


@pytest.mark.ray
def test_every_job_gets_its_row_in_report_and_hand(ray_with_a_logical_gpu, tmp_path):
    plan = plan_pool(
        PoolOptions(workers=2, gpus_per_worker=0.5, threads_per_worker=1), ray_with_a_logical_gpu
    )
    with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
        rows = list(fleet.run(ToyJob(f"job{i}") for i in range(20)))
        again = list(fleet.run([ToyJob("late")]))
    names = {row["bracket_id"] for row in [*rows, *again]}
    assert names == {f"job{i}" for i in range(20)} | {"late"}
    report = read_report(str(tmp_path))
    assert set(report["bracket_id"].to_pylist()) == names
    assert set(report["worker"].to_pylist()) == {"worker000", "worker001"}
    facts = [dict(entry) for entry in report["versions"].to_pylist()]
    assert {entry["threads"] for entry in facts} == {"1"}
    assert {entry["gpu"] for entry in facts} == {"0"}  # both share the one logical GPU


@pytest.mark.ray
def test_a_job_that_kills_its_workers_costs_one_row(ray_with_a_logical_gpu, tmp_path):
    plan = plan_pool(PoolOptions(workers=1, device="cpu"), ray_with_a_logical_gpu)
    jobs = [ToyJob("a"), ToyJob("bad", "die"), ToyJob("b"), ToyJob("c")]
    with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
        rows = {row["bracket_id"]: row for row in fleet.run(jobs)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "fused",
        "b": "fused",
        "c": "fused",
        "bad": "quarantined",
    }
    assert rows["bad"]["error_code"] == "worker-died"
    # What the dead worker had finished, but not written, is in the report all the same.
    assert read_report(str(tmp_path))["bracket_id"].to_pylist() == ["a", "b", "bad", "c"]


@pytest.mark.ray
def test_only_the_guilty_are_convicted(ray_with_a_logical_gpu, tmp_path):
    plan = plan_pool(PoolOptions(workers=2, device="cpu"), ray_with_a_logical_gpu)
    jobs = [ToyJob(f"job{i}", "die" if i % 4 == 1 else "row") for i in range(10)]
    with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
        rows = list(fleet.run(jobs))
    assert len(rows) == len(jobs)
    convicted = {row["bracket_id"] for row in rows if row["status"] == "quarantined"}
    assert convicted == {job.name for job in jobs if job.deed == "die"}


@pytest.mark.ray
def test_a_worker_that_dies_idle_loses_no_row(ray_with_a_logical_gpu, tmp_path):
    plan = plan_pool(PoolOptions(workers=1, device="cpu"), ray_with_a_logical_gpu)
    with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
        rows = list(fleet.run([ToyJob("a"), ToyJob("b", "die later")]))
        psutil.Process(int(rows[0]["versions"]["pid"])).wait(30)
    assert len(rows) == 2
    assert read_report(str(tmp_path))["bracket_id"].to_pylist() == ["a", "b"]


@pytest.mark.ray
def test_trouble_at_the_start_of_a_worker_keeps_its_code(ray_with_a_logical_gpu, tmp_path):
    recipe = ToyRecipe(str(tmp_path), trouble="weights-invalid")
    two = plan_pool(PoolOptions(workers=2, device="cpu"), ray_with_a_logical_gpu)
    with pytest.raises(UsageError) as caught, Fleet(recipe, two):
        pass
    assert caught.value.code == "weights-invalid"
    # The replacement of a dead worker cannot start: the photographs are not to blame.
    one = plan_pool(PoolOptions(workers=1, device="cpu"), ray_with_a_logical_gpu)
    with pytest.raises(UsageError), Fleet(recipe, one) as fleet:
        list(fleet.run([ToyJob("a"), ToyJob("b", "die"), ToyJob("c")]))
    # Whether the answer for "a" was on its way before the worker died is a matter of luck.
    assert set(read_report(str(tmp_path))["bracket_id"].to_pylist()) <= {"a"}


@pytest.mark.ray
def test_trouble_of_the_storage_stops_the_run_under_its_own_name(ray_with_a_logical_gpu, tmp_path):
    plan = plan_pool(PoolOptions(workers=1, device="cpu"), ray_with_a_logical_gpu)
    with (
        pytest.raises(InfrastructureError) as caught,
        Fleet(ToyRecipe(str(tmp_path)), plan) as fleet,
    ):
        list(fleet.run([ToyJob("a"), ToyJob("b", "disk"), ToyJob("c")]))
    assert caught.value.code == "disk-full"
    assert "a" in read_report(str(tmp_path))["bracket_id"].to_pylist()


@pytest.mark.ray
def test_flaky_storage_is_tried_again_and_an_interrupt_finishes_what_is_at_hand(
    ray_with_a_logical_gpu, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipeline.fleet_queue._FIRST_DELAY_S", 0.01)
    plan = plan_pool(PoolOptions(workers=1, device="cpu"), ray_with_a_logical_gpu)
    names = ("flaky", "fine", "first", "at hand", "queued", "never")
    flaky, fine, *others = (ToyJob(name, name) for name in names)
    rows = []

    def interrupted() -> None:
        with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
            rows.extend(fleet.run([flaky, fine]))
            next(fleet.run(others))
            while not (tmp_path / "seen at hand").exists():  # until it has begun
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(row["bracket_id"], row["status"]) for row in rows] == [
        ("fine", "fused"),
        ("flaky", "fused"),
    ]
    report = read_report(str(tmp_path))["bracket_id"].to_pylist()
    assert report == sorted(["flaky", "fine", "first", "at hand"])
