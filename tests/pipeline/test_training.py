# SPDX-License-Identifier: Apache-2.0
"""Training on a real local Ray: the same result whoever dies and however many work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ray.train import WorkerGroupError

from pipeline import streaming, training, training_workers
from pipeline.batches import BatchSource, read_training_batch
from pipeline.cluster import connect
from pipeline.errors import UsageError
from pipeline.patches import open_patches
from pipeline.streaming import ReaderPlan, stream_batches
from pipeline.training import TrainOutcome, TrainRun, train
from pipeline.training_job import Job
from pipeline.training_manifest import finished_training, write_training_manifest
from pipeline.weights import initial_sha256
from tests.pipeline.tiny_training import (
    PATCH_PX,
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


@pytest.fixture
def no_ray(monkeypatch):
    def never(**_):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("pipeline.training.connect", never)


def asked_for(bench: Bench, out: str, faults: Faults | None = None, **settings) -> TrainRun:
    return TrainRun(
        recipe=tiny_recipe(**settings),
        shards=(bench.shards,),
        out=out if "://" in out else str(bench.folder / out),
        device="cpu",
        objective=tiny_objective(faults),
    )


def run(bench: Bench, out: str, faults: Faults | None = None, **settings) -> TrainOutcome:
    return train(asked_for(bench, out, faults, **settings), Heard())


def test_what_cannot_be_trained_is_refused_before_ray_starts(bench):
    with pytest.raises(ValueError, match="multiple"):
        run(bench, "refused", workers=3)
    with pytest.raises(UsageError) as caught:
        run(bench, "refused", init="no-such-weights")
    assert caught.value.code == "weights-invalid"
    with pytest.raises(UsageError) as caught:
        run(bench, "s3://bucket/refused")
    assert caught.value.code == "destination-invalid"
    assert not (bench.folder / "refused").exists()


def test_nobody_elses_files_are_written_over(bench, no_ray):
    file = bench.folder / "theirs" / "card.json"
    file.parent.mkdir()
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"card\.json") as caught:
        run(bench, "theirs")
    assert caught.value.code == "destination-invalid"
    assert [path.name for path in file.parent.iterdir()] == ["card.json"]


def test_patches_that_are_too_small_for_the_scores_are_refused(bench, no_ray):
    def made():
        objective = tiny_objective()()
        objective.least_px = PATCH_PX + 1
        return objective

    asked = replace(asked_for(bench, "small"), objective=made)
    with pytest.raises(UsageError, match="13 px") as caught:
        train(asked, Heard())
    assert caught.value.code == "recipe-invalid"


def test_other_patches_or_weights_to_begin_with_are_another_training(tmp_path, no_ray):
    bench = Bench(make_shards(tmp_path / "shards"), tmp_path)
    first = bench.job("first")
    bench.run(first, until=1)
    init = tmp_path / "init.safetensors"
    init.write_bytes((tmp_path / "first" / "weights.safetensors").read_bytes())
    asked = asked_for(bench, "out", init=str(init))
    bench.run(training._job(asked), until=1)

    file = next((tmp_path / "shards").glob("patches/split=train/*.parquet"))
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(UsageError, match="contents") as caught:
        train(asked, Heard())
    assert caught.value.code == "checkpoint-invalid"

    file.write_bytes(whole)
    bench.run(bench.job("second", seed=3), until=1)
    init.write_bytes((tmp_path / "second" / "weights.safetensors").read_bytes())
    with pytest.raises(UsageError, match="init: ") as caught:
        train(asked, Heard())
    assert caught.value.code == "checkpoint-invalid"


def test_a_finished_training_is_one_of_the_same_recipe_patches_and_weights(bench, tmp_path):
    asked = replace(asked_for(bench, "finished"), out=str(tmp_path))
    init = tmp_path / "init.safetensors"
    bench.run(bench.job("some"), until=1)
    init.write_bytes((bench.folder / "some" / "weights.safetensors").read_bytes())
    recipe = tiny_recipe(init=str(init))
    outcome = TrainOutcome(
        best={},
        best_step=0,
        step=0,
        stopped="steps",
        seconds=0.0,
        weights_path="",
        resumed_from=None,
        device="CPU",
        workers=1,
        contents="abc",
        init_sha256=initial_sha256(str(init)),
    )
    write_training_manifest(replace(asked, recipe=recipe), outcome)
    assert finished_training(str(tmp_path), recipe, "abc") is not None
    assert finished_training(str(tmp_path), tiny_recipe(init=str(init), seed=1), "abc") is None
    assert finished_training(str(tmp_path), recipe, "xyz") is None
    bench.run(bench.job("other", seed=5), until=1)
    init.write_bytes((bench.folder / "other" / "weights.safetensors").read_bytes())
    assert finished_training(str(tmp_path), recipe, "abc") is None


@pytest.mark.ray
def test_a_worker_that_died_for_lack_of_memory_is_told_as_that():
    report = "Traceback ...\npipeline.gpu_memory.StrandedError: A batch does not fit"
    fitting = training_workers._Fitting(trainer=None)
    fitting.error = WorkerGroupError(report, {})
    with pytest.raises(UsageError, match="GPU's memory") as caught:
        fitting.result()
    assert caught.value.code == "recipe-invalid"


def test_validation_patches_of_one_folder_are_not_trained_on_from_another(bench, tmp_path):
    other = make_shards(tmp_path / "other", train=6)  # there, 0005 is for training
    asked = TrainRun(
        recipe=tiny_recipe(),
        shards=(bench.shards, other),
        out=str(tmp_path / "out"),
        device="cpu",
        objective=tiny_objective(None),
    )
    with pytest.raises(UsageError, match="0005 is for validation") as caught:
        train(asked, Heard())
    assert caught.value.code == "shards-invalid"
    assert not (tmp_path / "out").exists()


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
    theirs = bench.folder / "worker" / "ray" / "notes.txt"  # as Ray Train's folder once was
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    outcome = run(bench, "worker", Faults(kill=7, once=str(bench.folder / "worker-killed")))
    assert (bench.folder / "worker-killed").exists()
    assert (outcome.step, outcome.resumed_from) == (12, 5)
    job = bench.job("worker")
    assert same(last_state(job), last_state(undisturbed))
    assert theirs.read_text() == "mine"
    assert not list(Path(job.out).glob(".*"))


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
