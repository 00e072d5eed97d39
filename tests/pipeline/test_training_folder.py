# SPDX-License-Identifier: Apache-2.0
"""Whose folder a training writes into."""

from __future__ import annotations

import pytest

from pipeline.errors import LockedError, UsageError
from pipeline.training_folder import (
    hold_folder,
    local_folder,
    take_study_folder,
    take_training_folder,
)
from tests.pipeline.tiny_training import Bench, make_shards


@pytest.mark.parametrize("out", ["s3://bucket/out", "gs://bucket", "memory://out"])
def test_a_folder_elsewhere_is_refused(out):
    with pytest.raises(UsageError, match="local folder") as caught:
        local_folder(out)
    assert caught.value.code == "destination-invalid"


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "out"
    file.write_bytes(b"mine")
    with pytest.raises(UsageError) as caught:
        local_folder(str(file))
    assert caught.value.code == "destination-invalid"


def test_what_a_user_types_becomes_a_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_folder("out") == str(tmp_path / "out")
    assert local_folder(f"file://{tmp_path}") == f"file://{tmp_path}"


@pytest.mark.parametrize(
    "name",
    [
        "weights.safetensors",
        "card.json",
        "curve.parquet",
        "manifest.json",
        "training.json",
        "checkpoints/step-00000005.pt",
        "pictures/holiday.png",
        "tensorboard/notes",
    ],
)
def test_a_folder_with_somebody_elses_files_is_refused_and_left_as_it_is(tmp_path, name):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mine")
    with pytest.raises(UsageError, match=name.split("/")[0]) as caught:
        take_training_folder(str(tmp_path))
    assert caught.value.code == "destination-invalid"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_bytes() == b"mine"


def test_a_folder_that_was_taken_stays_taken_whatever_is_written_there(tmp_path):
    out = str(tmp_path / "new" / "out")
    take_training_folder(out)
    (tmp_path / "new" / "out" / "card.json").write_text("{}")
    take_training_folder(out, rendering=True)


def test_other_files_are_in_nobodys_way(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "shards").mkdir()
    take_training_folder(str(tmp_path))


def test_shards_of_somebody_else_are_in_the_way_of_rendering(tmp_path):
    (tmp_path / "shards").mkdir()
    with pytest.raises(UsageError, match="shards"):
        take_training_folder(str(tmp_path), rendering=True)


def test_a_checkpoint_shows_that_the_folder_is_ours(tmp_path):
    bench = Bench(make_shards(tmp_path / "shards"), tmp_path)
    job = bench.job("out")
    bench.run(job, until=1)
    take_training_folder(job.out)
    take_training_folder(job.out)


def test_a_study_and_a_training_do_not_take_each_others_folders(tmp_path):
    take_training_folder(str(tmp_path))
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(UsageError, match=r"table\.md"):
        take_study_folder(str(tmp_path))


def test_a_second_run_is_kept_out_and_nothing_is_left_behind(tmp_path):
    out = str(tmp_path / "out")
    with hold_folder(out):
        with pytest.raises(LockedError, match="in use by run"), hold_folder(out):
            pass
        take_training_folder(out)
    with hold_folder(out):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["training.json"]
