# SPDX-License-Identifier: Apache-2.0
"""The report for other programs and for people: CSV of all columns, Markdown of the main ones.

Both are made a portion at a time, whatever the size of the report.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from pipeline.csv_cells import csv_cell
from pipeline.report.figures import FIGURE_COLUMNS, Figures, figures_of
from pipeline.report.newest import NewestRows, newest_rows
from pipeline.report.rows_js import first_path
from pipeline.report.schema import SCHEMA, Row

__all__ = ["ExportFormat", "export", "plain_markdown"]

ExportFormat = Literal["csv", "md"]

_MARKDOWN = frozenset("\\`*_{}[]<>()#+!|&~$")
"""Letters that mean something in Markdown."""
_MAIN = (
    "bracket_id",
    "status",
    "frame_paths",
    "frame_count",
    "model",
    "camera",
    "mef_ssim",
    "mef_ssim_preview",
    "result_path",
    "error_code",
    "error_message",
)


def export(destination: str, format_: ExportFormat, *, run_id: str | None = None) -> Iterator[str]:
    """The newest row of every bracket as text, some lines at a time.

    Args:
        destination: the folder or URI that ``fuse`` wrote to.
        format_: ``csv`` has all columns; lists of texts are one cell, a line each, other lists
            JSON, and text that begins like a formula gets an apostrophe in front. ``md`` has a
            summary and a table of the main columns.
        run_id: only this run's rows.

    Raises:
        InfrastructureError: the storage fails.
    """
    rows = newest_rows(destination, run_id=run_id)
    return _csv(rows) if format_ == "csv" else _markdown(rows, destination)


def _csv(rows: NewestRows) -> Iterator[str]:
    yield _line(SCHEMA.names)
    for table in rows.tables(SCHEMA.names):
        for row in table.to_pylist():
            yield _line([csv_cell(value) for value in row.values()])


def _line(cells: list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _markdown(rows: NewestRows, destination: str) -> Iterator[str]:
    figures = figures_of(rows.tables(FIGURE_COLUMNS))
    yield f"# Report of {plain_markdown(destination)}\n\n"
    yield from _summary(figures)
    yield "\n| bracket | status | MEF-SSIM | frames | model | camera | result or reason |\n"
    yield "| --- | --- | ---: | ---: | --- | --- | --- |\n"
    for table in rows.tables(_MAIN):
        for row in table.to_pylist():
            yield f"| {' | '.join(_cells(row))} |\n"


def _summary(figures: Figures) -> Iterator[str]:
    yield "| what | count |\n| --- | ---: |\n"
    for status, count in figures.counts("status").items():
        yield f"| {plain_markdown(status)} | {count:,} |\n"
    for code, count in figures.counts("error_code").items():
        yield f"| {plain_markdown(code)} | {count:,} |\n"
    scores = figures.score[np.isfinite(figures.score)]
    if len(scores):
        yield f"| median MEF-SSIM | {np.median(scores):.4f} |\n"
        yield f"| mean MEF-SSIM | {scores.mean():.4f} |\n"


def _cells(row: Row) -> Iterator[str]:
    score = row["mef_ssim"] if row["mef_ssim"] is not None else row["mef_ssim_preview"]
    reason = " ".join(one for one in (row["error_code"], row["error_message"]) if one)
    yield plain_markdown(first_path(row))
    yield plain_markdown(row["status"])
    yield "" if score is None else f"{score:.4f}"
    yield str(row["frame_count"] or "")
    yield plain_markdown(row["model"])
    yield plain_markdown(row["camera"])
    yield plain_markdown(row["result_path"] or reason)


def plain_markdown(text: Any) -> str:
    """Text that Markdown shows as it is, in one line."""
    if text is None:
        return ""
    return "".join(
        f"\\{letter}" if letter in _MARKDOWN else letter if letter.isprintable() else " "
        for letter in str(text)
    )
