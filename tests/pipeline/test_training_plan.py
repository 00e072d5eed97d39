# SPDX-License-Identifier: Apache-2.0
"""What a training takes of a cluster."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.pool import Resources
from pipeline.training_plan import plan_training


def resources(cpus: float, gpus: float = 0.0, nodes: int = 1) -> Resources:
    return Resources(cpus=cpus, gpus=gpus, nodes=nodes, local=True)


@pytest.mark.parametrize("cpus", [1, 2, 3, 16, 256])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_workers_and_two_sets_of_readers_leave_something_free(cpus, workers):
    if workers > cpus:
        with pytest.raises(UsageError):
            plan_training(resources(cpus), workers=workers, device="auto")
        return
    for gpus in (0, 8):
        plan = plan_training(resources(cpus, gpus), workers=workers, device="auto")
        readers = 2 * plan.readers_per_worker * plan.cpus_per_reader
        assert plan.workers * (plan.cpus_per_worker + readers) <= 0.8 * cpus
        assert plan.cpus_per_reader > 0
        assert plan.gpu == bool(gpus)


def test_one_worker_gets_all_threads():
    assert plan_training(resources(2), workers=1, device="auto").threads_per_worker == 2
    assert plan_training(resources(2), workers=2, device="auto").threads_per_worker == 1


def test_a_worker_fits_on_a_node():
    plan = plan_training(resources(24, nodes=3), workers=1, device="auto")
    assert plan.cpus_per_worker <= 8
    assert plan.threads_per_worker == 8


@pytest.mark.parametrize(("device", "gpus", "workers"), [("cuda", 0, 1), ("auto", 1, 2)])
def test_too_few_gpus_are_refused(device, gpus, workers):
    with pytest.raises(UsageError) as caught:
        plan_training(resources(8, gpus), workers=workers, device=device)
    assert caught.value.code == "option-invalid"
    assert not plan_training(resources(8, gpus), workers=workers, device="cpu").gpu
