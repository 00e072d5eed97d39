# SPDX-License-Identifier: Apache-2.0
"""A worker writes old rows down by itself; called as Ray would call it, without Ray."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from pipeline import fleet_worker
from pipeline.errors import InfrastructureError
from pipeline.fleet_worker import FleetWorker
from pipeline.ledger import Ledger, read_report
from tests.pipeline.toy_fleet import ToyJob, ToyRecipe


@pytest.fixture
def make_worker(monkeypatch, tmp_path):
    """A function that starts a worker for which rows grow old in no time."""
    node = SimpleNamespace(get_node_id=lambda: "here")
    monkeypatch.setattr(fleet_worker.ray, "get_runtime_context", lambda: node)
    monkeypatch.setattr(fleet_worker, "_LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(fleet_worker, "_MAX_AGE_S", 0.01)

    def make(**more):
        threads = torch.get_num_threads()  # the setting is the process's own
        worker = FleetWorker(ToyRecipe(str(tmp_path)), "cpu", threads, "w", **more)
        assert worker.ready().node == "here"
        return worker

    return make


def written(folder) -> list[str]:
    return read_report(str(folder), missing_ok=True)["bracket_id"].to_pylist()


def test_a_finished_row_is_written_while_the_worker_is_idle(make_worker, tmp_path):
    worker = make_worker()
    visited = worker.visit(ToyJob("a"))
    assert (visited.number, visited.worn) == (1, False)
    deadline = time.monotonic() + 10
    while written(tmp_path) != ["a"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert worker.visit(ToyJob("b")).committed == 1


def test_not_while_a_result_has_no_row_yet(make_worker, tmp_path):
    worker = make_worker()
    worker.visit(ToyJob("a"))
    worker._intend("results/b.png", "0" * 64)
    before = written(tmp_path)
    time.sleep(0.1)
    assert written(tmp_path) == before
    worker.visit(ToyJob("b"))
    worker.flush()
    assert written(tmp_path) == ["a", "b"]


def test_storage_that_fails_now_and_then_costs_no_row(make_worker, tmp_path, monkeypatch):
    worker = make_worker()
    flush, fails = Ledger.flush, iter([True, True])

    def flaky(self):
        if next(fails, False):
            raise InfrastructureError("storage-failed", "no answer")
        flush(self)

    monkeypatch.setattr(Ledger, "flush", flaky)
    visits = [worker.visit(ToyJob(name)) for name in "abc"]
    assert [visited.number for visited in visits] == [1, 2, 3]
    time.sleep(0.2)
    worker.flush()
    assert written(tmp_path) == ["a", "b", "c"]


def test_a_bracket_past_the_memory_limit_wears_the_worker_out(make_worker, tmp_path):
    worker = make_worker(memory_bytes=fleet_worker.resident_bytes() + 60 * 2**20)
    visited = worker.visit(ToyJob("a", "glutton"))
    assert visited.row["error_code"] == "out-of-memory"
    assert visited.worn
    # What is sent before the driver knows is not touched.
    assert worker.visit(ToyJob("b")).row is None
