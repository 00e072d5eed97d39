# SPDX-License-Identifier: Apache-2.0
"""Figures over all rows, and the plots made of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipeline.report.figures import FIGURE_COLUMNS, Figures, figures_of
from pipeline.report.plots import plots_of
from pipeline.report.schema import to_table
from tests.pipeline.report.reports import HOSTILE, bracket_row


def figures(rows, *, portions: int = 1) -> Figures:
    return figures_of(to_table(rows[k::portions]).select(FIGURE_COLUMNS) for k in range(portions))


def test_counts_and_columns():
    rows = [bracket_row(n) for n in range(100)]
    found = figures(rows, portions=3)
    assert len(found) == 100
    for status, count in found.counts("status").items():
        assert count == sum(row["status"] == status for row in rows)
    scores = sorted(row["mef_ssim"] for row in rows if row["mef_ssim"] is not None)
    assert sorted(found.score[np.isfinite(found.score)]) == pytest.approx(scores)
    assert list(found.counts("error_code")) == ["decode-truncated"]
    fused = sum(row["frame_count"] for row in rows if row["status"] == "fused")
    assert np.nansum(found.megapixels) == pytest.approx(24.0 * fused)


def test_the_exposure_range_is_that_of_evs_or_else_of_times():
    times = [0.01, 0.04, 0.16]
    rows = [
        bracket_row(0, evs=[-2.0, 0.0, 3.0], exposure_times_s=times),
        bracket_row(1, evs=[None, None, None], exposure_times_s=times),
        bracket_row(2, evs=None, exposure_times_s=None),
        bracket_row(3, evs=[1.0], exposure_times_s=[0.5]),
        bracket_row(4, evs=[], exposure_times_s=[0.0, 1.0]),
        bracket_row(5, evs=[0.0, 1.5], exposure_times_s=times),
    ]
    nan = float("nan")
    assert figures(rows).range_ev == pytest.approx([5, 4, nan, nan, nan, 1.5], nan_ok=True)


def test_radiances_count_with_the_score_of_their_picture():
    rows = [bracket_row(0, mef_ssim=None, mef_ssim_preview=0.75), bracket_row(1, mef_ssim=0.5)]
    assert figures(rows).score.tolist() == [0.75, 0.5]


def test_small_groups_are_put_together():
    rows = [
        bracket_row(n, camera=f"C{min(n // 10, 9)}", status="fused", mef_ssim=0.9)
        for n in range(98)
    ]
    groups = figures(rows).groups("camera", 4)
    assert [len(scores) for _, scores in groups] == [10, 10, 10, 68]
    assert groups[-1][0] == "7 others"
    nobody = figures([bracket_row(0, camera=None, mef_ssim=0.9)]).groups("camera", 4)
    assert [name for name, _ in nobody] == ["unknown"]


def test_plots_for_light_and_dark_with_words():
    plots = {plot.name: plot for plot in plots_of(figures([bracket_row(n) for n in range(900)]))}
    assert set(plots) == {"scores-model", "scores-camera", "score-range", "seconds"}
    for plot in plots.values():
        assert len(plot.light) < 200_000
        assert plot.light != plot.dark
        assert ET.fromstring(plot.dark).tag.endswith("svg")
    assert "ufm_k: " in plots["scores-model"].text
    assert "median" in plots["score-range"].text
    again = plots_of(figures([bracket_row(n) for n in range(900)]))
    assert [plot.light for plot in again] == [plot.light for plot in plots.values()]


@pytest.mark.parametrize("name", [HOSTILE, "$\\frac{", "\x00\x1b[2J\ud7ff", "相机", "a" * 5000, ""])
def test_a_strange_camera_is_plain_text_in_a_plot(name):
    rows = [bracket_row(n, camera=name if n % 2 else "B", mef_ssim=0.9) for n in range(9)]
    (plot,) = (one for one in plots_of(figures(rows)) if one.name == "scores-camera")
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(plot.light).iter()}
    assert tags <= {
        "svg",
        "g",
        "path",
        "text",
        "use",
        "defs",
        "style",
        "clipPath",
        "rect",
        "metadata",
        "RDF",
        "Work",
        "type",
        "format",
        "creator",
        "Agent",
        "title",
        "tspan",
        "date",
    }


@pytest.mark.parametrize("score", [0.0, 1.0, -0.5, 0.98])
def test_a_single_result_can_be_drawn(score):
    assert len(plots_of(figures([bracket_row(0, mef_ssim=score)]))) >= 2


def test_without_results_there_is_nothing_to_draw():
    assert plots_of(figures([])) == []
    assert plots_of(figures([bracket_row(10), bracket_row(6)])) == []
