# SPDX-License-Identifier: Apache-2.0
"""The commands that make models: ``shard`` cuts patches, ``train`` and ``ablate`` use them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import show
from flows.options import (
    STDERR,
    STDOUT,
    DeviceChoice,
    Layout,
    MaxFailures,
    Source,
    Threads,
    Twins,
    Workers,
    finish,
)
from pipeline import storage
from pipeline.archive.find import check_source
from pipeline.archive.scan import ScanOptions
from pipeline.errors import UsageError
from pipeline.pool import PoolOptions
from pipeline.recipe import load_recipe, recipe_names, with_overrides
from pipeline.recipe_model import check_model
from pipeline.runs import FailureBudget
from pipeline.settings import AlignMode
from pipeline.sharding.planning import check_shards
from pipeline.sharding.settings import PairRule, ShardSettings
from pipeline.study import load_study, study_names

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

_RECIPE_HELP = "Name of a recipe that ships (`bracketflow train --list`), or a TOML file."


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow shard ~/Pictures ~/shards --recipe ufm\n\n"
    "  bracketflow shard catalog.parquet ~/shards --patch-px 192 --max-side-px 1600\n\n"
    "  bracketflow shard /data/SICE ~/shards --without /data/benchmark   (keep it clean)\n\n"
    "Running the same command again continues where it was, or does nothing."
)
def shard(
    source: Source,
    shards: Annotated[
        str,
        typer.Argument(
            help="Folder or URI that gets patches/, split.parquet, report/ and catalog/; outside "
            "the source.",
            show_default=False,
        ),
    ],
    recipe: Annotated[str | None, typer.Option(help=f"Cut as it says. {_RECIPE_HELP}")] = None,
    patch_px: Annotated[
        int | None, typer.Option(help=f"Side of a patch; {ShardSettings.patch_px} by default.")
    ] = None,
    patches_per_bracket: Annotated[
        int | None,
        typer.Option(
            help=f"Most patches of a bracket; {ShardSettings.patches_per_bracket} by default."
        ),
    ] = None,
    pair: Annotated[
        PairRule | None,
        typer.Option(
            help="Frames of a patch: all (the default); under-over, the 2nd darkest and 2nd "
            "brightest; extreme, the outermost two."
        ),
    ] = None,
    min_contrast: Annotated[
        float | None, typer.Option(help="Patches duller than this are left out, 0..0.5.")
    ] = None,
    max_side_px: Annotated[
        int | None, typer.Option(help="Reduce frames to this long side before they are cut.")
    ] = None,
    validation_share: Annotated[
        float | None, typer.Option(help="Share of the scenes kept for validation.")
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="Share of the scenes kept for tests.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the split and the places.")] = None,
    align: Annotated[
        AlignMode | None, typer.Option(help="auto registers handheld brackets; off does not.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Archive, catalog or list whose scenes must not occur, decided by image content; "
            "may be given several times."
        ),
    ] = None,
    layout: Layout = "auto",
    twins: Twins = "jpeg",
    workers: Workers = None,
    threads: Threads = None,
    max_failures: MaxFailures = "10%",
) -> None:
    """Cut the brackets of an archive into patches to train on."""
    budget = FailureBudget.parse(max_failures)
    given = {
        "patch_px": patch_px,
        "patches_per_bracket": patches_per_bracket,
        "pair": pair,
        "min_contrast": min_contrast,
        "max_side_px": max_side_px,
        "validation_share": validation_share,
        "test_share": test_share,
        "seed": seed,
        "align": align,
    }
    base = ShardSettings() if recipe is None else load_recipe(recipe).data.shard
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = replace(base, **changes)
    source, shards = storage.absolute(source), storage.absolute(shards)
    check_source(source)
    check_shards(source, shards)
    from flows.server import ready_server
    from flows.shard import shard_archive

    ready_server()
    outcome = shard_archive(
        source,
        shards,
        settings,
        ScanOptions(layout=layout, twins=twins),
        PoolOptions(workers=workers, threads_per_worker=threads),
        tuple(storage.absolute(archive) for archive in without or ()),
    )
    finish(outcome, budget, fused="sharded")


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
        str | None, typer.Argument(help=_RECIPE_HELP, show_default=False, metavar="RECIPE")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder or URI for weights, checkpoints, curve and pictures; training/RECIPE by "
            "default.",
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
    chosen = with_overrides(load_recipe(recipe), overrides)
    check_model(chosen)  # before anything starts
    destination = storage.absolute(out or str(Path("training", chosen.name)))
    from flows.server import ready_server
    from flows.train import train_model

    ready_server()
    outcome = train_model(
        recipe if recipe in recipe_names() else storage.absolute(recipe),
        destination,
        tuple(storage.absolute(folder) for folder in shards or ()),
        overrides,
        workers,
        device,
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
            help="Folder or URI for trainings, tables and curves; ablation/STUDY by default.",
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
    from flows.ablate import run_ablation
    from flows.server import ready_server

    ready_server()
    outcome = run_ablation(
        study if study in study_names() else storage.absolute(study),
        storage.absolute(out or str(Path("ablation", chosen.name))),
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
