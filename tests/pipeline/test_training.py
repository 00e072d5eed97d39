# SPDX-License-Identifier: Apache-2.0
"""Training on a real local Ray: the same result whoever dies and however many work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline import streaming
from pipeline.batches import BatchSource, read_training_batch
from pipeline.cluster import connect
from pipeline.errors import UsageError
from pipeline.patches import open_patches
from pipeline.streaming import ReaderPlan, stream_batches
from pipeline.training import TrainOutcome, TrainRun, train
from pipeline.training_loop import Job
from tests.pipeline.tiny_training import (
    Bench,
    Faults,
    Heard,
    last_state,
    make_shards,
    same,
    tiny_objective,
    tiny_recipe,
)

CPUS = 2


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    folder = tmp_path_factory.mktemp("training")
    return Bench(make_shards(folder / "shards"), folder)


@pytest.fixture(scope="module")
def undisturbed(bench) -> Job:
    """A run without Ray and without trouble, with as many threads as a worker has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(CPUS)
    try:
        job = bench.job("undisturbed")
        assert bench.run(job).error is None
    finally:
        torch.set_num_threads(threads)
    return job


@pytest.fixture(scope="module")
def local_ray():
    with connect(cpus=CPUS):
        yield


def run(bench: Bench, out: str, faults: Faults | None = None, **training) -> TrainOutcome:
    asked = TrainRun(
        recipe=tiny_recipe(**training),
        shards=(bench.shards,),
        out=str(bench.folder / out),
        device="cpu",
        objective=tiny_objective(faults),
    )
    return train(asked, Heard())


def test_what_cannot_be_trained_is_refused_before_ray_starts(bench):
    with pytest.raises(UsageError, match="multiple") as caught:
        run(bench, "refused", workers=3)
    assert caught.value.code == "recipe-invalid"
    with pytest.raises(UsageError) as caught:
        run(bench, "refused", init="no-such-weights")
    assert caught.value.code == "weights-invalid"
    assert not (bench.folder / "refused").exists()


@pytest.mark.ray
def test_the_stream_is_what_is_read_directly(bench, local_ray, monkeypatch):
    monkeypatch.setattr(streaming, "_SEGMENT", 3)
    monkeypatch.setattr(streaming, "_OVERLAP", 2)
    recipe = tiny_recipe()
    source = BatchSource(
        refs=open_patches(bench.shards, "train"),
        frames=(2, 3),
        batch=4,
        seed=5,
        settings=recipe.augment,
    )
    stream = stream_batches(source, 2, 9, rank=1, size=2, plan=ReaderPlan(readers=2))
    found = [batch["frames"] for batch in stream]
    expected = [read_training_batch(source, p.part(1, 2))["frames"] for p in source.plans(2, 9)]
    assert len(found) == len(expected) == 7
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, torch.from_numpy(other))


@pytest.mark.ray
def test_a_damaged_patch_is_told_by_its_code(tmp_path, local_ray):
    shards = make_shards(tmp_path, train=1)
    source = BatchSource(
        refs=open_patches(shards, "train"),
        frames=(2, 2),
        batch=3,
        seed=0,
        settings=tiny_recipe().augment,
    )
    (file,) = tmp_path.glob("patches/split=train/*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[:100] + bytes(400) + data[500:])
    with pytest.raises(UsageError, match="parquet") as caught:
        list(stream_batches(source, 0, 2, rank=0, size=1, plan=ReaderPlan()))
    assert caught.value.code == "shards-invalid"


@pytest.mark.ray
def test_a_killed_worker_changes_nothing(bench, undisturbed, local_ray):
    outcome = run(bench, "worker", Faults(kill=7, once=str(bench.folder / "worker-killed")))
    assert (bench.folder / "worker-killed").exists()
    assert (outcome.step, outcome.resumed_from) == (12, 5)
    job = bench.job("worker")
    assert same(last_state(job), last_state(undisturbed))
    assert not (Path(job.out) / "ray").exists()


@pytest.mark.ray
def test_two_workers_learn_what_one_learns(bench, undisturbed, local_ray):
    outcome = run(bench, "two", workers=2)
    assert outcome.workers == 2
    one, two = last_state(undisturbed), last_state(bench.job("two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4


@pytest.mark.ray
def test_a_loss_that_is_no_number_is_told_by_its_code(bench, local_ray):
    with pytest.raises(UsageError) as caught:
        run(bench, "nan", Faults(nan=3), workers=2)
    assert caught.value.code == "loss-not-finite"
    assert (bench.folder / "nan" / "bad-batch.json").exists()
    assert bench.job("nan").store.steps() == [0]


DRIVER = """
import os, sys
from tests.pipeline.tiny_training import Faults, Heard, tiny_objective, tiny_recipe
from pipeline.cluster import connect
from pipeline.training import TrainRun, train

shards, out, once = sys.argv[1:]
faults = Faults(kill=7, pid=os.getpid(), once=once)
run = TrainRun(recipe=tiny_recipe(), shards=(shards,), out=out, device="cpu",
               objective=tiny_objective(faults))
with connect(cpus=2):
    train(run, Heard())
"""


@pytest.mark.ray
def test_a_killed_driver_changes_nothing(bench, undisturbed, local_ray, repository):
    out, once = bench.folder / "driver", bench.folder / "driver-killed"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, bench.shards, str(out), str(once)],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        timeout=180,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    outcome = run(bench, "driver")
    assert (outcome.step, outcome.resumed_from) == (12, 5)
    assert same(last_state(bench.job("driver")), last_state(undisturbed))
