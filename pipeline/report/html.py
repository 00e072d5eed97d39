# SPDX-License-Identifier: Apache-2.0
"""``index.html``: what there is to read without a script, through a template that escapes all."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import CODES
from pipeline.report.comparing import TIE, Comparison
from pipeline.report.gathering import Gathered, moment, seconds_of
from pipeline.report.plots import Plot
from pipeline.report.rows_js import PICTURES, first_path
from pipeline.report.schema import Row

__all__ = ["duration", "page_html"]

_SHELF = 12  # best and worst brackets with their pictures
_CHANGES = 6  # likewise of the largest losses and gains
_RUNS = 10
_FAILURES = 50  # of a code, in full
_COUNTS = ("found", "fused", "reused", "skipped", "quarantined")


def page_html(
    gathered: Gathered,
    plots: Sequence[Plot],
    pictures: Sequence[int],
    *,
    made: str,
    previews: str,
) -> str:
    """The whole document.

    Args:
        gathered: what the page shows.
        plots: in their order.
        pictures: of each row, which small pictures there are.
        made: the folder of scripts and plots, as seen from the page.
        previews: that of the small pictures.
    """
    manifest = gathered.manifest or {}
    shelves = [
        *_changes(gathered, pictures, previews),
        *_shelves(gathered, pictures, previews),
    ]
    failures = list(_failures(gathered))
    source = posixpath.basename(str(manifest.get("source") or "").rstrip("/"))
    name = source or posixpath.basename(gathered.destination.rstrip("/")) or "report"
    comparison = gathered.comparison
    sections = [
        ("summary", "Summary"),
        *([("figures", "Figures")] if plots else []),
        *([("comparison", "Comparison")] if comparison else []),
        *((shelf["name"], shelf["title"]) for shelf in shelves),
        *([("failures", "In quarantine")] if failures else []),
        ("all", "Brackets"),
    ]
    return _TEMPLATE.render(
        title=name if gathered.run_id is None else f"{name}, run {gathered.run_id}",
        destination=gathered.destination,
        version=metadata.version("bracketflow"),
        made=made,
        made_at=_day(gathered.made_at),
        sections=sections,
        notes=gathered.notes,
        tiles=list(_tiles(gathered)),
        runs=[_run(one) for one in _listed(gathered)],
        plots=plots,
        comparison=None if comparison is None else _compared(comparison),
        shelves=shelves,
        failures=failures,
        shown=len(gathered.rows),
        total=gathered.total,
        revision=str(manifest.get("git_revision") or "")[:12],
        versions=list(_versions(manifest)),
    )


def duration(seconds: float | None) -> str:
    """A time span as one reads it: 8.4 s, 12 min 5 s, 7 h 20 min."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _tile(name: str, value: str, note: str = "", kind: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "note": note, "kind": kind}


def _tiles(gathered: Gathered) -> Iterator[dict[str, str]]:
    figures, manifest = gathered.figures, gathered.manifest
    by_status = figures.counts("status")
    fused, failed = by_status.get("fused", 0), by_status.get("quarantined", 0)
    yield _tile("in the report", f"{gathered.total:,}", "brackets and singles")
    yield _tile("fused", f"{fused:,}", kind="good" if fused else "")
    yield _tile("in quarantine", f"{failed:,}", kind="bad" if failed else "")
    yield _tile("skipped", f"{by_status.get('skipped', 0):,}", "mostly singles")
    scores = figures.score[np.isfinite(figures.score)]
    if len(scores):
        low = f"5 % below {np.percentile(scores, 5):.4f}"
        yield _tile("median MEF-SSIM", f"{np.median(scores):.4f}", low)
    models = figures.counts("model")
    if models:
        first, *others = models
        yield _tile("model", first, f"and {', '.join(others[:3])}" if others else "")
    if manifest is not None:
        counts = manifest.get("counts") or {}
        done = ", ".join(f"{counts.get(name, 0):,} {name}" for name in ("fused", "reused"))
        yield _tile(
            "last run" if gathered.run_id is None else "run", duration(gathered.seconds), done
        )
    rate = gathered.megapixels_per_second
    if rate is not None:
        yield _tile("speed", f"{rate:,.1f} MP/s", "of all frames, start included")


def _listed(gathered: Gathered) -> list[Mapping[str, Any]]:
    if gathered.run_id is not None:
        return [gathered.manifest] if gathered.manifest else []
    return list(reversed(gathered.manifests[-_RUNS:]))


def _run(manifest: Mapping[str, Any]) -> dict[str, Any]:
    counts = manifest.get("counts") or {}
    model = manifest.get("model")
    began = moment(manifest.get("started_at"))
    return {
        "id": manifest["run_id"],
        "began": _day(began) if began else "",
        "took": duration(seconds_of(manifest)),
        "counts": [f"{counts.get(name, 0):,}" for name in _COUNTS],
        "model": model.get("name", "") if isinstance(model, dict) else "",
        "source": manifest.get("source") or "",
    }


def _shelves(
    gathered: Gathered, pictures: Sequence[int], previews: str
) -> Iterator[dict[str, Any]]:
    scores = gathered.figures.score[gathered.places]
    scored = np.flatnonzero(np.isfinite(scores))
    order: NDArray[np.int64] = scored[np.argsort(scores[scored], kind="stable")]
    size = min(_SHELF, (len(order) + 1) // 2)
    for name, title, some in (
        ("worst", "Worst brackets", order[:size]),
        ("best", "Best brackets", order[::-1][: min(size, len(order) - size)]),
    ):
        cards = [
            _card(gathered.rows[place], pictures[place], f"{scores[place]:.4f}", previews)
            for place in some.tolist()
        ]
        if cards:
            yield {"name": name, "title": title, "cards": cards}


def _changes(
    gathered: Gathered, pictures: Sequence[int], previews: str
) -> Iterator[dict[str, Any]]:
    """The largest losses and gains against the report that is compared with."""
    if gathered.comparison is None:
        return
    places = gathered.places
    deltas = gathered.figures.score[places] - gathered.comparison.other[places]
    known = np.flatnonzero(np.abs(np.nan_to_num(deltas)) >= TIE)
    order: NDArray[np.int64] = known[np.argsort(deltas[known], kind="stable")]
    losses, gains = order[deltas[order] < 0], order[deltas[order] > 0][::-1]
    for name, title, some in (("lost", "Worse here", losses), ("gained", "Better here", gains)):
        cards = [
            _card(gathered.rows[place], pictures[place], f"{deltas[place]:+.4f}", previews)
            for place in some[:_CHANGES].tolist()
        ]
        if cards:
            yield {"name": name, "title": title, "cards": cards}


def _card(row: Row, pictures: int, score: str, previews: str) -> dict[str, Any]:
    bracket_id = row["bracket_id"]
    there = pictures & PICTURES["preview"]
    return {
        "id": bracket_id,
        "path": first_path(row),
        "score": score,
        "picture": f"{previews}/{bracket_id[:2]}/{bracket_id}.jpg" if there else None,
    }


def _failures(gathered: Gathered) -> Iterator[dict[str, Any]]:
    some: dict[str, list[dict[str, str]]] = {}
    for row in gathered.rows:
        if row["status"] == "quarantined":
            shown = some.setdefault(row["error_code"] or "", [])
            if len(shown) < _FAILURES:
                message = row["error_message"] or ""
                shown.append({"id": row["bracket_id"], "path": first_path(row), "message": message})
    for code, count in gathered.figures.counts("error_code").items():
        if code in some:
            more = count - len(some[code])
            yield {
                "code": code,
                "count": f"{count:,}",
                "meaning": CODES.get(code, ""),
                "some": some[code],
                "more": f"{more:,}" if more > 0 else "",
            }


def _compared(comparison: Comparison) -> dict[str, Any]:
    common = max(comparison.common, 1)
    wins, ties, losses = (
        100 * count / common for count in (comparison.wins, comparison.ties, comparison.losses)
    )
    signed = "{:+.4f}".format
    tiles = [
        _tile("brackets in common", f"{comparison.common:,}", "with a score in both"),
        _tile("better here", f"{comparison.wins:,}", f"{wins:.1f} %", "good" * bool(wins)),
        _tile("equal", f"{comparison.ties:,}", "within 0.0001"),
        _tile("worse here", f"{comparison.losses:,}", f"{losses:.1f} %", "bad" * bool(losses)),
        _tile("mean change", "–" if comparison.mean is None else signed(comparison.mean)),
        _tile("median change", "–" if comparison.median is None else signed(comparison.median)),
        _tile("only here", f"{comparison.only_here:,}"),
        _tile("only there", f"{comparison.only_there:,}", ", ".join(list(comparison.models)[:4])),
    ]
    return {
        "label": comparison.label,
        "common": comparison.common,
        "tiles": tiles,
        "alt": f"{comparison.wins:,} better here, {comparison.ties:,} equal, "
        f"{comparison.losses:,} worse here",
        "win_share": f"{wins:.2f}",
        "tie_share": f"{ties:.2f}",
        "loss_start": f"{wins + ties:.2f}",
        "loss_share": f"{losses:.2f}",
    }


def _versions(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    versions = manifest.get("versions")
    if isinstance(versions, dict):
        yield from ((str(name), str(version)) for name, version in versions.items())
    settings = manifest.get("settings")
    if isinstance(settings, dict):
        yield "settings", json.dumps(settings, ensure_ascii=False)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M %Z").strip()


_TEMPLATE = jinja2.Environment(
    loader=jinja2.PackageLoader("pipeline.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("index.html.j2")
