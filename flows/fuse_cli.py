# SPDX-License-Identifier: Apache-2.0
"""The main command, ``fuse``, and the one that judges the results of other tools, ``score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import show
from flows.options import (
    STDOUT,
    Align,
    AlignToFuse,
    BracketTimeout,
    Destination,
    DeviceChoice,
    Force,
    GpusPerWorker,
    Grow,
    Layout,
    MaxFailures,
    Memory,
    Model,
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
from pipeline.archive.scan import ScanOptions
from pipeline.images.writing import BITS, OutputFormat
from pipeline.models import Effort, find_model
from pipeline.planning import check_destination
from pipeline.pool import PoolOptions
from pipeline.runs import FailureBudget
from pipeline.settings import FuseSettings
from pipeline.work_options import WorkOptions

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow fuse ~/Pictures/2024 ~/fused\n\n"
    "  bracketflow fuse ~/Pictures/2024 ~/fused --dry-run\n\n"
    "  bracketflow fuse catalog.parquet s3://bucket/fused --format tiff --bits 16\n\n"
    "  bracketflow fuse /photos /fused --name '{folder}_{stem}' --workers 8\n\n"
    "  bracketflow fuse /photos /fused --model training/ufm/weights.safetensors\n\n"
    "  bracketflow fuse /photos /radiance --model merge      (OpenEXR, and a JPEG beside it)\n\n"
    "  bracketflow fuse /photos /radiance --model merge --format exr --bits 32\n\n"
    "  bracketflow fuse /photos /fused --singles training/usme-small/weights.safetensors\n\n"
    "Running the same command again continues where it was, or does nothing."
)
def fuse(
    source: Source,
    destination: Destination,
    model: Model = FuseSettings.model,
    align: AlignToFuse = FuseSettings.align,
    reference: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Which frame's moment a radiance shows, counted from 1, dark to bright; the "
            "middle one by default. For models that make radiance.",
            show_default=False,
        ),
    ] = None,
    singles: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Make radiance out of frames that belong to no bracket as well, with weights of a "
            "model that sees one frame (usme); they are left out by default.",
            show_default=False,
        ),
    ] = None,
    ev: Annotated[
        float | None,
        typer.Option(
            help="Stops from a single frame to the darker and the brighter exposure that such a "
            "model invents; 2 by default.",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        Effort,
        typer.Option(
            help="full runs the network on every pixel; fast at an eighth of the size, in a small "
            "part of the time, at a loss of about 0.001 MEF-SSIM. For models that have such a "
            "form, see `bracketflow models`."
        ),
    ] = FuseSettings.effort,
    format: Annotated[  # noqa: A002 - the word users know
        OutputFormat,
        typer.Option(
            help="Container of the results. Radiance is always OpenEXR: this is then the format "
            "of the tone-mapped picture beside it, and exr leaves that out."
        ),
    ] = FuseSettings.format,
    bits: Annotated[
        int | None,
        typer.Option(
            help="Bits per channel: 8 by default; 16 for png and tiff, 10 or 12 for avif, "
            "16 (the default) or 32 for exr."
        ),
    ] = None,
    quality: Annotated[int, typer.Option(help="1..100, of jpeg and avif.")] = FuseSettings.quality,
    name: Annotated[
        str,
        typer.Option(
            help="Name of a result, of {stem} (the first frame by name), {folder}, {id}, {count}, "
            "{layout} and {model}."
        ),
    ] = FuseSettings.name,
    previews: Annotated[bool, typer.Option(help="Write small pictures for the report.")] = True,
    page: Annotated[
        bool, typer.Option(help="Make a page to look at: page/index.html of the destination.")
    ] = True,
    layout: Layout = "auto",
    twins: Twins = "jpeg",
    workers: Workers = None,
    device: DeviceChoice = "auto",
    gpus_per_worker: GpusPerWorker = None,
    threads: Threads = None,
    grow: Grow = False,
    settle: Settle = "0",
    bracket_timeout: BracketTimeout = "30m",
    memory: Memory = None,
    max_failures: MaxFailures = "10%",
    retry_quarantined: RetryQuarantined = False,
    force: Force = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove the results of brackets whose photographs are gone; without it they stay.",
        ),
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say at the end where the time went.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what it takes.")
    ] = False,
) -> None:
    """Fuse every bracket of an archive; the report says how good each result is."""
    budget = FailureBudget.parse(max_failures)
    settings = FuseSettings(
        model=model,
        align=align,
        format=format,
        bits=BITS[format][0] if bits is None else bits,
        quality=quality,
        name=name,
        previews=previews,
        reference=reference,
        singles=singles,
        effort=effort,
        ev=ev,
    )
    options = scan_options(layout, twins, settle)
    pool = pool_options(
        bracket_timeout,
        memory,
        workers=workers,
        device=device,
        gpus_per_worker=gpus_per_worker,
        threads_per_worker=threads,
        grows=grow,
    )
    work = WorkOptions(force=force, retry_quarantined=retry_quarantined, prune=prune)
    source, destination = storage.absolute(source), storage.absolute(destination)
    check_source(source)
    check_destination(source, destination)
    alone = None if settings.singles is None else find_model(settings.singles).card
    settings.check(find_model(settings.model).card, alone)  # before anything starts
    if dry_run:
        from pipeline.estimates import estimate_run

        estimate = estimate_run(source, destination, settings, options, work)
        STDOUT.print(show.estimate_table(estimate))
        return
    from flows.fuse import fuse_archive
    from flows.server import ready_server

    ready_server()
    outcome = fuse_archive(source, destination, settings, options, pool, work, page, profile)
    try:
        finish(outcome, budget)
    finally:
        if outcome.profile is not None:
            STDOUT.print(show.profile_table(outcome.profile))


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow score ~/Pictures/2024 ~/enfuse-results\n\n"
    "  bracketflow score catalog.parquet ~/fused --out scores\n\n"
    "A result is found by its folder and name: A/0001.jpg, A/0001_fused.png, or A.jpg for the "
    "bracket in folder A."
)
def score(
    stacks: Source,
    results: Annotated[
        str, typer.Argument(help="Folder with the results of any tool.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("scores"),
    align: Align = "auto",
    layout: Layout = "auto",
    workers: Workers = None,
    threads: Threads = None,
) -> None:
    """Score fused photographs that any tool made, with the report's own measures."""
    from flows.score import score_results
    from flows.server import ready_server

    ready_server()
    outcome = score_results(
        storage.absolute(stacks),
        storage.absolute(results),
        storage.absolute(str(out)),
        align,
        ScanOptions(layout=layout),
        PoolOptions(workers=workers, threads_per_worker=threads),
    )
    finish(outcome, FailureBudget(), fused="scored")
