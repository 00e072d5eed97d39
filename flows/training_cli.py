# SPDX-License-Identifier: Apache-2.0
"""The commands that make models out of patches: ``train`` and ``ablate``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import show
from flows.options import RECIPE_HELP, STDERR, STDOUT, DeviceChoice
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.recipe import load_recipe, recipe_names, with_overrides
from pipeline.recipe_model import check_model
from pipeline.study import load_study, study_names
from pipeline.training_folder import local_folder

__all__ = ["app"]

app = typer.Typer()

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a value of the recipe, by its dotted key; may be given several times.",
    ),
]
Shards = Annotated[
    list[str] | None,
    typer.Option(
        help="Patches made by `bracketflow shard`; may be given several times. Without it, "
        "brackets are rendered and cut as the recipe says."
    ),
]

AsList = Annotated[bool, typer.Option("--list", help="Only list those that ship.")]


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow train --list\n\n"
    "  bracketflow train ufm                                   (on brackets that it renders)\n\n"
    "  bracketflow train ufm --shards ~/shards --out ~/ufm --workers 2\n\n"
    "  bracketflow train ufm --set loss.gamma=v --set training.steps=500 --out ~/ufm-v\n\n"
    "Running the same command again goes on from the last checkpoint."
)
def train(
    recipe: Annotated[
        str | None, typer.Argument(help=RECIPE_HELP, show_default=False, metavar="RECIPE")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Local folder for weights, checkpoints and curve; training/RECIPE by default.",
            show_default=False,
        ),
    ] = None,
    shards: Shards = None,
    changes: Changes = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Training processes; as the recipe says by default.")
    ] = None,
    device: DeviceChoice = "auto",
    as_list: AsList = False,
) -> None:
    """Train a network by a recipe; the best weights so far are kept ready to use."""
    if as_list:
        STDOUT.print(show.recipes_table([load_recipe(name) for name in recipe_names()]))
        return
    if recipe is None:
        raise UsageError(
            "option-invalid",
            f"Name a recipe: {', '.join(recipe_names())}, or a TOML file. "
            "`bracketflow train --list` says what they are.",
        )
    overrides = dict(_setting(text) for text in changes or ())
    if workers is not None:
        overrides["training.workers"] = workers
    chosen = with_overrides(load_recipe(recipe), overrides)
    check_model(chosen)  # before anything starts
    destination = local_folder(out or str(Path("training", chosen.name)))
    from flows.server import ready_server
    from flows.train import train_model

    ready_server()
    outcome = train_model(
        recipe if recipe in recipe_names() else storage.absolute(recipe),
        destination,
        tuple(storage.absolute(folder) for folder in shards or ()),
        overrides,
        device=device,
    )
    STDOUT.print(show.training_table(outcome, recipe, destination), soft_wrap=True)


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow ablate --list\n\n"
    "  bracketflow ablate gammas --shards ~/shards --out ~/gammas\n\n"
    "  bracketflow ablate gammas --shards ~/shards --out ~/gammas --only v --only vd --seeds 3\n\n"
    "Running the same command again goes on where it was; the table tells of all that stands."
)
def ablate(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Name of a study that ships (`bracketflow ablate --list`), or a TOML file.",
            show_default=False,
            metavar="STUDY",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Local folder for trainings, tables and curves; ablation/STUDY by default.",
            show_default=False,
        ),
    ] = None,
    shards: Shards = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="VARIANT", help="Train this one; may be given several times."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Train with so many seeds; as the study says.")
    ] = None,
    changes: Changes = None,
    device: DeviceChoice = "auto",
    as_list: AsList = False,
) -> None:
    """Train the variants of a study on the same patches, and compare them."""
    if as_list:
        STDOUT.print(show.studies_table([load_study(name) for name in study_names()]))
        return
    if study is None:
        raise UsageError(
            "option-invalid",
            f"Name a study: {', '.join(study_names())}, or a TOML file. "
            "`bracketflow ablate --list` says what they are.",
        )
    overrides = dict(_setting(text) for text in changes or ())
    chosen = load_study(study).changed(overrides)
    chosen.chosen(only or ())
    chosen.check()  # before anything starts
    destination = local_folder(out or str(Path("ablation", chosen.name)))
    from flows.ablate import run_ablation
    from flows.server import ready_server

    ready_server()
    outcome = run_ablation(
        study if study in study_names() else storage.absolute(study),
        destination,
        tuple(storage.absolute(folder) for folder in shards or ()),
        overrides,
        tuple(only or ()),
        seeds,
        device,
    )
    STDOUT.print(show.ablation_table(outcome), soft_wrap=True)
    if outcome.failed:
        STDERR.print(f"[red]Failed: {', '.join(outcome.failed)}.[/red] The table says why.")
        raise typer.Exit(1)


def _setting(text: str) -> tuple[str, Any]:
    """``key=value``; the value as TOML reads it, or else the text itself."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key):
        raise UsageError(
            "option-invalid",
            f"--set {text!r} must be a dotted key and a value, such as training.steps=500.",
        )
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
