# SPDX-License-Identifier: Apache-2.0
"""Studies are read strictly, and compare only what can be compared."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.recipe import load_recipe
from pipeline.robustness import PLAIN, Condition
from pipeline.study import load_study, study_names

TINY = """
summary = "for tests"
recipe = "ablation"
seeds = [4, 0]
overrides = { "training.steps" = 60 }
[variants]
v = { "loss.gamma" = "v" }
other = { loss = { name = "mef_ssim" } }
[conditions]
near = { stops = 1 }
noisy = { noise = 2.5 }
"""


@pytest.fixture
def write(tmp_path):
    """Write a study and return its path."""

    def go(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return go


@pytest.mark.parametrize("name", study_names())
def test_packaged_studies_can_be_trained(name):
    study = load_study(name)
    assert study.name == name
    study.check()
    recipes = [study.trial(variant, 0).recipe for variant in study.variants]
    assert len({recipe.sha256 for recipe in recipes}) == len(recipes) >= 2
    assert {recipe.data for recipe in recipes} == {study.base.data}


def test_the_studies_of_the_issue_ship():
    assert set(study_names()) >= {
        "gammas",
        "gammas-structure",
        "encoder",
        "attention",
        "loss",
        "robustness",
        "flexhdr-parts",
    }
    for name, luminance in (("gammas", True), ("gammas-structure", False)):
        study = load_study(name)
        losses = [study.trial(variant, 0).recipe.loss for variant in study.variants]
        assert [loss["gamma"] for loss in losses] == ["v", "d", "e", "vd", "ve", "de"]
        assert {loss["luminance"] for loss in losses} == {luminance}


def test_the_parts_of_flexhdr_are_left_out_one_by_one():
    study = load_study("flexhdr-parts")
    assert [figure.name for figure in study.measures.figures][:3] == [
        "psnr_mu_db",
        "psnr_l_db",
        "ssim_mu",
    ]
    assert len(study.seeds) == 3
    networks = {name: study.trial(name, 0).recipe.network for name in study.variants}
    full = networks.pop(study.baseline)
    assert full["start"] == "nothing"  # what is followed already leaves nothing to its own flow
    off = [
        {key for key in network if network[key] != full.get(key)} for network in networks.values()
    ]
    assert off == [{"flow"}, {"exposure_uncertainty"}, {"attention"}, {"multi_stage_pooling"}]


def test_trials_change_what_they_say_and_nothing_else(write):
    study = load_study(write(TINY))
    trial = study.trial("v", 4)
    recipe = load_recipe("ablation")
    assert trial.recipe.loss == recipe.loss | {"gamma": "v"}
    assert (trial.recipe.training.seed, trial.recipe.training.steps) == (4, 60)
    assert trial.recipe.data == recipe.data
    assert trial.folder == ("v", "seed-4")
    assert study.measured == (
        PLAIN,
        Condition(name="near", stops=1.0),
        Condition(name="noisy", noise=2.5),
    )


def test_a_recipe_beside_the_study_is_found(write, tmp_path):
    text = '[network]\nname = "ufm"\n[loss]\nname = "mef_ssim"\n'
    text = f'summary = "x"\n{text}[training]\nsteps = 3\nbatch = 1\nlr = 1e-3\n'
    (tmp_path / "own.toml").write_text(text, "utf-8")
    study = load_study(write('summary = "x"\nrecipe = "own.toml"\n[variants]\na = {}\n'))
    assert study.base.name == "own"


@pytest.mark.parametrize(("count", "seeds"), [(1, (4,)), (2, (4, 0)), (4, (4, 0, 1, 2))])
def test_seeds_begin_with_the_studys_own(write, count, seeds):
    assert load_study(write(TINY)).with_seeds(count).seeds == seeds


def test_variants_are_chosen_in_the_studys_order(write):
    study = load_study(write(TINY))
    assert study.chosen(()) == ("v", "other")
    assert study.chosen(("other", "v")) == ("v", "other")
    with pytest.raises(UsageError) as error:
        study.chosen(("othr",))
    assert error.value.code == "option-invalid"
    assert "did you mean other" in error.value.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = [4, 0]", "seeds = []", "seeds"),
        ("seeds = [4, 0]", "seeds = [1, 1]", "different"),
        ("seeds = [4, 0]", "seeds = [-1]", "from 0"),
        ("seeds = [4, 0]", 'seeds = ["a"]', "whole number"),
        ("seeds = [4, 0]", "seeds = 3", "must be a list"),
        ("seeds = [4, 0]", "sedes = [4]", "did you mean seeds"),
        ("seeds = [4, 0]", "seeds = [4", "no valid TOML"),
        ('recipe = "ablation"', "", "recipe is missing"),
        ('"loss.gamma" = "v"', '"data.crop_px" = 64', "same data"),
        ('"loss.gamma" = "v"', '"training.seed" = 1', "seeds"),
        ('"loss.gamma" = "v"', '"training.steps" = 9', "exclude each other"),
        ('"training.steps" = 60', '"loss.luminance" = false', "exclude each other"),
        ('"training.steps" = 60', '"training.seed" = 1', "the key seeds does"),
        ('v = { "loss.gamma" = "v" }', "v = 3", "variants.v"),
        ('v = { "loss.gamma" = "v" }', '"../v" = {}', "folder"),
        ("seeds = [4, 0]", 'seeds = [4]\nbaseline = "w"', "baseline"),
        ("near = { stops = 1 }", "near = { stop = 1 }", "did you mean stops"),
        ("near = { stops = 1 }", "near = { stops = -1 }", "conditions.near"),
        ("near = { stops = 1 }", "near = 1", "conditions.near"),
        ("near = { stops = 1 }", "plain = { stops = 1 }", "always is measured"),
    ],
)
def test_what_makes_no_sense_is_named(write, old, new, words):
    assert old in TINY
    with pytest.raises(UsageError) as error:
        load_study(write(TINY.replace(old, new)))
    assert error.value.code == "study-invalid"
    assert "mine.toml" in error.value.message
    assert words in error.value.message


def test_changes_must_not_undo_what_is_compared(write):
    study = load_study(write(TINY))
    changed = study.changed({"training.steps": 80, "network.width": 0.25})
    assert changed.trial("other", 0).recipe.network["width"] == 0.25
    assert changed.base.training.steps == 80
    with pytest.raises(UsageError) as error:
        study.changed({"loss.gamma": "d"})
    assert error.value.code == "study-invalid"


@pytest.mark.parametrize("name", ["gamma", "/nowhere/x.toml"])
def test_studies_that_are_not_there(name):
    with pytest.raises(UsageError) as error:
        load_study(name)
    assert error.value.code == "study-invalid"
