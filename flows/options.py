# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common: arguments, options, where they print, how a run ends."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows import show
from flows.quantities import parse_bytes, parse_seconds
from flows.terminal import Terminal
from pipeline.archive.scan import LayoutName, ScanOptions
from pipeline.archive.twins import TwinChoice
from pipeline.pool import Device, PoolOptions
from pipeline.runs import FailureBudget, Outcome
from pipeline.settings import AlignMode, FuseAlign

__all__ = [
    "RECIPE_HELP",
    "STDERR",
    "STDOUT",
    "Align",
    "AlignToFuse",
    "BracketTimeout",
    "Destination",
    "DeviceChoice",
    "Force",
    "GpusPerWorker",
    "Grow",
    "Layout",
    "MaxFailures",
    "Memory",
    "Model",
    "RetryQuarantined",
    "Settle",
    "Source",
    "Threads",
    "Twins",
    "Workers",
    "Written",
    "finish",
    "pool_options",
    "scan_options",
]

RECIPE_HELP = "Name of a recipe that ships (`bracketflow train --list`), or a TOML file."

STDOUT = Terminal()
STDERR = Terminal(stderr=True)

Source = Annotated[
    str,
    typer.Argument(
        help="Folder or URI of the archive (s3://, gs:// with the extra), a catalog made by "
        "`scan`, or a list of brackets (CSV with columns bracket,path, or Parquet).",
        show_default=False,
    ),
]
Destination = Annotated[
    str,
    typer.Argument(
        help="Folder or URI that gets results/, report/, previews/ and catalog/; outside the "
        "source.",
        show_default=False,
    ),
]
Written = Annotated[
    str,
    typer.Argument(help="Folder or URI that `fuse` or `shard` wrote to.", show_default=False),
]
Model = Annotated[
    str,
    typer.Option(
        help="Model to fuse with, see `bracketflow models`; path or URI of a weights file of "
        "your own (.safetensors), as `bracketflow train` writes it; or auto, which chooses for "
        "each bracket by what moved in it, and says why in the report."
    ),
]
Align = Annotated[
    AlignMode,
    typer.Option(help="auto registers handheld brackets; off takes the frames as they are."),
]
AlignToFuse = Annotated[
    FuseAlign,
    typer.Option(
        help="register lays handheld brackets on each other as a whole; flow also follows what "
        "moves by itself; off takes the frames as they are. auto registers, and follows where "
        "something moved for merge (and for --model auto)."
    ),
]
Layout = Annotated[LayoutName, typer.Option(help="How the archive is laid out.")]
Twins = Annotated[TwinChoice, typer.Option(help="Of a RAW+JPEG pair, which one is used.")]
Workers = Annotated[int | None, typer.Option(help="Ray actors at work; as many as fit by default.")]
DeviceChoice = Annotated[Device, typer.Option(help="auto takes GPUs where the cluster has some.")]
GpusPerWorker = Annotated[
    float | None, typer.Option(help="Share of a GPU for each worker; 0.25 lets four share one.")
]
Grow = Annotated[
    bool,
    typer.Option(
        "--grow",
        help="The cluster starts nodes on demand: ask for all --workers, whatever it has now.",
    ),
]
MaxFailures = Annotated[
    str, typer.Option(help="Share of brackets that may fail before the exit code is 1.")
]
Threads = Annotated[int | None, typer.Option(help="Threads of each worker.")]
BracketTimeout = Annotated[
    str,
    typer.Option(
        help="How long one bracket may take (90s, 30m, 2h); then it is tried once more alone, and "
        "quarantined."
    ),
]
Settle = Annotated[
    str,
    typer.Option(
        help="Leave folders for the next run in which a file changed less than this ago (10m, 2h): "
        "they may still be on their way."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory that a worker may take (8GiB); a bracket that needs more is quarantined.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Work on every bracket again, whatever stands already.")
]
RetryQuarantined = Annotated[
    bool,
    typer.Option(
        "--retry-quarantined",
        help="Try again what failed before, though its photographs have not changed since.",
    ),
]


def finish(outcome: Outcome, budget: FailureBudget, *, fused: str = "fused") -> None:
    """Print the summary of a run and leave with its exit code."""
    STDOUT.print(show.outcome_table(outcome, fused=fused), soft_wrap=True)
    if budget.exceeded(outcome.counts):
        counts = outcome.counts
        failed = counts.quarantined - counts.failed_before
        STDERR.print(
            f"[red]{failed} of {counts.found - counts.skipped} brackets and files "
            f"failed, more than the failure budget of {budget.share:.0%} allows.[/red] See the "
            "codes above and the report.",
            soft_wrap=True,
        )
        raise typer.Exit(1)


def scan_options(layout: Layout, twins: Twins, settle: Settle) -> ScanOptions:
    """What the options of a scan say.

    Raises:
        UsageError: ``option-invalid``.
    """
    return ScanOptions(layout=layout, twins=twins, settle_s=parse_seconds("--settle", settle))


def pool_options(bracket_timeout: str, memory: str | None, **workers: Any) -> PoolOptions:
    """What the options of a run over brackets say.

    Args:
        bracket_timeout: as typed.
        memory: as typed, None for no limit.
        workers: all else of ``PoolOptions``.

    Raises:
        UsageError: ``option-invalid``.
    """
    return PoolOptions(
        bracket_timeout_s=parse_seconds("--bracket-timeout", bracket_timeout),
        memory_bytes=None if memory is None else parse_bytes("--memory", memory),
        **workers,
    )
