# SPDX-License-Identifier: Apache-2.0
"""The network and loss that a recipe asks for."""

from __future__ import annotations

import torch

from model.objectives import Objective, build_objective
from pipeline.errors import UsageError
from pipeline.light_batches import check_tones
from pipeline.recipe import Recipe
from pipeline.weights import load_initial

__all__ = ["check_model", "check_px", "headline_of", "objective_of"]


def objective_of(recipe: Recipe) -> Objective:
    """The network and loss of a recipe, freshly made, ready to train.

    Raises:
        UsageError: ``recipe-invalid``, they do not exist or do not fit.
    """
    try:
        return build_objective(recipe.network, recipe.loss)
    except ValueError as error:
        raise UsageError("recipe-invalid", f"Recipe {recipe.name}: {error}.") from error


def headline_of(recipe: Recipe) -> str:
    """The figure that decides which weights of a training are best.

    Raises:
        UsageError: ``recipe-invalid``.
    """
    with torch.device("meta"):
        return objective_of(recipe).headline


def check_model(recipe: Recipe) -> None:
    """Refuse a recipe whose network or loss cannot be made, or takes other numbers of frames or
    larger patches, or whose weights to begin with are of another network.

    Nothing is computed, and no memory is taken unless there are such weights.

    Raises:
        UsageError: ``recipe-invalid`` or ``weights-invalid``.
    """
    with torch.device("meta"):
        objective = objective_of(recipe)
    low, high = recipe.data.frames
    least, most = objective.frames
    if low < least or (most is not None and high > most):
        takes = f"{least} or more" if most is None else f"{least} to {most}"
        raise UsageError(
            "recipe-invalid",
            f"Recipe {recipe.name}: data.frames {low}..{high} do not suit the network "
            f"{recipe.network['name']}, which takes {takes} frames.",
        )
    check_tones(recipe.augment, objective.needs)
    key = "data.shard.patch_px" if recipe.data.crop_px is None else "data.crop_px"
    check_px(
        objective, recipe.data.crop_px or recipe.data.shard.patch_px, f"{key} of {recipe.name}"
    )
    if recipe.training.init:
        with torch.random.fork_rng(devices=[]):
            load_initial(objective_of(recipe), recipe.training.init)


def check_px(objective: Objective, side_px: int, where: str) -> None:
    """Refuse patches that are too small for an objective.

    Raises:
        UsageError: ``recipe-invalid``.
    """
    if side_px < objective.least_px:
        raise UsageError(
            "recipe-invalid",
            f"{where} is {side_px} px, but loss and scores need patches of {objective.least_px} px "
            "at least; take larger ones.",
        )
