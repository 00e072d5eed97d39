# SPDX-License-Identifier: Apache-2.0
"""The commands that make models, as a user types them."""

from __future__ import annotations

import pytest

import flows.shard
from flows import ablate, training_cli
from pipeline.errors import CODES, UsageError
from pipeline.recipe import recipe_names
from pipeline.runs import Counts, Outcome
from pipeline.sharding.settings import ShardSettings
from pipeline.study import study_names
from pipeline.work_options import WorkOptions


@pytest.fixture
def run(run):
    """The same, with errors on one line, however narrow the terminal."""

    def go(*arguments: str):
        code, out, err = run(*arguments)
        return code, out, " ".join(err.split())

    return go


def test_the_list_names_every_recipe(run):
    code, out, _ = run("train", "--list")
    assert code == 0
    first_words = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert set(recipe_names()) <= first_words


def test_the_list_names_every_study(run):
    code, out, _ = run("ablate", "--list")
    assert code == 0
    first_words = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert set(study_names()) <= first_words


@pytest.mark.parametrize(
    ("arguments", "error_code", "words"),
    [
        (["train"], "option-invalid", "Name a recipe"),
        (["train", "ufmm"], "recipe-invalid", "did you mean ufm"),
        (["train", "ufm", "--set", "steps"], "option-invalid", "training.steps=500"),
        (["train", "ufm", "--set", "training.stepz=3"], "recipe-invalid", "did you mean steps"),
        (["train", "ufm", "--set", "training.steps=0"], "recipe-invalid", "at least 1"),
        (["train", "ufm", "--set", "loss.gamma=x"], "recipe-invalid", "choose one of"),
        (["train", "ufm", "--set", "data.crop_px=900"], "recipe-invalid", "patch_px 250"),
        (["train", "ufm", "--set", "network.widht=1"], "recipe-invalid", "width"),
        (["train", "ufm", "--set", "data.crop_px=40"], "recipe-invalid", "44 px"),
        (["train", "ufm", "--set", "training.init=x"], "weights-invalid", "x"),
        (["train", "ufm", "--workers", "7"], "recipe-invalid", "multiple"),
        (["train", "ufm", "--out", "s3://bucket/out"], "destination-invalid", "local folder"),
        (["ablate", "gammas", "--out", "s3://bucket"], "destination-invalid", "local folder"),
        (["ablate"], "option-invalid", "Name a study"),
        (["ablate", "gamma"], "study-invalid", "did you mean gammas"),
        (["ablate", "gammas", "--only", "x"], "option-invalid", "vd"),
        (["ablate", "gammas", "--set", "loss.gamma=v"], "study-invalid", "variants.v"),
        (["ablate", "gammas", "--set", "network.width=0"], "recipe-invalid", "width"),
        (["shard", "{tmp}/nothing", "{tmp}/shards"], "source-missing", "nothing"),
        (["shard", "{tmp}", "{tmp}/shards"], "destination-invalid", "shards"),
        (["shard", "{tmp}", "{tmp}-out", "--patch-px", "3"], "option-invalid", "patch_px"),
        (["shard", "{tmp}", "{tmp}-out", "--recipe", "nope"], "recipe-invalid", "nope"),
        (["shard", "{tmp}", "{tmp}-out", "--overlap", "0.95"], "option-invalid", "overlap"),
        (["shard", "{tmp}", "{tmp}-out", "--without", "{tmp}/no"], "source-missing", "no does"),
    ],
)
def test_wrong_use_ends_with_2_before_anything_starts(
    run, tmp_path, monkeypatch, arguments, error_code, words
):
    def never():
        raise AssertionError("a server was started")

    monkeypatch.setattr("flows.server.ready_server", never)
    code, _, err = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert code == 2
    assert error_code in CODES
    assert f"[{error_code}]" in err
    assert words in err


def test_shards_are_cut_as_the_options_say(run, tmp_path, monkeypatch):
    asked = []

    def sharded(*arguments):
        asked.append(arguments)
        return Outcome(
            run_id="r", destination="/x", counts=Counts(), mean_mef_ssim=None, manifest_uri="/x"
        )

    monkeypatch.setattr("flows.server.ready_server", lambda: "")
    monkeypatch.setattr(flows.shard, "shard_archive", sharded)
    (tmp_path / "in").mkdir()
    options = ["--scenes", "content", "--overlap", "0.5", "--without", str(tmp_path), "--force"]
    code, _, _ = run("shard", str(tmp_path / "in"), str(tmp_path / "out"), *options)
    assert code == 0
    ((source, shards, settings, _, _, without, work, stage_one),) = asked
    assert (source, shards) == (str(tmp_path / "in"), str(tmp_path / "out"))
    assert settings == ShardSettings(scenes="content", overlap=0.5)
    assert without == (str(tmp_path),)
    assert work == WorkOptions(force=True)
    assert stage_one is None


@pytest.mark.parametrize(("failed", "code"), [((), 0), (("v/seed-0: loss-not-finite",), 1)])
def test_a_study_with_a_failed_training_ends_with_1(run, tmp_path, monkeypatch, failed, code):
    asked = []

    def ablated(*arguments):
        asked.append(arguments)
        uris = dict.fromkeys(("table_uri", "report_uri", "curves_uri", "picture_uri"), "/x")
        return ablate.AblationOutcome(rows=(), failed=failed, **uris)

    monkeypatch.setattr("flows.server.ready_server", lambda: "")
    monkeypatch.setattr(ablate, "run_ablation", ablated)
    command = ["ablate", "gammas", "--only", "v", "--only", "vd", "--seeds", "3"]
    options = ["--out", str(tmp_path), "--shards", "/s", "--set", "training.steps=60"]
    left, _, err = run(*command, *options)
    assert left == code
    assert all(name in err for name in failed)
    changes = {"training.steps": 60}
    assert asked == [("gammas", str(tmp_path), ("/s",), changes, ("v", "vd"), 3, "auto")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("training.steps=500", ("training.steps", 500)),
        ("training.lr = 1e-3", ("training.lr", 1e-3)),
        ("loss.gamma=vd", ("loss.gamma", "vd")),
        ("loss.luminance=false", ("loss.luminance", False)),
        ("data.frames=[2, 5]", ("data.frames", [2, 5])),
        ('training.init="a=b"', ("training.init", "a=b")),
        ("training.init=/weights/a b.safetensors", ("training.init", "/weights/a b.safetensors")),
        ('loss={name = "mef_ssim", color = 0.2}', ("loss", {"name": "mef_ssim", "color": 0.2})),
    ],
)
def test_values_are_read_as_in_a_recipe(text, wanted):
    assert training_cli._setting(text) == wanted


@pytest.mark.parametrize("text", ["", "steps", "=3", "a b=3", "a..b=3", ".a=3"])
def test_what_is_no_setting(text):
    with pytest.raises(UsageError):
        training_cli._setting(text)
