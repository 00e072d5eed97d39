# SPDX-License-Identifier: Apache-2.0
"""The command that cuts patches to train on: ``shard``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from flows.options import (
    RECIPE_HELP,
    BracketTimeout,
    Force,
    Layout,
    MaxFailures,
    Memory,
    RetryQuarantined,
    Settle,
    Source,
    Threads,
    Twins,
    Workers,
    finish,
    pool_options,
    scan_options,
)
from pipeline import storage
from pipeline.archive.find import check_source
from pipeline.pseudo_labels import check_stage_one
from pipeline.recipe import load_recipe
from pipeline.runs import FailureBudget
from pipeline.settings import AlignMode
from pipeline.sharding.planning import check_shards
from pipeline.sharding.settings import FollowRule, PairRule, SceneRule, ShardSettings
from pipeline.work_options import WorkOptions

__all__ = ["app"]

app = typer.Typer()


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
    recipe: Annotated[str | None, typer.Option(help=f"Cut as it says. {RECIPE_HELP}")] = None,
    patch_px: Annotated[
        int | None, typer.Option(help=f"Side of a patch; {ShardSettings.patch_px} by default.")
    ] = None,
    patches_per_bracket: Annotated[
        int | None,
        typer.Option(
            help=f"Most patches of a bracket; {ShardSettings.patches_per_bracket} by default."
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            help="Share of a patch's side that neighbours may have in common, 0..0.9; "
            f"{ShardSettings.overlap:g} by default."
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
    scenes: Annotated[
        SceneRule | None,
        typer.Option(
            help="What is one scene and stays in one split: name, what lies together (the "
            "default); content, also what looks alike, every bracket compared with every other."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the split and the places.")] = None,
    align: Annotated[
        AlignMode | None, typer.Option(help="auto registers handheld brackets; off does not.")
    ] = None,
    aligned: Annotated[
        FollowRule | None,
        typer.Option(
            help="flow: also keep the frames as followed from the middle one by optical flow, for "
            "training without ground truth; none is the default."
        ),
    ] = None,
    stage_one: Annotated[
        str | None,
        typer.Option(
            help="Weights of SelfHDR's first stage; it makes structure labels of followed frames."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Archive, catalog or list whose scenes must not occur, decided by image content, "
            "single photographs among them; may be given several times."
        ),
    ] = None,
    layout: Layout = "auto",
    twins: Twins = "jpeg",
    workers: Workers = None,
    threads: Threads = None,
    settle: Settle = "0",
    bracket_timeout: BracketTimeout = "30m",
    memory: Memory = None,
    max_failures: MaxFailures = "10%",
    retry_quarantined: RetryQuarantined = False,
    force: Force = False,
) -> None:
    """Cut the brackets of an archive into patches to train on."""
    budget = FailureBudget.parse(max_failures)
    given: dict[str, Any] = {
        "patch_px": patch_px,
        "patches_per_bracket": patches_per_bracket,
        "overlap": overlap,
        "pair": pair,
        "min_contrast": min_contrast,
        "max_side_px": max_side_px,
        "validation_share": validation_share,
        "test_share": test_share,
        "scenes": scenes,
        "seed": seed,
        "align": align,
        "aligned": aligned,
    }
    base = ShardSettings() if recipe is None else load_recipe(recipe).data.shard
    settings = replace(base, **{name: value for name, value in given.items() if value is not None})
    pool = pool_options(bracket_timeout, memory, workers=workers, threads_per_worker=threads)
    source, shards = storage.absolute(source), storage.absolute(shards)
    others = tuple(storage.absolute(archive) for archive in without or ())
    for archive in (source, *others):
        check_source(archive)
    check_shards(source, shards)
    if stage_one is not None:
        check_stage_one(stage_one, settings)
    from flows.server import ready_server
    from flows.shard import shard_archive

    ready_server()
    outcome = shard_archive(
        source,
        shards,
        settings,
        scan_options(layout, twins, settle),
        pool,
        others,
        WorkOptions(force=force, retry_quarantined=retry_quarantined),
        None if stage_one is None else storage.absolute(stage_one),
    )
    finish(outcome, budget, fused="sharded")
