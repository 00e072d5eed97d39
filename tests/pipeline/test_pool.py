# SPDX-License-Identifier: Apache-2.0
"""Pools on clusters that start nodes on demand."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.pool import PoolOptions, Resources, plan_pool

EMPTY = Resources(cpus=0, gpus=0, nodes=1, local=False)


def test_a_growing_cluster_is_asked_for_all_workers():
    plan = plan_pool(PoolOptions(workers=20, grows=True), EMPTY)
    assert (plan.workers, plan.cpus_per_worker, plan.gpus_per_worker) == (20, 2.0, 0.0)
    assert plan.grows


def test_its_gpus_need_not_be_there_yet():
    options = PoolOptions(workers=8, grows=True, device="cuda", gpus_per_worker=0.25)
    plan = plan_pool(options, EMPTY)
    assert (plan.workers, plan.gpus_per_worker) == (8, 0.25)


def test_it_must_be_said_how_many():
    with pytest.raises(UsageError, match="--workers"):
        PoolOptions(grows=True)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_shares_of_a_gpu_are_checked(share):
    options = PoolOptions(workers=1, grows=True, device="cuda", gpus_per_worker=share)
    with pytest.raises(UsageError, match="--gpus-per-worker"):
        plan_pool(options, EMPTY)


def test_a_cluster_that_does_not_grow_is_shared_as_it_is():
    plan = plan_pool(PoolOptions(workers=20), EMPTY)
    assert plan.workers == 20
    assert plan.workers * plan.cpus_per_worker <= 1
    assert not plan.grows
