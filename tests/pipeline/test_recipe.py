# SPDX-License-Identifier: Apache-2.0
"""Recipes are read strictly: what a person mistyped is named, not guessed."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.recipe import Recipe, load_recipe, recipe_names, with_overrides
from pipeline.strict import from_table

PLAIN = """
summary = "for tests"
[network]
name = "ufm"
[loss]
name = "weighted_ssim"
[training]
steps = 10
batch = 2
lr = 1e-3
"""


@pytest.fixture
def write(tmp_path):
    """Write a recipe and return its path."""

    def go(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return go


def refused(**overrides) -> str:
    """The message about overrides that must not pass."""
    with pytest.raises(UsageError) as error:
        with_overrides(load_recipe("ufm"), {k.replace("__", "."): v for k, v in overrides.items()})
    assert error.value.code == "recipe-invalid"
    return error.value.message


def test_a_recipe_fills_in_what_it_does_not_say(write):
    recipe = load_recipe(write(PLAIN))
    assert recipe.name == "mine"
    assert recipe.training.steps == 10
    assert recipe.data.frames == (2, 2)
    assert recipe.network == {"name": "ufm"}


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes_load_and_survive_being_written_down(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    assert from_table(Recipe, asdict(recipe)) == recipe


def test_the_hash_is_of_what_decides_the_result():
    recipe = load_recipe("ufm")
    same = with_overrides(recipe, {"training.workers": 2, "summary": "other"})
    assert same.sha256 == recipe.sha256
    assert with_overrides(recipe, {"loss.gamma": "v"}).sha256 != recipe.sha256
    assert with_overrides(recipe, {"training.seed": 1}).sha256 != recipe.sha256


def test_overrides_change_one_value_or_a_whole_table():
    recipe = load_recipe("ufm")
    assert with_overrides(recipe, {"loss.gamma": "v"}).loss == recipe.loss | {"gamma": "v"}
    assert with_overrides(recipe, {"loss": {"name": "mef_ssim"}}).loss == {"name": "mef_ssim"}
    changed = with_overrides(recipe, {"training.steps": 7})
    assert replace(changed, training=recipe.training) == recipe
    assert with_overrides(recipe, {}) == recipe


def test_a_number_stands_for_both_ends_and_none_for_nothing():
    recipe = with_overrides(
        load_recipe("ufm"),
        {"augment.noise_sigma": 2, "data.crop_px": 128, "data.shard.max_side_px": 900},
    )
    assert recipe.augment.noise_sigma == (2.0, 2.0)
    assert recipe.data.crop_px == 128
    again = with_overrides(recipe, {"data.crop_px": "none", "data.shard.max_side_px": None})
    assert again.data.crop_px is None
    assert again.data.shard.max_side_px is None


def test_an_unknown_key_is_named_with_what_is_allowed(write):
    with pytest.raises(UsageError) as error:
        load_recipe(write(PLAIN + "warmup_step = 3\n"))
    assert error.value.code == "recipe-invalid"
    for part in ("mine.toml", "training.warmup_step", "did you mean warmup_steps?", "patience"):
        assert part in error.value.message


@pytest.mark.parametrize("key", ["training.stpes", "data.shard.patch", "traning.steps", "nothing"])
def test_an_unknown_key_may_be_anywhere(key):
    assert key.split(".")[0] in refused(**{key: 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.steps", 0),
        ("training.batch", 0),
        ("training.lr", 0.0),
        ("training.lr", -1e-3),
        ("training.ema", 1.0),
        ("training.warmup_steps", 10_000_000),
        ("training.schedule", "cosin"),
        ("training.steps", 1.5),
        ("training.steps", True),
        ("training.steps", "many"),
        ("training.channels_last", 1),
        ("training", 3),
        ("data.frames", 1),
        ("data.frames", [2, 10]),
        ("data.frames", [5, 2]),
        ("data.frames", [2, 3, 4]),
        ("data.frames", [2, 5]),  # pairs alone are cut
        ("data.crop_px", 100_000),
        ("data.crop_px", 1),
        ("data.shard.patch_px", 3),
        ("data.generate.brackets", 1),
        ("augment.noise_sigma", [3, 1]),
        ("augment.jpeg_quality", [0, 90]),
        ("augment.jpeg_probability", 1.2),
        ("network", {"width": 1}),
        ("loss.name", 4),
    ],
)
def test_impossible_values_name_their_key(key, value):
    leaf = key.rsplit(".", 1)[-1]
    assert leaf in refused(**{key: value}).partition("set:")[2]


NUMBERS = ["training.lr", "training.ema", "augment.gain_ev", "augment.noise_dark"]
WHOLE = ["training.steps", "training.batch", "training.seed", "data.generate.brackets"]


@given(st.sampled_from(NUMBERS), st.floats(max_value=-1e-9) | st.sampled_from([float("nan")]))
def test_no_number_below_its_range_passes(key, value):
    assert key in refused(**{key: value})


@given(
    st.sampled_from(WHOLE),
    st.one_of(st.integers(max_value=-1), st.booleans(), st.floats(), st.text(), st.none()),
)
def test_nothing_but_a_whole_number_passes_for_one(key, value):
    assert key in refused(**{key: value})


@given(st.recursive(st.integers() | st.text(max_size=4), lambda x: st.lists(x, max_size=3)))
def test_whatever_stands_for_a_table_is_refused_politely(value):
    assert "augment must be a table" in refused(augment=value)


@pytest.mark.parametrize("name", ["ufmm", "no/such/file.toml", "", "ufm.toml"])
def test_a_recipe_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        load_recipe(name)
    assert error.value.code == "recipe-invalid"


def test_a_recipe_that_is_no_toml(write):
    with pytest.raises(UsageError, match=r"mine\.toml is no valid TOML"):
        load_recipe(write("steps = = 3"))


def test_a_recipe_lacks_what_it_needs(write):
    with pytest.raises(UsageError, match=r"training\.steps is missing"):
        load_recipe(write(PLAIN.replace("steps = 10", "")))
