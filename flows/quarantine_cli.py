# SPDX-License-Identifier: Apache-2.0
"""The commands about what failed: ``quarantine list`` and ``quarantine retry``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows import show_state
from flows.options import STDOUT, DeviceChoice, MaxFailures, Threads, Workers, Written, finish
from pipeline import storage
from pipeline.pool import PoolOptions
from pipeline.quarantine import (
    code_counts,
    failures,
    last_fuse_run,
    quarantine_table,
    write_quarantine,
)
from pipeline.runs import FailureBudget
from pipeline.verifying.verify import check_report

__all__ = ["app"]

app = typer.Typer()
quarantine = typer.Typer(
    no_args_is_help=True,
    help="Show what failed, and try it again.",
    epilog="Examples:\n\n  bracketflow quarantine list ~/fused\n\n"
    "  bracketflow quarantine retry ~/fused",
)
app.add_typer(quarantine, name="quarantine")


@quarantine.command(
    "list",
    epilog="Examples:\n\n"
    "  bracketflow quarantine list ~/fused\n\n"
    "  bracketflow quarantine list ~/fused --code decode-truncated --out broken.csv\n\n"
    "The codes and what they stand for: pipeline/errors.py.",
)
def list_failures(
    destination: Written,
    code: Annotated[
        str | None,
        typer.Option(help="Only what failed with this code.", show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="File that gets the whole table, .parquet or .csv; names that begin like a "
            "formula are made harmless in CSV.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
) -> None:
    """List the brackets that failed, with stage, code and the cure."""
    destination = storage.absolute(destination)
    check_report(destination)
    table = quarantine_table(destination, code=code)
    if out is not None:
        write_quarantine(table, storage.absolute(out))
    failed, counts = failures(table), code_counts(table)
    if as_json:
        text = {"counts": counts, "quarantined": [asdict(one) for one in failed]}
        typer.echo(json.dumps(text, indent=2))
    else:
        STDOUT.print(show_state.quarantine_table(failed, counts), highlight=False)


@quarantine.command(
    epilog="Examples:\n\n"
    "  bracketflow quarantine retry ~/fused\n\n"
    "Takes source and settings from the last run's manifest; photographs that are new are fused "
    "as well. What did not change and is no better will fail again."
)
def retry(
    destination: Written,
    workers: Workers = None,
    device: DeviceChoice = "auto",
    threads: Threads = None,
    max_failures: MaxFailures = "10%",
) -> None:
    """Run the last `fuse` of a destination again, with what failed in it."""
    from flows.quarantine import retry_quarantined
    from flows.server import ready_server

    budget = FailureBudget.parse(max_failures)
    destination = storage.absolute(destination)
    check_report(destination)
    last_fuse_run(destination)  # before anything starts
    pool = PoolOptions(workers=workers, device=device, threads_per_worker=threads)
    ready_server()
    outcome, retried = retry_quarantined(destination, pool)
    STDOUT.print(show_state.retried_table(retried))
    finish(outcome, budget)
