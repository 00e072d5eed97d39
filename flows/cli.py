# SPDX-License-Identifier: Apache-2.0
"""The ``bracketflow`` command: each command calls its flow.

Exit codes: 0 all well, 1 past the failure budget, 2 wrong use, 3 destination locked (see
``pipeline.errors.LockedError``), 4 infrastructure, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows import (
    dynamic_cli,
    fuse_cli,
    quarantine_cli,
    render_cli,
    report_cli,
    serve_cli,
    shard_cli,
    show,
    training_cli,
    verify_cli,
)
from flows.options import (
    STDERR,
    STDOUT,
    Layout,
    Settle,
    Source,
    Twins,
    Workers,
    finish,
    scan_options,
)
from model import zoo
from pipeline import storage
from pipeline.archive.find import check_source
from pipeline.errors import BracketflowError
from pipeline.pool import PoolOptions
from pipeline.runs import FailureBudget

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
    settle: Settle = "0",
    check_pixels: Annotated[
        bool,
        typer.Option(
            "--check-pixels", help="Compare EXIF exposures with the brightness of the pixels."
        ),
    ] = False,
    rescan: Annotated[
        bool,
        typer.Option(
            "--rescan", help="Look into every folder again, not only where something changed."
        ),
    ] = False,
    workers: Workers = None,
) -> None:
    """Find the brackets of an archive and write them to a catalog (Parquet).

    Where the catalog stands already, folders in which no file changed keep their rows. Large
    archives are looked at by Ray's workers too.
    """
    from flows.scan import scan_archive
    from flows.server import ready_server

    options = scan_options(layout, twins, settle)
    check_source(storage.absolute(source))
    ready_server()
    summary = scan_archive(
        storage.absolute(source),
        storage.absolute(str(out)),
        options,
        check=check_pixels,
        rescan=rescan,
        workers=PoolOptions(workers=workers).workers,
    )
    STDOUT.print(show.scan_table(summary))
    STDOUT.print(f"catalog: {out}", markup=False, soft_wrap=True)


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


app.add_typer(fuse_cli.app)
app.add_typer(report_cli.app)
app.add_typer(shard_cli.app)
app.add_typer(training_cli.app)
app.add_typer(render_cli.app)
app.add_typer(dynamic_cli.app)
app.add_typer(verify_cli.app)
app.add_typer(quarantine_cli.app)
app.add_typer(serve_cli.app)


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


def _stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM interrupts like Ctrl-C; while a flow runs Prefect catches it, and hands it on."""
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: run the command line and turn errors into exit codes."""
    _quiet_prefect()
    signal.signal(signal.SIGTERM, _stop)
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
