# SPDX-License-Identifier: Apache-2.0
"""The commands that look after a destination: ``verify`` and ``compact``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows import show_state
from flows.options import STDOUT, Written
from pipeline import storage
from pipeline.verifying.verify import check_report

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow verify ~/fused\n\n"
    "  bracketflow verify s3://bucket/fused --deep --out findings.parquet\n\n"
    "  bracketflow verify ~/fused --repair && bracketflow fuse ~/Pictures ~/fused\n\n"
    "Ends with 0 if all is well, with 1 if something was found that still needs you. Runs that "
    "were stopped are mentioned, but no fault."
)
def verify(
    destination: Written,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Decode every result whole, not only its hash and header."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Move damaged results to set-aside/, so that the next `fuse` makes them again, "
            "and remove leftovers of our own. What others put or changed there is never touched.",
        ),
    ] = False,
    out: Annotated[
        str | None, typer.Option(help="Parquet file that gets all findings.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Counts and the first 10,000 findings, as JSON.")
    ] = False,
) -> None:
    """Check every row of the report against its file, and find files without a row."""
    from flows.server import ready_server
    from flows.verify import verify_archive

    destination = storage.absolute(destination)
    check_report(destination)
    ready_server()
    verdict = verify_archive(destination, deep, repair, out)
    if as_json:
        typer.echo(json.dumps(asdict(verdict) | {"clean": verdict.clean}, indent=2))
    else:
        STDOUT.print(show_state.verdict_table(verdict), soft_wrap=True, highlight=False)
    if not verdict.clean:
        raise typer.Exit(1)


@app.command(
    epilog="Example:\n\n  bracketflow compact ~/fused\n\n"
    "Runs leave a small file for every 20 seconds of work; reading the report gets slow when there "
    "are many thousands. The rows stay as they are, the history too."
)
def compact(destination: Written) -> None:
    """Merge the report's many small files of finished runs into one."""
    from pipeline.compaction import compact as merge

    destination = storage.absolute(destination)
    check_report(destination)
    merged = merge(destination)
    STDOUT.print(
        f"{merged:,} files became one." if merged else "Nothing to merge: the report is compact.",
        highlight=False,
    )
