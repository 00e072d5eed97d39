# SPDX-License-Identifier: Apache-2.0
"""The tables of a study, their Markdown and the picture of its curves."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from model.measures import FusionMeasures, HdrMeasures
from pipeline.errors import UsageError
from pipeline.evaluation import evaluation_schema
from pipeline.study import load_study
from pipeline.study_plot import plot_curves
from pipeline.study_report import study_report
from pipeline.study_table import (
    CURVES_SCHEMA,
    curves_of,
    failed_row,
    rows_of,
    table_of,
    write_parquet,
)
from pipeline.training_log import CURVE_SCHEMA

FACTS = {"step": 50, "best_step": 40, "seconds": 30.0, "device": "CPU", "workers": 1}
TEXT = """
summary = "Which is best"
recipe = "ablation"
[variants]
low = { "loss.gamma" = "v" }
high = { "loss.gamma" = "d" }
odd = { "loss.gamma" = "e" }
[conditions]
far = { stops = 5 }
noisy = { noise = 5 }
"""


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(TEXT, "utf-8")
    return load_study(str(file))


def evaluation(score: float, places=(("plain", "clean"),)) -> pa.Table:
    """Three patches; ours is above Mertens' 0.9 where the score with -0.01, 0 or 0.01 is."""
    rows = [
        {
            "patch": f"a/{index}",
            "condition": condition,
            "against": against,
            "stops": float(index + 1),
            "gray_ms3": score + (index - 1) / 100,
            "color_8x8_adaptive_lum": score - 0.1,
            "chroma_shift": 2.0,
            "gray_ms3_mertens": 0.9,
            "color_8x8_adaptive_lum_mertens": 0.8,
        }
        for condition, against in places
        for index in range(3)
    ]
    return pa.Table.from_pylist(rows, schema=evaluation_schema(FusionMeasures()))


def lines_of(report: str, variant: str) -> list[list[str]]:
    """The cells of a variant's lines, in all tables."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines()]
    return [line for line in cells if line and line[0] == variant]


def test_rows_are_means_over_the_patches(study):
    rows = rows_of(study, study.trial("low", 3), FACTS, evaluation(0.9051))
    figures = {row["figure"]: row["value"] for row in rows}
    assert figures["gray_ms3"] == pytest.approx(0.9051)
    assert figures["gray_ms3_mertens"] == pytest.approx(0.9)
    assert figures["wins"] == 2
    assert {(row["seed"], row["patches"], row["stops_mean"]) for row in rows} == {(3, 3, 2.0)}
    assert {(row["stops_min"], row["stops_max"]) for row in rows} == {(1.0, 3.0)}


def test_the_table_keeps_everything_through_parquet(study, tmp_path):
    rows = rows_of(study, study.trial("low", 0), FACTS, evaluation(0.9))
    error = UsageError("loss-not-finite", "The loss is nan.")
    rows.append(failed_row(study, study.trial("odd", 0), error))
    table = table_of(study, rows)
    uri = str(tmp_path / "table.parquet")
    write_parquet(uri, table)
    read = pq.read_table(uri)
    assert read == table
    last = read.to_pylist()[-1]
    assert (last["variant"], last["error_code"]) == ("odd", "loss-not-finite")
    assert last["figure"] is last["value"] is None
    facts = json.loads(read.schema.metadata[b"bracketflow.study"])
    assert facts["study"]["name"] == "mine"
    assert facts["recipe"]["name"] == "ablation"


def test_the_report_marks_the_best_and_names_what_failed(study):
    rows = []
    for seed, more in ((0, 0.0), (1, 0.002)):
        for variant, score in (("low", 0.88), ("high", 0.95)):
            table = evaluation(score + more)
            rows += rows_of(study, study.trial(variant, seed), FACTS, table)
    error = UsageError("loss-not-finite", "The loss is nan.")
    rows.append(failed_row(study, study.trial("odd", 0), error))
    report = study_report(study, table_of(study, rows).to_pylist())
    (low,), (high,) = (lines_of(report, variant) for variant in ("low", "high"))
    assert high[1] == "**0.9510 ± 0.0014**"
    assert low[1] == "0.8810 ± 0.0014"
    assert high[4] == "**3.0 ± 0.0 of 3**"
    assert lines_of(report, "odd")[0][1] == "failed: `loss-not-finite`"
    assert "- odd, seed 0: `loss-not-finite`. The loss is nan." in report
    assert lines_of(report, "Mertens")[0][1:3] == ["0.9000", "0.8000"]
    for fact in ("width 0.125", "2000 steps", "192 px", "Seeds 0, 1", "CPU", "120 s"):
        assert fact in report
    assert "Not measured: far, noisy" in report


def test_what_looks_the_same_is_not_marked(study):
    rows = []
    for variant, score in (("low", 0.95), ("high", 0.950001)):
        rows += rows_of(study, study.trial(variant, 0), FACTS, evaluation(score))
    report = study_report(study, table_of(study, rows).to_pylist())
    assert "**" not in report.replace("**Bold**", "")


def test_every_condition_has_a_table_that_says_what_it_is(study):
    places = (("plain", "clean"), ("far", "clean"), ("noisy", "clean"), ("noisy", "noisy"))
    rows = rows_of(study, study.trial("low", 0), FACTS, evaluation(0.92, places))
    report = study_report(study, table_of(study, rows).to_pylist())
    assert len(lines_of(report, "low")) == 1 + len(places)
    assert "nearest to 5 EV apart" in report
    assert "2.00 stops apart on average (1.00 to 3.00)" in report
    assert "noise of 5 of 255 in the darkest frame, measured against the clean frames" in report
    assert "noise of 5 of 255 in the darkest frame, measured against the noisy frames" in report
    assert "Not measured" not in report


def test_a_study_in_which_all_failed_still_has_a_report(study):
    error = UsageError("loss-not-finite", "The loss is nan.")
    rows = [failed_row(study, study.trial(variant, 0), error) for variant in study.variants]
    report = study_report(study, table_of(study, rows).to_pylist())
    assert report.count("`loss-not-finite`") == 3


def curve(values) -> list[dict]:
    return [
        {"step": step, "split": split, "name": name, "value": value, "seconds": 1.0}
        for step, value in values
        for split in ("train", "validation")
        for name in ("gray_ms3", "color", "gray_ms3_mertens", "color_mertens")
    ]


def test_curves_lie_one_below_the_other(study, tmp_path):
    trials = [study.trial(variant, 0) for variant in study.variants]
    for number, trial in enumerate(trials[:2]):  # the third has failed before it had one
        table = pa.Table.from_pylist(curve([(0, 0.5), (5, 0.9 + number / 100)]), CURVE_SCHEMA)
        write_parquet(str(tmp_path.joinpath(*trial.folder, "curve.parquet")), table)
    curves = curves_of(str(tmp_path), trials)
    assert curves.schema == CURVES_SCHEMA
    assert len(curves) == 2 * 16
    assert set(curves["variant"].to_pylist()) == {"low", "high"}
    assert len(curves_of(str(tmp_path), trials[2:])) == 0


def test_the_picture_shows_every_variant(study):
    def draw(table, variants):
        levels = {"gray_ms3_mertens": 0.9}
        return plot_curves(table, variants, "test", measures=FusionMeasures(), levels=levels)

    def drawn(variants):
        rows = [
            {"variant": variant, "seed": seed} | row
            for number, variant in enumerate(variants)
            for seed in (0, 1)
            for row in curve([(0, 0.5), (5, 0.9), (10, 0.9 + number / 20 + seed / 100)])
        ]
        table = pa.Table.from_pylist(rows, CURVES_SCHEMA)
        with Image.open(io.BytesIO(draw(table, variants))) as picture:
            return {tuple(color) for color in np.asarray(picture.convert("RGB")).reshape(-1, 3)}

    orange = (255, 127, 14)  # second of matplotlib's cycle
    assert orange not in drawn(("one",))
    assert orange in drawn(("one", "two"))
    assert (0, 0, 0) in drawn(())  # without any curve: empty panels


def radiance(score: float, *, flow: bool = True) -> pa.Table:
    """Three patches of a study of radiance; the flow-aligned merge has 40 dB."""
    measures = HdrMeasures()
    schema = evaluation_schema(measures)
    rows = []
    for index in range(3):
        row = dict.fromkeys(schema.names) | {"patch": f"a/{index}", "stops": 4.0}
        row |= {"condition": "plain", "against": "truth", "psnr_mu_db": score + index - 1}
        row |= {"psnr_l_db": score, "ssim_mu": 0.98, "ssim_l": 0.97}
        for rival, level in (("merge", 33.0), ("guess", None), ("flow", 40.0 if flow else None)):
            row |= {f"{figure.name}_{rival}": level for figure in measures.figures}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema)


@pytest.fixture
def parts():
    return load_study("flexhdr-parts")


def test_a_study_of_radiance_stands_beside_both_merges(parts):
    rows = rows_of(parts, parts.trial("full", 0), FACTS, radiance(40.5))
    figures = {row["figure"]: row["value"] for row in rows}
    assert figures["psnr_mu_db"] == pytest.approx(40.5)
    assert figures["psnr_mu_db_merge"] == pytest.approx(33)
    assert figures["wins"] == 2
    report = study_report(parts, table_of(parts, rows).to_pylist())
    assert lines_of(report, "full")[0][1:6] == ["40.50", "40.50", "0.9800", "0.9700", "2 of 3"]
    assert lines_of(report, "plain merge")[0][1:3] == ["33.00", "33.00"]
    assert lines_of(report, "flow-aligned merge")[0][1:3] == ["40.00", "40.00"]


def test_a_rival_that_could_not_be_measured_is_left_out(parts):
    rows = rows_of(parts, parts.trial("full", 0), FACTS, radiance(40.5, flow=False))
    assert not [row for row in rows if row["figure"].endswith("_flow")]
    report = study_report(parts, table_of(parts, rows).to_pylist())
    assert lines_of(report, "flow-aligned merge") == []
    assert lines_of(report, "full")[0][5] == "3 of 3"  # ahead of the plain merge


def test_a_gap_below_a_standard_deviation_counts_as_none(parts):
    rows = []
    for seed, off in ((0, -0.1), (1, 0.0), (2, 0.1)):
        for variant, score in (("full", 42.0), ("no-flow", 41.95), ("no-attention", 41.0)):
            rows += rows_of(parts, parts.trial(variant, seed), FACTS, radiance(score + off))
    report = study_report(parts, table_of(parts, rows).to_pylist())
    assert lines_of(report, "no-flow")[1] == ["no-flow", "-0.05", "0.10", "none"]
    assert lines_of(report, "no-attention")[1] == ["no-attention", "-1.00", "0.10", "lower"]
    assert len(lines_of(report, "full")) == 1
    alone = [row for row in rows if row["seed"] == 0]
    report = study_report(parts, table_of(parts, alone).to_pylist())
    assert lines_of(report, "no-flow")[1][3] == "one seed tells nothing"


def test_curves_of_radiance_have_panels_of_their_own(parts):
    rows = [
        {"variant": "full", "seed": 0, "step": step, "split": "validation"}
        | {"name": name, "value": 40.0 + step / 10, "seconds": 1.0}
        for step in (0, 5, 10)
        for name in ("psnr_mu", "psnr_l")
    ]
    table = pa.Table.from_pylist(rows, CURVES_SCHEMA)
    levels = {"psnr_mu_db_flow": 40.5}
    png = plot_curves(table, ("full",), "test", measures=parts.measures, levels=levels)
    with Image.open(io.BytesIO(png)) as picture:
        colors = {tuple(color) for color in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    assert (31, 119, 180) in colors  # first of matplotlib's cycle
