# SPDX-License-Identifier: Apache-2.0
"""The plots of a page: SVG pictures for a light and a dark page, and a text that says the same.

Names of cameras and models come from anybody's files: they are text, never markup or formulas, and
no letter of them that XML forbids gets into a picture.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.report.figures import STEPS, Figures

__all__ = ["Plot", "plots_of"]

_INK, _FAINT, _GRID = "#1d2430", "#5c6675", "#d5dae1"
_FILL, _LINE = "#2f6fd0", "#b4500f"
_DARK = {
    _INK: "#e8ecf2",
    _FAINT: "#a2acba",
    _GRID: "#39424f",
    _FILL: "#6ea5f7",
    _LINE: "#f0a060",
}
"""Colours on a light page, and what takes their place on a dark one."""

_WIDTH_IN = 4.8
_ROW_IN = 0.62
_GROUPS = 8
_LEAST_BINS, _MOST_BINS = 12, 60
_POINTS = 600  # drawn one by one; of more, how many there are
_LEAST_SPAN = 0.02
_LEAST_MEDIAN = 5  # results that a median is drawn of
_FONTS = re.compile(rb"font-family: [^;\"]*")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the reader's font
    "svg.hashsalt": "bracketflow",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "patch.linewidth": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot: its name as a file, its title, what it shows in words, and its two pictures."""

    name: str
    title: str
    text: str
    light: bytes
    dark: bytes


def plots_of(figures: Figures) -> list[Plot]:
    """What there is to draw; none of a report without results."""
    made: list[Plot] = []
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters that matplotlib's font lacks
        if np.isfinite(figures.score).any():
            for column, what in (("model", "model"), ("camera", "camera")):
                groups = [
                    (_label(name), scores) for name, scores in figures.groups(column, _GROUPS)
                ]
                if column == "model" or len(groups) > 1:
                    made.append(_distribution(f"scores-{column}", f"MEF-SSIM by {what}", groups))
        both = np.isfinite(figures.score) & np.isfinite(figures.range_ev)
        if both.any():
            made.append(_against_range(figures.range_ev[both], figures.score[both]))
        if np.isfinite(figures.seconds).any():
            made.append(_seconds(figures.seconds))
    return made


def _distribution(name: str, title: str, groups: Sequence[tuple[str, NDArray[np.float64]]]) -> Plot:
    figure = _figure(0.7 + _ROW_IN * max(len(groups), 3))
    axes = figure.subplots()
    everything = np.concatenate([scores for _, scores in groups])
    low, high = _limits(everything)
    bins = int(np.clip(2 * np.sqrt(len(everything)), _LEAST_BINS, _MOST_BINS))
    edges = np.linspace(low, high, bins + 1)
    for row, (_, scores) in enumerate(groups):
        heights, _ = np.histogram(np.clip(scores, low, high), edges)
        tops = -row + 0.8 * heights / max(heights.max(), 1)
        axes.stairs(tops, edges, baseline=-row, fill=True, color=_FILL)
        median = float(np.median(scores))
        axes.plot([median, median], [-row, -row + 0.85], color=_LINE, linewidth=1.6)
    axes.set_yticks(
        [-row + 0.3 for row in range(len(groups))],
        [f"{label} ({len(scores):,})" for label, scores in groups],
    )
    axes.set_xlim(low, high)
    axes.set_ylim(-len(groups) + 0.9, 1)
    axes.set_xlabel("MEF-SSIM; the line is the median")
    axes.grid(axis="y", visible=False)
    axes.tick_params(length=0)
    words = [
        f"{label}: {len(scores):,} results, median {np.median(scores):.4f}, "
        f"5 % below {np.percentile(scores, 5):.4f}"
        for label, scores in groups
    ]
    return _plot(figure, name, title, f"Distribution of MEF-SSIM. {'; '.join(words)}.")


def _against_range(range_ev: NDArray[np.float32], score: NDArray[np.float64]) -> Plot:
    figure = _figure(2.7)
    axes = figure.subplots()
    low, high = _limits(score)
    shown = np.clip(score, low, high)
    if len(score) <= _POINTS:
        axes.scatter(range_ev, shown, s=14, color=_FILL, alpha=0.55, linewidths=0)
    else:
        _counts(axes, range_ev, shown, (low, high))
    middles, medians = [], []
    words = []
    for start in range(0, 32, 2):
        inside = (range_ev >= start) & (range_ev < start + 2)
        if inside.sum() >= _LEAST_MEDIAN:
            middles.append(float(range_ev[inside].mean()))
            medians.append(float(np.median(score[inside])))
            words.append(f"{start} to {start + 2} stops: median {medians[-1]:.4f}")
    if len(middles) > 1:
        axes.plot(middles, np.clip(medians, low, high), color=_LINE, linewidth=1.8, label="median")
        axes.legend(frameon=False, loc="lower left")
    axes.set_xlabel("stops from the darkest to the brightest frame")
    axes.set_ylabel("MEF-SSIM")
    axes.set_ylim(low, high + 0.02 * (high - low))
    text = f"MEF-SSIM of {len(score):,} results against the exposure range of their brackets."
    return _plot(figure, "score-range", "MEF-SSIM by exposure range", " ".join([text, *words]))


def _counts(
    axes: Axes,
    range_ev: NDArray[np.float32],
    score: NDArray[np.float64],
    limits: tuple[float, float],
) -> None:
    """Too many points to draw: how many lie in each cell, the more the stronger."""
    edges = np.linspace(float(range_ev.min()), float(range_ev.max()) + 1e-3, 41)
    counts, xs, ys = np.histogram2d(range_ev, score, (edges, np.linspace(*limits, 31)))
    column, row = np.nonzero(counts)
    strength = np.sqrt(counts[column, row] / counts.max())
    axes.scatter(
        (xs[column] + xs[column + 1]) / 2,
        (ys[row] + ys[row + 1]) / 2,
        s=4 + 60 * strength,
        marker="s",
        color=_FILL,
        linewidths=0,
    )


def _seconds(seconds: NDArray[np.float32]) -> Plot:
    figure = _figure(2.7)
    axes = figure.subplots()
    words = []
    for row, (step, values) in enumerate(zip(STEPS, seconds, strict=True)):
        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known):
            continue
        median, high = float(np.median(known)), float(np.percentile(known, 95))
        axes.barh(-row, median, height=0.6, color=_FILL)
        axes.plot([median, high], [-row, -row], color=_LINE, linewidth=1.6)
        axes.annotate(
            f"{median:.2g} s",
            (high, -row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=_INK,
        )
        words.append(f"{step}: median {median:.2g} s, 95 % within {high:.2g} s")
    axes.set_yticks([-row for row in range(len(STEPS))], list(STEPS))
    axes.set_xlabel("seconds a bracket: median, line to 95 %")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    text = f"Seconds that a bracket took, by step. {'; '.join(words)}."
    return _plot(figure, "seconds", "Seconds per step", text)


def _figure(height_in: float) -> Figure:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    FigureCanvasSVG(figure)  # draws without a display; the figure keeps it
    return figure


def _plot(figure: Figure, name: str, title: str, text: str) -> Plot:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    light = _FONTS.sub(b"font-family: system-ui, sans-serif", buffer.getvalue())
    dark = light
    for color, other in _DARK.items():
        dark = dark.replace(color.encode("ascii"), other.encode("ascii"))
    return Plot(name=name, title=title, text=text, light=light, dark=dark)


def _limits(scores: NDArray[np.float64]) -> tuple[float, float]:
    """The part of 0..1 in which the scores lie; the lowest per cent is drawn at the left."""
    low, high = float(np.percentile(scores, 1)), min(float(scores.max()), 1.0)
    margin = max(0.05 * (high - low), (_LEAST_SPAN - (high - low)) / 2, 0)
    return max(low - margin, -1.0), min(high + margin, 1.0) if high < 1 else high + 1e-3


def _label(name: str) -> str:
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return clean if len(clean) <= 22 else f"{clean[:21]}…"
