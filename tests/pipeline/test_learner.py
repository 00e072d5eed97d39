# SPDX-License-Identifier: Apache-2.0
"""Single updates, above all when memory runs out on one of two workers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model.objectives import Step
from pipeline.errors import UsageError
from pipeline.gpu_memory import StrandedError
from pipeline.learner import Learner
from pipeline.training_team import Team
from tests.pipeline.tiny_training import ALONE, TinyObjective, tiny_objective, tiny_recipe

CPU = torch.device("cpu")
WAIT_S = 20


class Threads(Team):
    """Two workers in threads; who waits for the other in vain gets a BrokenBarrierError."""

    def __init__(self, rank: int, meeting: threading.Barrier, table: dict) -> None:
        super().__init__(rank, 2, CPU)
        object.__setattr__(self, "_meeting", meeting)
        object.__setattr__(self, "_table", table)

    def gather(self, value):
        self._table[self.rank] = value
        self._meeting.wait(WAIT_S)
        found = [self._table[rank] for rank in range(self.size)]
        self._meeting.wait(WAIT_S)
        return found

    def mean(self, values):
        return [sum(same) / self.size for same in zip(*self.gather(values), strict=True)]


class _Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise torch.OutOfMemoryError("gradients")


class Hungry(TinyObjective):
    """Needs more memory than there is."""

    def __init__(self, where: str) -> None:
        super().__init__(tiny_objective()()._faults)
        self._where = where

    def step(self, batch):
        if self._where == "forward":
            raise torch.OutOfMemoryError("activations")
        found = super().step(batch)
        return Step(_Failing.apply(found.loss), found.parts)


class TooLarge(torch.Tensor):
    """A batch that the device has no room for."""

    def to(self, *_, **__):
        raise torch.OutOfMemoryError("batch")


def batch() -> dict[str, torch.Tensor]:
    return {"frames": torch.rand(2, 2, 3, 12, 12)}


def update(where: str, team: Team) -> BaseException | None:
    objective = tiny_objective() if where in ("", "read") else lambda: Hungry(where)
    learner = Learner(objective, tiny_recipe().training, team)
    given = batch()
    if where == "read":
        given = {name: value.as_subclass(TooLarge) for name, value in given.items()}
    before = {name: value.clone() for name, value in learner.state()["network"].items()}
    try:
        learner.update(0, lambda: given)
    except Exception as error:
        now = learner.state()["network"]
        assert all(torch.equal(now[name], before[name]) for name in before)
        return error
    return None


def test_an_update_changes_the_weights():
    assert update("", ALONE) is None


@pytest.mark.parametrize("where", ["read", "forward", "backward"])
def test_one_worker_alone_tells_that_the_batch_is_too_large(where):
    error = update(where, ALONE)
    assert isinstance(error, UsageError)
    assert error.code == "recipe-invalid"
    assert "training.batch" in error.message


@pytest.mark.parametrize("hungry", [0, 1])
@pytest.mark.parametrize("where", ["read", "forward"])
def test_all_workers_learn_that_one_has_no_memory(where, hungry):
    meeting, table = threading.Barrier(2), {}
    teams = [Threads(rank, meeting, table) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(update, where if t.rank == hungry else "", t) for t in teams]
        errors = [job.result() for job in jobs]
    assert [error.code for error in errors] == ["recipe-invalid"] * 2


def test_without_memory_for_gradients_a_worker_dies_and_does_not_pretend_to_be_done():
    meeting, table = threading.Barrier(2), {}
    teams = [Threads(rank, meeting, table) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(update, "backward", team) for team in teams]
        errors = [job.result() for job in jobs]
    # Not one of ours, which the loop would hand back as the end of the training.
    assert [type(error) for error in errors] == [StrandedError] * 2
