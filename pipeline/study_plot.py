# SPDX-License-Identifier: Apache-2.0
"""The validation curves of a study in one picture: ``OUT/curves.png``."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model.measures import Measures

__all__ = ["plot_curves"]

_SIZE_IN = (12.0, 4.8)
_DPI = 120
_LINES = ("-", "--", "-.", ":")
_COLORS = 10  # of matplotlib's cycle


def plot_curves(
    curves: pa.Table,
    variants: Sequence[str],
    title: str,
    *,
    measures: Measures,
    levels: Mapping[str, float],
) -> bytes:
    """A PNG with a panel for each figure that curves have and a line for each variant, the mean
    over its seeds; a thin line for each seed, if there are several; the rivals' figures, dashed.

    Args:
        curves: as ``pipeline.study_table.CURVES_SCHEMA``.
        variants: in the order of the legend.
        title: above all.
        measures: which figures and rivals there are.
        levels: figures of rivals, by their columns (``gray_ms3_mertens``).
    """
    shown = [figure for figure in measures.figures if figure.in_curve]
    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display; the figure keeps it
    figure.suptitle(title)
    panels = figure.subplots(1, len(shown))
    rows = curves.filter(pc.equal(curves["split"], "validation")).to_pylist()
    for axes, one in zip(panels, shown, strict=True):
        rivals = {
            rival.title: levels[f"{one.name}_{rival.name}"]
            for rival in measures.rivals
            if f"{one.name}_{rival.name}" in levels
        }
        _draw(axes, rows, one.in_curve, variants, rivals)
        axes.set_xlabel("steps")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(one.title)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(
    axes: Axes,
    rows: list[dict[str, Any]],
    name: str,
    variants: Sequence[str],
    rivals: Mapping[str, float],
) -> None:
    for number, (label, level) in enumerate(rivals.items()):
        dashes = _LINES[1 + number % (len(_LINES) - 1)]
        axes.axhline(level, color="black", linestyle=dashes, linewidth=1, label=label)
    seen = list(rivals.values())
    for number, variant in enumerate(variants):
        own = [row for row in rows if row["variant"] == variant and row["name"] == name]
        if not own:
            continue
        style: dict[str, Any] = {
            "color": f"C{number % _COLORS}",
            "linestyle": _LINES[number // _COLORS % len(_LINES)],
        }
        seeds = sorted({row["seed"] for row in own})
        steps = sorted({row["step"] for row in own})
        values = np.full((len(seeds), len(steps)), np.nan)
        for row in own:
            values[seeds.index(row["seed"]), steps.index(row["step"])] = row["value"]
        if len(seeds) > 1:
            for line in values:
                known = np.isfinite(line)
                axes.plot(np.array(steps)[known], line[known], linewidth=0.6, alpha=0.5, **style)
        # Where a seed failed on the way, its steps have no mean that could be compared.
        whole = np.isfinite(values).all(0)
        means = values[:, whole].mean(0)
        axes.plot(np.array(steps)[whole], means, label=variant, marker="o", markersize=3, **style)
        seen += [row["value"] for row in own if row["step"] > 0]
    if len(seen) > 1 and max(seen) > min(seen):
        # Untrained networks, at step 0, would press all the rest together.
        margin = (max(seen) - min(seen)) * 0.08
        axes.set_ylim(min(seen) - margin, max(seen) + margin)
