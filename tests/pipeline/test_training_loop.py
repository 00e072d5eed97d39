# SPDX-License-Identifier: Apache-2.0
"""The training loop of one worker, without Ray."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.training_log import TrainingLog, read_curve
from pipeline.weights import load_initial, read_weights
from tests.pipeline.tiny_training import (
    Bench,
    Faults,
    Heard,
    last_state,
    make_shards,
    same,
    tiny_objective,
)


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(make_shards(tmp_path / "shards"), tmp_path)


def test_it_learns_and_leaves_everything_behind(bench):
    heard, job = Heard(), bench.job("out")
    ended = bench.run(job, heard=heard)
    assert ended.error is None
    assert (ended.step, ended.stopped, ended.resumed_from) == (12, "steps", None)
    figures = {step: found["closeness"] for step, found in heard.figures.items()}
    assert list(figures) == [0, 5, 10, 12]
    assert figures[12] > figures[0]
    assert ended.best == heard.figures[ended.best_step]
    assert ended.best["closeness"] == max(figures.values())
    assert heard.steps[-1] == 12
    out = Path(job.out)
    assert {path.name for path in out.iterdir()} == {
        "checkpoints",
        "curve.parquet",
        "tensorboard",
        "pictures",
        "weights.safetensors",
        "card.json",
    }
    assert len(list((out / "pictures").iterdir())) == 4
    curve = read_curve(job.out).to_pylist()
    keys = Counter((row["step"], row["split"], row["name"]) for row in curve)
    assert set(keys.values()) == {1}
    assert {step for step, split, _ in keys if split == "train"} == {5, 10, 12}
    assert {name for _, split, name in keys if split == "train"} == {
        "loss",
        "error",
        "lr",
        "gradient_norm",
    }


def test_what_ships_is_the_running_mean_of_the_best_validation(bench):
    job = bench.job("out")
    ended = bench.run(job)
    state, metadata = read_weights(str(Path(job.out) / "weights.safetensors"))
    best = job.store.load(ended.best_step)
    assert not same(best.averaged, best.network)
    assert same(state, {name: value.half().float() for name, value in best.averaged.items()})
    assert metadata["network"] == "tiny"
    assert json.loads(metadata["options"]) == {"channels": 4}
    assert metadata["step"] == str(ended.best_step)
    card = json.loads((Path(job.out) / "card.json").read_text("utf-8"))
    assert card["scores"]["validation_closeness"] == pytest.approx(
        ended.best["closeness"], abs=1e-5
    )


@pytest.mark.parametrize("crash", [3, 5, 11])
def test_a_run_that_crashed_ends_where_it_would_have_ended(bench, crash):
    whole, broken = bench.job("whole"), bench.job("broken")
    first = bench.run(whole)
    assert bench.run(broken, until=crash).error is not None
    ended = bench.run(broken)
    assert ended.resumed_from == crash // 5 * 5
    assert ended.best == first.best
    assert same(last_state(whole), last_state(broken))
    assert ended.seconds > 0
    columns = ["step", "split", "name", "value"]
    one, other = (
        sorted(map(tuple, (row.values() for row in read_curve(j.out).select(columns).to_pylist())))
        for j in (whole, broken)
    )
    assert one == other


def test_a_finished_run_has_nothing_left_to_do(bench):
    job = bench.job("out")
    first = bench.run(job)
    before = (Path(job.out) / "weights.safetensors").read_bytes()
    again = bench.run(job, until=0)
    assert again.error is None
    assert (again.step, again.resumed_from, again.best) == (12, 12, first.best)
    assert (Path(job.out) / "weights.safetensors").read_bytes() == before


def test_weights_that_a_crash_kept_from_being_published_are_made_up_for(bench):
    job = bench.job("out")
    bench.run(job)
    weights = Path(job.out) / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    state = last_state(job)
    assert bench.run(job).error is None
    assert read_weights(str(weights))[0].keys() == read_weights_of(before, bench.folder).keys()
    assert same(read_weights(str(weights))[0], read_weights_of(before, bench.folder))
    assert same(last_state(job), state)


@pytest.mark.parametrize("card", [None, b"x", b"[]", b'{"weights_sha256": "of-others"}'])
def test_a_card_that_a_crash_left_behind_is_made_up_for(bench, card):
    job = bench.job("out")
    bench.run(job)
    file = Path(job.out) / "card.json"
    if card is None:
        file.unlink()
    else:
        file.write_bytes(card)
    assert bench.run(job, until=0).error is None
    weights = (Path(job.out) / "weights.safetensors").read_bytes()
    facts = json.loads(file.read_text("utf-8"))
    assert facts["weights_sha256"] == storage.sha256_of(weights)


def test_a_card_that_people_filled_in_stays(bench):
    job = bench.job("out")
    bench.run(job)
    file = Path(job.out) / "card.json"
    filled = json.dumps(json.loads(file.read_text("utf-8")) | {"licence": "CC0"})
    file.write_text(filled, "utf-8")
    bench.run(job, until=0)
    assert file.read_text("utf-8") == filled


def test_a_rotten_newest_checkpoint_that_was_the_best_costs_no_training(bench):
    job = bench.job("out")
    batches = len(job.validation)

    def made():
        """Validations are good, bad, bad, and best."""
        objective = tiny_objective()()
        calls = iter([score for score in (2, 0, 0, 3) for _ in range(batches)])
        objective.evaluate = lambda batch: {
            "closeness": torch.full((len(batch["frames"]),), float(next(calls)))
        }
        return objective

    job = replace(job, objective=made)
    assert bench.run(job).best_step == 12
    newest = Path(job.store.folder) / "step-00000012.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    again = bench.run(job)
    assert (again.error, again.resumed_from, again.best_step) == (None, 10, 0)
    assert not any("lost" in note for note in again.notes)
    assert read_weights(str(Path(job.out) / "weights.safetensors"))[1]["step"] == "0"


def test_lost_best_weights_are_looked_for_anew(bench):
    job = bench.job("out", steps=40, lr=1e-9, ema=0.0, validate_every=2, patience=9)
    job = replace(job, objective=worsening)
    bench.run(job, until=9)
    assert job.store.steps() == [0, 6, 8]
    (Path(job.out) / "weights.safetensors").unlink()
    (Path(job.store.folder) / "step-00000000.pt").unlink()
    ended = bench.run(job, until=9)
    assert ended.error is not None
    assert ended.error.code == "storage-failed"  # where the data end, and nothing before
    assert (ended.resumed_from, ended.best_step) == (8, 8)
    (note,) = ended.notes
    assert "lost" in note
    assert "scan the archive" not in note
    assert read_weights(str(Path(job.out) / "weights.safetensors"))[1]["step"] == "8"


@pytest.mark.parametrize("what", ["evaluate", "picture"])
def test_a_validation_that_needs_too_much_memory_is_the_recipes_fault(bench, what):
    def hungry(_):
        raise torch.OutOfMemoryError("validation")

    def made():
        objective = tiny_objective()()
        setattr(objective, what, hungry)
        return objective

    ended = bench.run(replace(bench.job("out"), objective=made))
    assert ended.error is not None
    assert ended.error.code == "recipe-invalid"


def read_weights_of(data: bytes, folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "before.safetensors"
    path.write_bytes(data)
    return read_weights(str(path))[0]


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_patches(bench):
    job = bench.job("out", Faults(nan=7))
    ended = bench.run(job)
    assert isinstance(ended.error, UsageError)
    assert ended.error.code == "loss-not-finite"
    assert "bad-batch.json" in ended.error.message
    (plan,) = job.source.plans(6, 7)
    bad = json.loads((Path(job.out) / "bad-batch.json").read_text("utf-8"))
    assert (bad["step"], bad["keys"]) == (6, list(plan.keys))
    assert job.store.steps() == [0, 5]
    # The same run without the fault goes on from the good checkpoint.
    assert bench.run(bench.job("out")).resumed_from == 5


def test_patience_comes_to_an_end_and_stays_there(bench):
    job = bench.job("out", steps=40, lr=1e-9, ema=0.0, validate_every=2, patience=2)
    job = replace(job, objective=worsening)
    ended = bench.run(job)
    assert (ended.stopped, ended.step, ended.best_step) == ("patience", 4, 0)
    again = bench.run(job, until=0)
    assert (again.stopped, again.step, again.error) == ("patience", 4, None)


def worsening():
    objective = tiny_objective()()
    objective.evaluate = iter_worse(objective.evaluate)
    return objective


def iter_worse(evaluate):
    calls = []

    def worse(batch):
        calls.append(1)
        return {name: value - len(calls) for name, value in evaluate(batch).items()}

    return worse


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_whole(bench, monkeypatch):
    job = bench.job("out")
    bench.run(job, until=7)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        ended = bench.run(job)
    assert ended.error is not None
    assert ended.error.code == "disk-full"
    assert job.store.newest(lambda _: None).step == 5
    assert bench.run(job).step == 12


def test_a_damaged_checkpoint_costs_some_steps_and_a_note(bench):
    whole, job = bench.job("whole"), bench.job("out")
    bench.run(whole)
    bench.run(job, until=11)
    newest = Path(job.store.folder) / "step-00000010.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    ended = bench.run(job)
    assert ended.resumed_from == 5
    assert "step-00000010.pt" in " ".join(ended.notes)
    assert same(last_state(job), last_state(whole))


def test_another_recipe_does_not_go_on(bench):
    bench.run(bench.job("out"), until=7)
    ended = bench.run(bench.job("out", lr=0.5))
    assert ended.error is not None
    assert ended.error.code == "checkpoint-invalid"
    assert "training.lr" in ended.error.message


def test_training_begins_with_given_weights(bench):
    first = bench.job("first")
    bench.run(first)
    weights = str(Path(first.out) / "weights.safetensors")
    second = bench.job("second", init=weights)
    bench.run(second)
    assert same(second.store.load(second.store.steps()[0]).network, {}) is False
    heard = Heard()
    bench.run(bench.job("third", init=weights), heard=heard)
    best = json.loads((Path(first.out) / "card.json").read_text("utf-8"))["scores"]
    assert heard.figures[0]["closeness"] == pytest.approx(best["validation_closeness"], abs=1e-3)


@pytest.mark.parametrize("init", ["no-such-weights", "/nowhere.safetensors"])
def test_weights_that_are_not_there(init):
    with pytest.raises(UsageError) as caught:
        load_initial(tiny_objective()(), init)
    assert caught.value.code == "weights-invalid"


def test_weights_of_another_network_are_named(bench):
    job = bench.job("out")
    bench.run(job, until=1)
    weights = str(Path(job.out) / "weights.safetensors")
    objective = tiny_objective()()
    objective.network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5))
    with pytest.raises(UsageError, match=r"1\.running_mean is missing") as caught:
        load_initial(objective, weights)
    assert caught.value.code == "weights-invalid"


def test_a_curve_that_cannot_be_read_is_begun_anew(tmp_path):
    (tmp_path / "curve.parquet").write_bytes(b"x")
    notes: list[str] = []
    log = TrainingLog(str(tmp_path), step=5, note=notes.append)
    log.add(6, "train", {"loss": 1.0}, 1.0)
    log.write()
    log.close()
    assert len(notes) == 1
    assert pq.read_table(tmp_path / "curve.parquet")["step"].to_pylist() == [6]


def test_trouble_with_events_is_a_note_and_nothing_more(tmp_path, monkeypatch):
    notes: list[str] = []
    log = TrainingLog(str(tmp_path), step=None, note=notes.append)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tensorboardX.record_writer.RecordWriter.write", full)
        log.add(1, "train", {"loss": 1.0}, 1.0)
    log.add(2, "train", {"loss": 1.0}, 1.0)
    log.write()
    log.close()
    assert len(notes) == 1
    assert read_curve(str(tmp_path))["step"].to_pylist() == [1, 2]
