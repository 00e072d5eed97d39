# SPDX-License-Identifier: Apache-2.0
"""The command that makes brackets: ``render`` photographs linear HDR pictures."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from flows.options import STDERR, STDOUT
from pipeline import storage
from pipeline.demo.from_radiance import RenderSettings
from pipeline.demo.rendered import find_pictures
from pipeline.planning import check_destination
from pipeline.runs import Counts, FailureBudget

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow render ~/hdris ~/rendered\n\n"
    "  bracketflow render ~/hdris ~/rendered --brackets-per-picture 8 --megapixels 2 --seed 1\n\n"
    "  bracketflow fuse ~/rendered/catalog.parquet ~/fused     (compares with the truth)\n\n"
    "Running the same command again continues where it was, or does nothing."
)
def render(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder or URI with linear HDR pictures: OpenEXR (.exr) or Radiance (.hdr).",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(
            help="New folder or URI that gets archive/ (the frames), truth/ (their radiance) and "
            "catalog.parquet (both).",
            show_default=False,
        ),
    ],
    brackets_per_picture: Annotated[
        int, typer.Option(help="Views of each picture, each with its own exposures.")
    ] = RenderSettings.brackets_per_picture,
    megapixels: Annotated[
        float, typer.Option(help="Largest size of a frame.")
    ] = RenderSettings.megapixels,
    seed: Annotated[
        int, typer.Option(help="The same seed makes the same brackets.")
    ] = RenderSettings.seed,
) -> None:
    """Make brackets with exact ground truth out of linear HDR pictures."""
    settings = RenderSettings(
        brackets_per_picture=brackets_per_picture, megapixels=megapixels, seed=seed
    )
    source, out = storage.absolute(source), storage.absolute(out)
    check_destination(source, out)
    find_pictures(source)
    from flows.render import render_archive
    from flows.server import ready_server

    ready_server()
    made = render_archive(source, out, settings)
    for failure in made.failures:
        STDERR.print(
            f"[yellow]left out[/yellow] \\[{failure.code}] {escape(failure.message)}",
            highlight=False,
            soft_wrap=True,
        )
    good = made.pictures - len(made.failures)
    STDOUT.print(
        f"{made.brackets:,} brackets ({made.frames:,} frames) of {good:,} pictures"
        + (f", {made.kept:,} of them made before" if made.kept else "")
        + (f"; {len(made.failures):,} left out" if made.failures else ""),
        highlight=False,
    )
    if good:
        STDOUT.print(f"archive: {made.archive}", markup=False, soft_wrap=True)
        STDOUT.print(f"catalog: {made.catalog}", markup=False, soft_wrap=True)
    counts = Counts(found=made.pictures, fused=good, quarantined=len(made.failures))
    if not good or FailureBudget().exceeded(counts):
        raise typer.Exit(1)
