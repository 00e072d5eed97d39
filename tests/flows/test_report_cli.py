# SPDX-License-Identifier: Apache-2.0
"""The command ``report``: neither Ray nor Prefect, so it answers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report import page
from tests.pipeline.report.reports import RUN, bracket_row, synthetic, write_report


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "plots_of", lambda figures: [])  # drawing takes a second
    return synthetic(tmp_path / "fused", 20)


def test_it_prints_where_the_page_is(run, out):
    code, printed, _ = run("report", str(out))
    assert code == 0
    assert Path(printed.strip()) == out / "page" / "index.html"
    assert (out / "page" / "index.html").is_file()


def test_another_folder_a_run_and_a_comparison(run, out, tmp_path):
    later = "20270101T000000Z-ffffff"
    write_report(out, [bracket_row(0, mef_ssim=0.5)], run=later)
    code, printed, _ = run(
        "report", str(out), "--out", str(tmp_path / "p"), "--run", RUN, "--compare", later
    )
    assert code == 0
    html = Path(printed.strip()).read_text("utf-8")
    assert f"run {RUN}" in html
    assert f"Compared with run {later}" in html


def test_a_table_on_stdout_is_nothing_but_a_table(run, out):
    code, printed, _ = run("report", str(out), "--export", "csv")
    assert (code, printed.splitlines()[0][:17]) == (0, "run_id,bracket_id")
    assert not (out / "page").exists()


def test_tables_and_sheets_as_files(run, out, tmp_path):
    for name in ("r.csv", "r.md"):
        assert run("report", str(out), "--export", str(tmp_path / name))[0] == 0
        assert (tmp_path / name).stat().st_size > 500
    code, _, told = run("report", str(out), "--contact-sheet", str(tmp_path / "s.pdf"))
    assert (code, (tmp_path / "s.pdf").read_bytes()[:5]) == (0, b"%PDF-")
    assert "results on" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--run", "nobody"], "knows no run nobody"),
        (["--compare", "nobody"], "neither a run of"),
        (["--export", "report.xlsx"], "--export report.xlsx must be csv or md"),
        (["--contact-sheet", "sheet.gif"], "must end in .jpg or .pdf"),
    ],
)
def test_wrong_use_is_told(run, out, arguments, told):
    code, _, printed = run("report", str(out), *arguments)
    assert code == 2
    assert told in " ".join(printed.split())


def test_a_place_without_a_report(run, tmp_path):
    code, _, printed = run("report", str(tmp_path))
    assert code == 2
    assert "There is no report/" in printed


def test_a_crashed_run_has_a_page_that_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "plots_of", lambda figures: [])
    write_report(tmp_path, [bracket_row(0)], ended=False)
    code, _, told = run("report", str(tmp_path))
    assert code == 0
    assert "has not ended" in told


def test_help_shows_examples(run):
    code, printed, _ = run("report", "--help")
    assert code == 0
    assert "--contact-sheet" in printed
