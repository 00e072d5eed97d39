# SPDX-License-Identifier: Apache-2.0
"""A study for people to read: ``OUT/table.md``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.measures import Figure, Rival
from pipeline.robustness import PLAIN
from pipeline.study import Study
from pipeline.study_table import WINS

__all__ = ["study_report"]

Rows = Sequence[Mapping[str, Any]]


def study_report(study: Study, rows: Rows) -> str:
    """The Markdown of a study.

    Args:
        study: the study.
        rows: of ``table.parquet``.
    """
    done = [row for row in rows if row["figure"] is not None]
    failed = [row for row in rows if row["figure"] is None]
    parts = [f"# {study.name}", f"{study.summary}.", _facts(study, done, failed)]
    places = list(dict.fromkeys((row["condition"], row["against"]) for row in done))
    if len(places) > 1:
        heading = f"## {_headline(study).title} under all conditions"
        parts += [heading, _overview(study, done, failed, places)]
    for place in places:
        here = [row for row in done if (row["condition"], row["against"]) == place]
        if len(places) > 1:
            parts.append(f"## {_title(study, place)}")
        parts += [_measured(here), _table(study, here, failed), *_gaps(study, here)]
    measured = {condition for condition, _ in places}
    missing = [c.name for c in study.measured if places and c.name not in measured]
    if missing:
        parts.append(
            f"Not measured: {', '.join(missing)}; no validation patch has known exposures."
        )
    if failed:
        parts.append("## Failed")
        parts.append(
            "\n".join(
                f"- {row['variant']}, seed {row['seed']}: `{row['error_code']}`. "
                f"{row['error_message']}"
                for row in failed
            )
        )
    rival = _yardstick(study, done)
    ahead = (
        f"; ahead: patches whose {_headline(study).title} is above that of {rival.title}"
        if rival
        else ""
    )
    parts.append(
        f"**Bold**: the best mean. {study.measures.about}{ahead}. Figures of the best weights of "
        "each training by validation, on the patches by which these were chosen."
    )
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class _Cell:
    """A figure over the seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def variance(self) -> float:
        """Over at least two seeds."""
        return statistics.variance(self.values)

    def text(self, digits: int) -> str:
        if not self.values:
            return ""
        spread = f" ± {statistics.stdev(self.values):.{digits}f}" if len(self.values) > 1 else ""
        return f"{self.mean:.{digits}f}{spread}"


def _headline(study: Study) -> Figure:
    return study.measures.figures[0]


def _there(study: Study, rows: Rows) -> list[Rival]:
    """The rivals that were measured."""
    known = {row["figure"] for row in rows}
    headline = _headline(study).name
    return [rival for rival in study.measures.rivals if f"{headline}_{rival.name}" in known]


def _yardstick(study: Study, rows: Rows) -> Rival | None:
    """The one to be beaten."""
    return next(reversed(_there(study, rows)), None)


def _gaps(study: Study, rows: Rows) -> list[str]:
    """How far each variant's headline is from the baseline's, where the study has one; with
    several seeds also whether that is more than chance."""
    if not study.baseline:
        return []
    headline = _headline(study)
    base = _cell(rows, study.baseline, headline.name)
    lines = []
    for variant in study.variants:
        own = _cell(rows, variant, headline.name)
        if variant == study.baseline or not own.values or not base.values:
            continue
        gap = own.mean - base.mean
        line = [variant, f"{gap:+.{headline.digits}f}"]
        if min(len(own.values), len(base.values)) > 1:
            deviation = math.sqrt((own.variance + base.variance) / 2)
            verdict = "none" if abs(gap) < deviation else "lower" if gap < 0 else "higher"
            line += [f"{deviation:.{headline.digits}f}", verdict]
        else:
            line += ["", "one seed tells nothing"]
        lines.append(line)
    if not lines:
        return []
    heads = ["variant", f"{headline.title} against {study.baseline}", "deviation", "difference"]
    text = (
        "Deviation: over the seeds, of both variants together (root of the mean variance); a gap "
        "below it counts as none."
    )
    return [_markdown(heads, lines), text]


def _cell(rows: Rows, variant: str, figure: str) -> _Cell:
    return _Cell(
        tuple(r["value"] for r in rows if r["variant"] == variant and r["figure"] == figure)
    )


def _facts(study: Study, done: Rows, failed: Rows) -> str:
    base = study.base
    settings, data = base.training, base.data
    seeds = sorted({row["seed"] for row in [*done, *failed]})
    times = {(row["variant"], row["seed"]): row["seconds"] for row in done}
    width = base.network.get("width", base.network.get("widths"))
    crop = "" if data.crop_px is None else f", cropped to {data.crop_px} px"
    low, high = data.frames
    lines = [
        f"Recipe `{base.name}`: network {base.network['name']}"
        + ("" if width is None else f", width {width}")
        + f"; loss {base.loss['name']} where a variant has no other",
        f"{settings.steps} steps of {settings.batch} patches of {data.shard.patch_px} px{crop}; "
        + (f"{low} frames" if low == high else f"{low} to {high} frames"),
        f"Seeds {', '.join(map(str, seeds))}"
        + ("; mean ± standard deviation over the seeds" if len(seeds) > 1 else ""),
    ]
    if done:
        devices = sorted({f"{row['device']}, {row['workers']} worker(s)" for row in done})
        lines.append(
            f"Trained on {'; '.join(devices)}: {len(times)} training(s) in "
            f"{sum(times.values()):.0f} s, {statistics.fmean(times.values()):.0f} s each"
        )
    if study.overrides:
        changes = ", ".join(f"`{key} = {value}`" for key, value in study.overrides.items())
        lines.append(f"For all variants: {changes}")
    return "\n".join(f"- {line}" for line in lines)


def _title(study: Study, place: tuple[str, str]) -> str:
    name, against = place
    condition = next(c for c in study.measured if c.name == name)
    if condition == PLAIN:
        return "plain: the patches as they are"
    what = []
    if condition.stops is not None:
        what.append(f"the two frames whose exposures lie nearest to {condition.stops:g} EV apart")
    if condition.noise:
        what.append(
            f"noise of {condition.noise:g} of 255 in the darkest frame, measured against the "
            f"{against} frames"
        )
    return f"{name}: {'; '.join(what)}"


def _measured(rows: Rows) -> str:
    row = rows[0]
    text = f"{row['patches']} validation patches"
    if row["stops_mean"] is None:
        return f"{text}, exposures unknown."
    low, mean, high = (row[f"stops_{name}"] for name in ("min", "mean", "max"))
    apart = f"{mean:.2f} stops apart"
    if high - low >= 0.005:
        apart += f" on average ({low:.2f} to {high:.2f})"
    return f"{text}; where exposures are known, the outermost frames lie {apart}."


def _table(study: Study, rows: Rows, failed: Rows) -> str:
    figures, headline = study.measures.figures, _headline(study)
    rival = _yardstick(study, rows)
    digits_of = {figure.name: figure.digits for figure in figures}
    higher = [figure.name for figure in figures if figure.better == "higher"]
    if rival is not None:
        digits_of[WINS] = 1
        higher.append(WINS)
    cells = {name: {v: _cell(rows, v, name) for v in study.variants} for name in digits_of}
    best = {name: _best(cells[name], digits_of[name]) for name in higher}
    codes = {row["variant"]: row["error_code"] for row in failed}
    patches = rows[0]["patches"]
    lines = []
    for variant in study.variants:
        own = [r for r in rows if r["variant"] == variant and r["figure"] == headline.name]
        if not own:
            if variant in codes:
                lines.append([variant, f"failed: `{codes[variant]}`", *[""] * (len(digits_of) + 1)])
            continue
        line = [variant]
        for name, digits in digits_of.items():
            digits = digits if name != WINS or len(own) > 1 else 0
            text = cells[name][variant].text(digits)
            text += f" of {patches}" if name == WINS else ""
            line.append(f"**{text}**" if variant in best.get(name, ()) else text)
        line.append(", ".join(str(row["best_step"]) for row in own))
        line.append(f"{statistics.fmean(row['seconds'] for row in own):.0f}")
        lines.append(line)
    for other in _there(study, rows):
        line = [other.title]
        for figure in figures:
            level = _level(rows, figure, other)
            line.append("" if level is None else f"{level:.{figure.digits}f}")
        lines.append([*line, *[""] * (len(digits_of) - len(figures) + 2)])
    heads = ["variant", *(figure.title for figure in figures)]
    heads += [] if rival is None else [f"ahead of {rival.title}"]
    return _markdown([*heads, "best step", "s"], lines)


def _overview(study: Study, rows: Rows, failed: Rows, places: Sequence[tuple[str, str]]) -> str:
    tried = {row["variant"] for row in [*rows, *failed]}
    headline = _headline(study)
    lines = {variant: [variant] for variant in study.variants if variant in tried}
    rivals = {rival: [rival.title] for rival in _there(study, rows)}
    for place in places:
        here = [row for row in rows if (row["condition"], row["against"]) == place]
        cells = {variant: _cell(here, variant, headline.name) for variant in lines}
        best = _best(cells, headline.digits)
        for variant, cell in cells.items():
            text = cell.text(headline.digits) if cell.values else "failed"
            lines[variant].append(f"**{text}**" if variant in best else text)
        for rival, line in rivals.items():
            level = _level(here, headline, rival)
            line.append("" if level is None else f"{level:.{headline.digits}f}")
    noisy = {name for name, against in places if against == "noisy"}
    heads = [f"{name}, against {against}" if name in noisy else name for name, against in places]
    return _markdown(["variant", *heads], [*lines.values(), *rivals.values()])


def _level(rows: Rows, figure: Figure, rival: Rival) -> float | None:
    """A rival's figure: the same for every variant and seed, as the patches are."""
    name = f"{figure.name}_{rival.name}"
    if rival.zero == figure.name:
        return 0.0
    return next((float(r["value"]) for r in rows if r["figure"] == name), None)


def _best(cells: Mapping[str, _Cell], digits: int) -> tuple[str, ...]:
    """The variants whose mean, as it is shown, is the highest; none if all are the same."""
    means = {variant: round(cell.mean, digits) for variant, cell in cells.items() if cell.values}
    if len(set(means.values())) < 2:
        return ()
    return tuple(variant for variant, mean in means.items() if mean == max(means.values()))


def _markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(heads) - 1)]
    # A variant may have any name.
    safe = [[cell.replace("|", "\\|") for cell in line] for line in (heads, rule, *lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in safe)
