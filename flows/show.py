# SPDX-License-Identifier: Apache-2.0
"""What the command line prints: tables of what a flow returned."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline import storage
from pipeline.errors import CODES

if TYPE_CHECKING:
    from flows.ablate import AblationOutcome
    from flows.doctor import Finding
    from pipeline.archive.scan import ScanSummary
    from pipeline.estimates import Estimate
    from pipeline.profiling import Profile
    from pipeline.recipe import Recipe
    from pipeline.runs import Outcome
    from pipeline.study import Study
    from pipeline.training import TrainOutcome

__all__ = [
    "estimate_table",
    "findings_table",
    "outcome_table",
    "pairs",
    "profile_table",
    "scan_table",
]


_OF_RADIANCE = (
    ("mef_ssim_preview", "mean MEF-SSIM", "{:.4f} (of the tone-mapped pictures)"),
    ("ghost_share", "ghosts", "{:.2%} of the well exposed pixels in the mean"),
    ("psnr_mu_db", "mean PSNR-mu", "{:.2f} dB against ground truth"),
)
"""Mean of a column, what it is called, and its form."""


def pairs(title: str, rows: Sequence[tuple[str, str]]) -> Group:
    """A title and a line for each name and value."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return Group(Text(title, style="italic"), table)


def _skipped(fused: str, count: int) -> str:
    if not count:
        return ""
    return {
        "fused": " (singles: no other exposure)",
        "sharded": " (singles, or left out; the report says which)",
    }.get(fused, " (no result for them)")


def _failed_before(count: int) -> str:
    return f" ({count:,} of them before, and unchanged: --retry-quarantined)" if count else ""


def outcome_table(outcome: Outcome, *, fused: str = "fused") -> Group:
    """Counts, the mean score, why brackets failed, and where to look."""
    counts = outcome.counts
    mean = outcome.mean_mef_ssim
    rows = [
        ("found", f"{counts.found:,}"),
        (fused, f"{counts.fused:,}"),
        ("reused", f"{counts.reused:,}"),
        ("skipped", f"{counts.skipped:,}{_skipped(fused, counts.skipped)}"),
        ("quarantined", f"{counts.quarantined:,}{_failed_before(counts.failed_before)}"),
    ]
    rows += [
        (what, f"{n:,} ({meaning})")
        for what, n, meaning in (
            ("gone", counts.gone, "photographs not there any more; the results stay"),
            ("superseded", counts.superseded, "by a bracket with more or fewer of their frames"),
            ("pruned", counts.pruned, "photographs not there any more; the results were removed"),
        )
        if n
    ]
    if fused != "sharded":
        of_radiance = outcome.radiance_means
        if mean is not None or not of_radiance:
            shown = "- (nothing new)" if mean is None else f"{mean:.4f} (this run's)"
            rows.append(("mean MEF-SSIM", shown))
        rows += [
            (what, form.format(of_radiance[name]))
            for name, what, form in _OF_RADIANCE
            if name in of_radiance
        ]
    parts: list[Group | Text] = [pairs(f"Run {outcome.run_id}", rows)]
    if counts.codes:
        failures = [
            (f"{code} x{n}", escape(CODES[code])) for code, n in sorted(counts.codes.items())
        ]
        parts.append(pairs("\nFailures", failures))
    report = storage.join(outcome.destination, "report")
    where = [("report", report), ("manifest", outcome.manifest_uri)]
    made = {"fused": "results", "sharded": "patches"}.get(fused)
    if made:
        where.insert(0, (made, storage.join(outcome.destination, made)))
    if outcome.page_uri is not None:
        where.append(("page", outcome.page_uri))
    if not counts.fused + counts.reused + counts.quarantined:
        hint = (
            "--layout auto, or look at the reasons in the catalog"
            if made
            else "`bracketflow score --help` on how results are found"
        )
        parts.append(Text(f"\nNothing was {fused}: see {hint}.", style="yellow"))
    if outcome.page_note is not None:
        parts.append(Text(f"\n{outcome.page_note}", style="yellow"))
    parts.append(Text("\nWhere", style="italic"))
    # Plain lines: a path that a table broke in two could not be copied.
    parts += [Text(f"{name:<10}{uri}", no_wrap=True) for name, uri in where]
    columns = ["status", "notes"] if fused == "sharded" else ["status", "mef_ssim", "result_uri"]
    snippet = (
        "from pipeline.ledger import read_report; "
        f"print(read_report({outcome.destination!r}).select({columns})"
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
    if summary.unsettled:
        rows.append(("still changing, left for later", f"{summary.unsettled:,}"))
    rows += [
        (f"  layout {name}", f"{n:,} brackets") for name, n in sorted(summary.by_layout.items())
    ]
    rows += [
        (f"  left alone {escape(ending or 'without ending')}", f"{n:,} files")
        for ending, n in sorted(summary.ignored.items())
    ]
    return pairs("Scan", rows)


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
    return pairs("Dry run: nothing was written", rows)


_LAPS = {
    "scan": "scanning",
    "plan": "planning",
    "start": "starting Ray and the workers",
    "work": "working on brackets",
    "publish": "publishing, and the page",
}


def profile_table(profile: Profile) -> Group:
    """Where the time of a run went, of the driver and of its workers."""
    lines = [
        (_LAPS[name], f"{seconds:10.2f} s") for name, seconds in profile.driver.items() if seconds
    ]
    parts = [pairs("\nWhere the time went", lines)]
    steps = {**profile.steps, "waiting": profile.idle}
    total = sum(steps.values())
    if profile.visits and total:
        table = Table(box=None, pad_edge=False)
        table.add_column("step", style="bold")
        for title in ("all workers, s", "a visit, s", "share"):
            table.add_column(title, justify="right")
        for name, seconds in steps.items():
            table.add_row(
                name, f"{seconds:.2f}", f"{seconds / profile.visits:.3f}", f"{seconds / total:.0%}"
            )
        parts.append(
            Group(Text(f"\n{profile.visits:,} visits, workers: {profile.workers}", "italic"), table)
        )
    return Group(*parts)


def recipes_table(recipes: Sequence[Recipe]) -> Table:
    """The recipes that ship."""
    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "network", "loss", "steps", "what it is"):
        table.add_column(title, justify="right" if title == "steps" else "left")
    for recipe in recipes:
        table.add_row(
            recipe.name,
            escape(recipe.network["name"]),
            escape(recipe.loss["name"]),
            f"{recipe.training.steps:,}",
            escape(recipe.summary),
        )
    return table


def training_table(outcome: TrainOutcome, recipe: str, out: str) -> Group:
    """How good the best weights are, where everything is, and what to do with it."""
    best = outcome.best
    rows = [
        ("best after", f"{outcome.best_step:,} of {outcome.step:,} steps"),
        *((name, _figure(best, name)) for name in best if not name.endswith("_mertens")),
        ("time", f"{outcome.seconds / 60:,.1f} min on {outcome.device}"),
        ("workers", f"{outcome.workers}"),
    ]
    if outcome.resumed_from is not None:
        rows.append(("resumed from", f"step {outcome.resumed_from:,}"))
    if outcome.stopped == "patience":
        rows.append(("stopped", "early: no gain any more (training.patience)"))
    parts: list[Group | Text] = [pairs(f"Training {recipe}: validation patches", rows)]
    parts += [Text(note, style="yellow") for note in outcome.notes]
    parts.append(Text("\nWhere", style="italic"))
    names = ("weights.safetensors", "card.json", "curve.parquet", "pictures", "manifest.json")
    parts += [Text(storage.join(out, name), no_wrap=True) for name in names]
    quoted = shlex.quote(out)
    parts.append(Text("\nGo on", style="italic"))
    for what, command in (
        (
            "curves",
            "pip install tensorboard && tensorboard --logdir "
            f"{shlex.quote(storage.join(out, 'tensorboard'))}",
        ),
        (
            "from these weights",
            f"bracketflow train {shlex.quote(recipe)} --out {quoted}-2 --set "
            f"training.init={shlex.quote(outcome.weights_path)}",
        ),
    ):
        parts.append(Text(f"{what + ':':<20}{command}", no_wrap=True))
    return Group(*parts)


def _figure(best: Mapping[str, float], name: str) -> str:
    against = best.get(f"{name}_mertens")
    beside = "" if against is None else f" (Mertens {against:.4f})"
    unit = " of 255 levels, from Mertens" if name == "chroma_shift" else ""
    return f"{best[name]:.4f}{unit}{beside}"


def studies_table(studies: Sequence[Study]) -> Table:
    """The studies that ship."""
    table = Table(box=None, pad_edge=False)
    for title in ("study", "variants", "what it is"):
        table.add_column(title)
    for study in studies:
        table.add_row(study.name, escape(", ".join(study.variants)), escape(study.summary))
    return table


def ablation_table(outcome: AblationOutcome) -> Group:
    """The headline of each training on the patches as they are, and where everything is."""
    plain = [row for row in outcome.rows if row["condition"] == "plain"]
    rows = [
        (f"{row['variant']}, seed {row['seed']}", f"{row['value']:.4f}")
        for row in plain
        if row["figure"] == "gray_ms3"
    ]
    mertens = [row["value"] for row in plain if row["figure"] == "gray_ms3_mertens"]
    rows += [("Mertens", f"{value:.4f}") for value in mertens[:1]]
    parts: list[Group | Text] = [pairs("gray_ms3, all validation patches", rows)]
    parts.append(Text("\nWhere", style="italic"))
    where = (outcome.report_uri, outcome.table_uri, outcome.curves_uri, outcome.picture_uri)
    parts += [Text(uri, no_wrap=True) for uri in where]
    return Group(*parts)


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
