# SPDX-License-Identifier: Apache-2.0
"""The ``bracketflow`` command: each command calls its flow.

Exit codes: 0 all well, 1 past the failure budget, 2 wrong use, 3 destination locked (see
``pipeline.errors.LockedError``), 4 infrastructure, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows import render_cli, shard_cli, show, training_cli
from flows.options import (
    STDERR,
    STDOUT,
    Align,
    Destination,
    DeviceChoice,
    GpusPerWorker,
    Layout,
    MaxFailures,
    Model,
    Source,
    Threads,
    Twins,
    Workers,
    finish,
)
from model import zoo
from pipeline import storage
from pipeline.archive.find import check_source
from pipeline.archive.scan import ScanOptions
from pipeline.errors import BracketflowError
from pipeline.images.writing import BITS, OutputFormat
from pipeline.models import find_model
from pipeline.planning import check_destination
from pipeline.pool import PoolOptions
from pipeline.runs import FailureBudget
from pipeline.settings import FuseSettings

__all__ = ["app", "main"]

app = typer.Typer(
    name="bracketflow",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bracketflow {metadata.version('bracketflow')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Fuse archives of bracketed photographs, and prove how good each result is.

    Start with [bold]bracketflow demo[/bold]; the main job is [bold]bracketflow fuse PHOTOS
    OUT[/bold].
    """


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow scan ~/Pictures --out catalog.parquet\n\n"
    "  bracketflow scan /data/SICE --layout sice --out sice.parquet\n\n"
    "  bracketflow scan ~/Pictures --check-pixels --out c.parquet    (distrust the EXIF)\n\n"
    "Layouts: exif (camera folders, grouped by time and exposure), sice, mefb, kalantari (those "
    "data sets), folder (one bracket a folder); auto takes whichever fits each folder.\n\n"
    "Formats: JPEG, PNG, TIFF, AVIF, RAW with the extra raw; Radiance and OpenEXR as ground truth."
)
def scan(
    source: Source,
    out: Annotated[Path, typer.Option(help="Where the catalog goes.")] = Path("catalog.parquet"),
    layout: Layout = "auto",
    twins: Twins = "jpeg",
    check_pixels: Annotated[
        bool,
        typer.Option(
            "--check-pixels", help="Compare EXIF exposures with the brightness of the pixels."
        ),
    ] = False,
) -> None:
    """Find the brackets of an archive and write them to a catalog (Parquet)."""
    from flows.scan import scan_archive
    from flows.server import ready_server

    options = ScanOptions(layout=layout, twins=twins)
    check_source(storage.absolute(source))
    ready_server()
    summary = scan_archive(
        storage.absolute(source), storage.absolute(str(out)), options, check=check_pixels
    )
    STDOUT.print(show.scan_table(summary))
    STDOUT.print(f"catalog: {out}", markup=False, soft_wrap=True)


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow fuse ~/Pictures/2024 ~/fused\n\n"
    "  bracketflow fuse ~/Pictures/2024 ~/fused --dry-run\n\n"
    "  bracketflow fuse catalog.parquet s3://bucket/fused --format tiff --bits 16\n\n"
    "  bracketflow fuse /photos /fused --name '{folder}_{stem}' --workers 8\n\n"
    "  bracketflow fuse /photos /fused --model training/ufm/weights.safetensors\n\n"
    "Running the same command again continues where it was, or does nothing."
)
def fuse(
    source: Source,
    destination: Destination,
    model: Model = FuseSettings.model,
    align: Align = FuseSettings.align,
    format: Annotated[  # noqa: A002 - the word users know
        OutputFormat, typer.Option(help="Container of the results.")
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
    layout: Layout = "auto",
    twins: Twins = "jpeg",
    workers: Workers = None,
    device: DeviceChoice = "auto",
    gpus_per_worker: GpusPerWorker = None,
    threads: Threads = None,
    max_failures: MaxFailures = "10%",
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
    )
    options = ScanOptions(layout=layout, twins=twins)
    pool = PoolOptions(
        workers=workers,
        device=device,
        gpus_per_worker=gpus_per_worker,
        threads_per_worker=threads,
    )
    source, destination = storage.absolute(source), storage.absolute(destination)
    check_source(source)
    check_destination(source, destination)
    find_model(settings.model)  # before anything starts
    if dry_run:
        from pipeline.estimates import estimate_run

        STDOUT.print(show.estimate_table(estimate_run(source, destination, settings, options)))
        return
    from flows.fuse import fuse_archive
    from flows.server import ready_server

    ready_server()
    finish(fuse_archive(source, destination, settings, options, pool), budget)


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
    align: Align = FuseSettings.align,
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


@app.command(epilog="Examples:\n\n  bracketflow models\n\n  bracketflow models --json")
def models(
    as_json: Annotated[bool, typer.Option("--json", help="All cards, as JSON.")] = False,
) -> None:
    """List the models with their parameter counts, weights and cards."""
    cards = [zoo.card(name) for name in zoo.names()]
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in cards], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("model", "parameters", "weights", "output", "what it is"):
        table.add_column(title, justify="right" if title == "parameters" else "left")
    for card in cards:
        weights = "ship" if card.weights_shipped else ("-" if not card.parameters else "missing")
        default = " (default)" if card.name == zoo.DEFAULT else ""
        table.add_row(
            card.name + default, f"{card.parameters:,}", weights, card.output, card.summary
        )
    STDOUT.print(table)


@app.command(
    epilog="Examples:\n\n  bracketflow demo\n\n  bracketflow demo big --brackets 200 --megapixels 4"
)
def demo(
    folder: Annotated[
        Path, typer.Argument(help="Gets archive/ (the photographs) and fused/ (the results).")
    ] = Path("bracketflow-demo"),
    brackets: Annotated[int, typer.Option(min=1, help="How many brackets to make.")] = 12,
    megapixels: Annotated[float, typer.Option(min=0.02, help="Size of a frame.")] = 0.8,
    seed: Annotated[int, typer.Option(help="The same seed makes the same archive.")] = 0,
    workers: Workers = None,
) -> None:
    """Make an archive of bracketed photographs, fuse it, and show the report."""
    from flows.demo import run_demo
    from flows.server import ready_server

    ready_server()

    outcome = run_demo(str(folder), brackets, megapixels, seed, pool=PoolOptions(workers=workers))
    finish(outcome, FailureBudget())


@app.command(
    epilog="Example:\n\n  bracketflow doctor\n\nEnds with 4 if something is broken; what is only "
    "worth minding is no failure."
)
def doctor() -> None:
    """Check versions, Ray, Prefect's server, devices and disk, and name the cure."""
    from flows.doctor import examine

    findings = list(examine())
    STDOUT.print(show.findings_table(findings))
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(4)


app.add_typer(shard_cli.app)
app.add_typer(training_cli.app)
app.add_typer(render_cli.app)


def _quiet_prefect() -> None:
    """Prefect reads its settings when it is imported: what a command line needs, unless set."""
    quiet = {
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # Nobody's photographs are anybody else's business: no usage figures are sent.
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)


def main() -> None:
    """Entry point: run the command line and turn errors into exit codes."""
    _quiet_prefect()
    try:
        app()
    except BracketflowError as error:
        STDERR.print(
            f"[red]error[/red] \\[{error.code}] {escape(error.message)}",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as left:
        if isinstance(left, SystemExit) and left.code != _INTERRUPTED:
            raise
        STDERR.print("Interrupted. What was finished is kept; the same command goes on from there.")
        sys.exit(_INTERRUPTED)
