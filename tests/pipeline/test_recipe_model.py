# SPDX-License-Identifier: Apache-2.0
"""Recipes and the networks and losses that they name."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.recipe import load_recipe, recipe_names, with_overrides
from pipeline.recipe_model import check_model, objective_of


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes_build_and_take_a_step(name):
    recipe = load_recipe(name)
    check_model(recipe)
    torch.manual_seed(0)
    small = {"ufm": {"network.width": 0.0625}, "ufm_k": {"network.widths": [2, 3, 4, 5]}}
    made = objective_of(with_overrides(recipe, small.get(recipe.network["name"], {})))
    count = recipe.data.frames[1]
    batch = {"frames": torch.rand(2, count, 3, 48, 48).sort(1).values}
    for name in made.needs:
        batch[name] = batch["frames"] if name == "aligned" else torch.rand(2, 3, 48, 48)
    if made.needs:
        batch["times_s"] = 4.0 ** torch.arange(count).expand(2, -1)
    step = made.step(batch)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert any(p.grad is not None and p.grad.any() for p in made.network.parameters())


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ({"network.name": "nope"}, "nope"),
        ({"network.wdth": 1}, "wdth"),
        ({"loss.gamma": "x"}, "gamma"),
        ({"loss.weight": 1}, "weight"),
        ({"data.frames": [2, 5], "data.shard.pair": "all"}, "data.frames"),
        ({"data.crop_px": 43}, "44 px"),
        ({"data.crop_px": None, "data.shard.patch_px": 40}, "patch_px"),
        ({"loss": {"name": "weighted_ssim"}, "data.crop_px": 43}, "44 px"),
        ({"training.workers": 3, "training.batch": 4}, "multiple"),
    ],
)
def test_a_recipe_whose_model_cannot_be_made_is_invalid(overrides, word):
    with pytest.raises(UsageError, match=word) as error:
        check_model(with_overrides(load_recipe("ufm"), overrides))
    assert error.value.code == "recipe-invalid"
    assert "ufm" in error.value.message


@pytest.mark.parametrize(
    ("init", "word"), [("nope", "nope"), ("/nowhere.safetensors", "nowhere"), ("ufm_k", "ufm_k")]
)
def test_weights_to_begin_with_must_be_there_and_fit(init, word):
    with pytest.raises(UsageError, match=word) as error:
        check_model(with_overrides(load_recipe("ufm"), {"training.init": init}))
    assert error.value.code == "weights-invalid"


def test_the_least_patch_is_enough():
    check_model(with_overrides(load_recipe("ufm"), {"data.crop_px": 44}))
    made = objective_of(load_recipe("ufm"))
    frames = torch.rand(1, 2, 3, made.least_px, made.least_px).sort(1).values
    assert "gray_ms3" in made.evaluate({"frames": frames})
