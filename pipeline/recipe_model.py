# SPDX-License-Identifier: Apache-2.0
"""The network and loss that a recipe asks for."""

from __future__ import annotations

import torch

from model.objectives import Objective, build_objective
from pipeline.errors import UsageError
from pipeline.recipe import Recipe

__all__ = ["check_model", "objective_of"]


def objective_of(recipe: Recipe) -> Objective:
    """The network and loss of a recipe, freshly made, ready to train.

    Raises:
        UsageError: ``recipe-invalid``, they do not exist or do not fit.
    """
    try:
        return build_objective(recipe.network, recipe.loss)
    except ValueError as error:
        raise UsageError("recipe-invalid", f"Recipe {recipe.name}: {error}.") from error


def check_model(recipe: Recipe) -> None:
    """Refuse a recipe whose network or loss cannot be made, or takes other numbers of frames.

    Nothing is computed and no memory is taken.

    Raises:
        UsageError: ``recipe-invalid``.
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
