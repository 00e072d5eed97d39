# SPDX-License-Identifier: Apache-2.0
"""The fleet when brackets get stuck or take all memory, and when Ray has no room."""

from __future__ import annotations

import time

import pytest
import ray

from pipeline.cluster import connect
from pipeline.errors import InfrastructureError, UsageError
from pipeline.fleet import Fleet
from pipeline.ledger import read_report
from pipeline.pool import PoolOptions, plan_pool
from tests.pipeline.toy_fleet import ToyJob, ToyRecipe

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def resources():
    with connect(cpus=3, gpus=0) as found:
        yield found


def codes_of(rows) -> dict[str, str | None]:
    return {row["bracket_id"]: row["error_code"] for row in rows}


def test_a_stuck_bracket_gets_a_second_chance_and_then_a_row(resources, tmp_path):
    plan = plan_pool(PoolOptions(workers=1, bracket_timeout_s=2.0), resources)
    jobs = [ToyJob("a"), ToyJob("b", "stuck once"), ToyJob("c", "stuck"), ToyJob("d")]
    with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
        codes = codes_of(fleet.run(jobs))
    assert codes == {"a": None, "b": None, "c": "bracket-timeout", "d": None}
    assert codes == codes_of(read_report(str(tmp_path)).to_pylist())


def test_a_bracket_that_takes_all_memory_costs_one_row(resources, tmp_path):
    plan = plan_pool(PoolOptions(workers=1, memory_bytes=1200 * 2**20), resources)
    jobs = [ToyJob("a"), ToyJob("b", "glutton"), ToyJob("c"), ToyJob("d")]
    with Fleet(ToyRecipe(str(tmp_path)), plan) as fleet:
        codes = codes_of(fleet.run(jobs))
    assert codes == {"a": None, "b": "out-of-memory", "c": None, "d": None}
    assert codes == codes_of(read_report(str(tmp_path)).to_pylist())


def test_a_limit_that_no_worker_can_keep_is_refused(resources, tmp_path):
    plan = plan_pool(PoolOptions(workers=1, memory_bytes=2**20), resources)
    with pytest.raises(UsageError, match="before its first photograph"):
        Fleet(ToyRecipe(str(tmp_path)), plan).__enter__()


def test_storage_that_stays_away_fails_the_run_under_its_own_name(resources, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.fleet_queue._FIRST_DELAY_S", 0.01)
    plan = plan_pool(PoolOptions(workers=1), resources)
    with (
        pytest.raises(InfrastructureError) as caught,
        Fleet(ToyRecipe(str(tmp_path)), plan) as fleet,
    ):
        list(fleet.run([ToyJob("a"), ToyJob("b", "storage")]))
    assert caught.value.code == "storage-failed"
    assert read_report(str(tmp_path))["bracket_id"].to_pylist() == ["a"]


def test_a_cluster_without_room_is_said_and_not_waited_for_for_ever(resources, tmp_path):
    @ray.remote(num_cpus=3)
    class Squatter:
        def ready(self) -> bool:
            return True

    squatter = Squatter.remote()
    assert ray.get(squatter.ready.remote())
    plan = plan_pool(PoolOptions(workers=2), resources)
    began = time.monotonic()
    with pytest.raises(InfrastructureError, match="0 of 3 CPU free") as caught:
        Fleet(ToyRecipe(str(tmp_path)), plan, start_s=3).__enter__()
    assert caught.value.code == "no-progress"
    assert time.monotonic() - began < 60
    ray.kill(squatter)
