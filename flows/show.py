# SPDX-License-Identifier: Apache-2.0
"""What the command line prints: tables of what a flow returned."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline import storage
from pipeline.errors import CODES

if TYPE_CHECKING:
    from flows.doctor import Finding
    from pipeline.archive.scan import ScanSummary
    from pipeline.estimates import Estimate
    from pipeline.runs import Outcome

__all__ = ["estimate_table", "findings_table", "outcome_table", "scan_table"]


def _pairs(title: str, rows: Sequence[tuple[str, str]]) -> Group:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return Group(Text(title, style="italic"), table)


def _skipped(fused: str, count: int) -> str:
    if not count:
        return ""
    return " (singles: no other exposure)" if fused == "fused" else " (no result for them)"


def outcome_table(outcome: Outcome, *, fused: str = "fused") -> Group:
    """Counts, the mean score, why brackets failed, and where to look."""
    counts = outcome.counts
    mean = outcome.mean_mef_ssim
    rows = [
        ("found", f"{counts.found:,}"),
        (fused, f"{counts.fused:,}"),
        ("reused", f"{counts.reused:,}"),
        ("skipped", f"{counts.skipped:,}{_skipped(fused, counts.skipped)}"),
        ("quarantined", f"{counts.quarantined:,}"),
        ("mean MEF-SSIM", "- (nothing new)" if mean is None else f"{mean:.4f} (this run's)"),
    ]
    parts: list[Group | Text] = [_pairs(f"Run {outcome.run_id}", rows)]
    if counts.codes:
        failures = [
            (f"{code} x{n}", escape(CODES[code])) for code, n in sorted(counts.codes.items())
        ]
        parts.append(_pairs("\nFailures", failures))
    report = storage.join(outcome.destination, "report")
    where = [
        ("results", storage.join(outcome.destination, "results")),
        ("report", report),
        ("manifest", outcome.manifest_uri),
    ]
    if fused != "fused":
        where = where[1:]
    if not counts.fused + counts.reused + counts.quarantined:
        hint = (
            "--layout auto, or look at the reasons in the catalog"
            if fused == "fused"
            else "`bracketflow score --help` on how results are found"
        )
        parts.append(Text(f"\nNothing was {fused}: see {hint}.", style="yellow"))
    parts.append(Text("\nWhere", style="italic"))
    # Plain lines: a path that a table broke in two could not be copied.
    parts += [Text(f"{name:<10}{uri}", no_wrap=True) for name, uri in where]
    snippet = (
        "from pipeline.ledger import read_report; "
        f"print(read_report({outcome.destination!r}).select(['status', 'mef_ssim', 'result_uri'])"
        ".to_pandas().to_string())"
    )
    plain = shlex.quote(outcome.destination) == outcome.destination
    quoted = f'"{snippet}"' if plain else shlex.quote(snippet)
    parts.append(Text("\nOpen the report", style="italic"))
    parts.append(Text(f"{shlex.quote(sys.executable)} -c {quoted}", no_wrap=True))
    return Group(*parts)


def scan_table(summary: ScanSummary) -> Group:
    """What a scan found."""
    rows = [
        ("brackets", f"{summary.brackets:,}"),
        ("frames in brackets", f"{summary.frames:,}"),
        ("singles", f"{summary.singles:,}"),
        ("unreadable", f"{summary.unreadable:,}"),
        ("RAW+JPEG twins", f"{summary.twins:,}"),
        ("labels", f"{summary.labels:,}"),
    ]
    rows += [
        (f"  layout {name}", f"{n:,} brackets") for name, n in sorted(summary.by_layout.items())
    ]
    rows += [
        (f"  left alone {escape(ending or 'without ending')}", f"{n:,} files")
        for ending, n in sorted(summary.ignored.items())
    ]
    return _pairs("Scan", rows)


def estimate_table(estimate: Estimate) -> Group:
    """What a run would do and take."""
    rows = [
        ("brackets", f"{estimate.brackets:,}"),
        ("  to fuse", f"{estimate.to_fuse:,}"),
        ("  standing already", f"{estimate.reused:,}"),
        ("singles, skipped", f"{estimate.singles:,}"),
        ("unreadable", f"{estimate.unreadable:,}"),
        ("megapixels to read", f"{estimate.megapixels_in:,.1f}"),
        ("disk for the results", f"about {estimate.result_bytes / 1e6:,.1f} MB"),
        (
            "free at the destination",
            f"{estimate.free_bytes / 1e9:,.1f} GB"
            if estimate.free_bytes is not None
            else "unknown",
        ),
        (
            "time",
            f"about {estimate.seconds / 60:,.1f} min ({escape(estimate.basis)}), and 20 s to start",
        ),
    ]
    return _pairs("Dry run: nothing was written", rows)


def findings_table(findings: Sequence[Finding]) -> Table:
    """What the doctor found, with the cure beside it."""
    marks = {"good": "[green]ok[/green]", "fair": "[yellow]mind[/yellow]", "bad": "[red]bad[/red]"}
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "cure"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        table.add_row(
            marks[finding.level], finding.what, escape(finding.found), escape(finding.cure)
        )
    return table
