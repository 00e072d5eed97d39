# SPDX-License-Identifier: Apache-2.0
"""The command ``report``: a page to look at, tables for other programs, a contact sheet."""

from __future__ import annotations

import sys
from typing import Annotated, cast, get_args

import typer

from flows.options import STDERR, STDOUT, Written
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.verifying.verify import check_report

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow report ~/fused                                (then open page/index.html)\n\n"
    "  bracketflow report ~/fused --out ~/for-anna               (a folder to hand on)\n\n"
    "  bracketflow report ~/fused --compare ~/fused-mertens\n\n"
    "  bracketflow report ~/fused --export report.csv\n\n"
    "  bracketflow report ~/fused --export md > report.md\n\n"
    "  bracketflow report ~/fused --contact-sheet sheet.pdf\n\n"
    "With --export or --contact-sheet alone no page is made."
)
def report(
    destination: Written,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder of the page. page/ of the destination by default, which shows the "
            "pictures where they lie; elsewhere they are copied, so that the folder can be "
            "handed on.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Only this run's rows, by its id.", show_default=False)
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Another destination, or a run of this one by its id, to compare with: the same "
            "brackets, differences, wins and losses.",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="csv|md|FILE",
            help="Write the rows as CSV (all columns) or Markdown (the main ones): a file that "
            "ends in .csv or .md, or csv or md alone for stdout.",
            show_default=False,
        ),
    ] = None,
    contact_sheet: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the previews with names and scores as one .jpg or a .pdf.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a page to look at, out of what the runs of a destination left behind."""
    destination = storage.absolute(destination)
    check_report(destination)
    if run is not None:
        from pipeline.report.gathering import check_run

        check_run(destination, run)
    if export is not None:
        _export(destination, export, run)
    if contact_sheet is not None:
        from pipeline.report.contact_sheet import write_contact_sheet

        count = write_contact_sheet(destination, storage.absolute(contact_sheet), run_id=run)
        _tell(f"{count:,} results on {contact_sheet}")
    if (export is None and contact_sheet is None) or out is not None or compare is not None:
        from pipeline.report.gathering import gather
        from pipeline.report.page import write_page

        gathered = gather(destination, run_id=run, other=compare)
        for note in gathered.notes:
            _tell(note)
        uri = write_page(gathered, None if out is None else storage.absolute(out))
        STDOUT.print(uri, markup=False, highlight=False, soft_wrap=True)


def _export(destination: str, wanted: str, run: str | None) -> None:
    from pipeline.report.exporting import ExportFormat, export

    ending = wanted.rpartition(".")[2].lower()
    if ending not in get_args(ExportFormat):
        raise UsageError(
            "option-invalid", f"--export {wanted} must be csv or md, or a file that ends so."
        )
    parts = export(destination, cast(ExportFormat, ending), run_id=run)
    if "." not in wanted:
        for part in parts:
            sys.stdout.write(part)
        return
    with storage.open_atomic(storage.absolute(wanted)) as handle:
        for part in parts:
            handle.write(part.encode("utf-8"))
    _tell(f"written to {wanted}")


def _tell(line: str) -> None:
    # Not to stdout: that may be a table on its way into a file.
    STDERR.print(line, markup=False, highlight=False, soft_wrap=True)
