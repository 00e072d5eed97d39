# SPDX-License-Identifier: Apache-2.0
"""The command that keeps one machine on a schedule: ``serve``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flows.options import (
    STDERR,
    Align,
    BracketTimeout,
    Destination,
    DeviceChoice,
    Layout,
    MaxFailures,
    Memory,
    Model,
    Settle,
    Source,
    Threads,
    Twins,
    Workers,
    pool_options,
    scan_options,
)
from pipeline import storage
from pipeline.archive.find import check_source
from pipeline.errors import UsageError
from pipeline.images.writing import BITS, OutputFormat
from pipeline.models import find_model
from pipeline.planning import check_destination
from pipeline.runs import FailureBudget
from pipeline.settings import FuseSettings

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow serve /photos /fused                         (each night at two)\n\n"
    "  bracketflow serve /photos /fused --cron '*/30 * * * *' --no-verify --format png\n\n"
    "Stop it with Ctrl-C: the bracket at hand is finished, and the next start goes on from there. "
    "Schedules of clusters are in prefect.yaml, see infra/README.md."
)
def serve(
    source: Source,
    destination: Destination,
    cron: Annotated[
        str, typer.Option(help="When to fuse: minute, hour, day, month, weekday.")
    ] = "0 2 * * *",
    verify: Annotated[bool, typer.Option(help="Check the destination now and then.")] = True,
    verify_cron: Annotated[str, typer.Option(help="When to check it.")] = "0 6 * * 0",
    timezone: Annotated[
        str | None,
        typer.Option(help="Of these times, as Europe/Berlin; the machine's own by default."),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="Of Prefect's server on 127.0.0.1, where none is configured."
        ),
    ] = 4200,
    model: Model = FuseSettings.model,
    align: Align = "auto",
    format: Annotated[  # noqa: A002 - the word users know
        OutputFormat, typer.Option(help="Container of the results.")
    ] = FuseSettings.format,
    layout: Layout = "auto",
    twins: Twins = "jpeg",
    settle: Settle = "10m",
    workers: Workers = None,
    device: DeviceChoice = "auto",
    threads: Threads = None,
    bracket_timeout: BracketTimeout = "30m",
    memory: Memory = None,
    max_failures: MaxFailures = "10%",
) -> None:
    """Fuse what is new on a schedule, and check what stands, until somebody stops it."""
    FailureBudget.parse(max_failures)
    settings = FuseSettings(model=model, align=align, format=format, bits=BITS[format][0])
    source, destination = storage.absolute(source), storage.absolute(destination)
    check_source(source)
    check_destination(source, destination)
    settings.check(find_model(settings.model).card, None)
    pool = pool_options(
        bracket_timeout, memory, workers=workers, device=device, threads_per_worker=threads
    )
    options = scan_options(layout, twins, settle)
    # Here nobody looks at a bar: what the runs say goes to their logs in Prefect.
    if os.environ.get("PREFECT_LOGGING_LEVEL") == "CRITICAL":
        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
    from flows.serve import ServePlan, serve_archive

    plan = ServePlan(
        source=source,
        destination=destination,
        cron=cron,
        verify_cron=verify_cron if verify else None,
        timezone=timezone,
        settings=settings,
        options=options,
        pool=pool,
        max_failures=max_failures,
        port=port,
    )
    try:
        serve_archive(plan)
    except ValueError as error:  # Prefect's words for a cron that is none
        raise UsageError("option-invalid", f"--cron or --timezone: {error}") from error
    STDERR.print("Stopped. The schedules stay: the same command goes on with them.")
