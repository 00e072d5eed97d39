# SPDX-License-Identifier: Apache-2.0
"""The report as CSV, as Markdown, and as a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.report import contact_sheet
from pipeline.report.contact_sheet import write_contact_sheet
from pipeline.report.exporting import export
from pipeline.report.schema import SCHEMA
from tests.pipeline.report.reports import RUN, bracket_row, synthetic, with_pictures, write_report


def test_csv_has_every_column_of_every_row(tmp_path):
    synthetic(tmp_path, 300)
    rows = list(csv.DictReader(io.StringIO("".join(export(str(tmp_path), "csv")), newline="")))
    assert len(rows) == 300
    assert list(rows[0]) == SCHEMA.names
    for row in rows[::50]:
        true = bracket_row(int(row["bracket_id"], 16))
        assert row["frame_paths"].split("\n") == true["frame_paths"]
        assert json.loads(row["evs"]) == true["evs"]
        assert row["mef_ssim"] == ("" if true["mef_ssim"] is None else str(true["mef_ssim"]))
        assert row["finished_at"].startswith("2026-01-02T03:")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_name_becomes_a_formula(tmp_path, name):
    write_report(tmp_path, [bracket_row(0, camera=name, frame_paths=[name, "b"])])
    (row,) = csv.DictReader(io.StringIO("".join(export(str(tmp_path), "csv")), newline=""))
    assert row["camera"] == f"'{name}"
    assert row["frame_paths"].startswith("'")


def test_markdown_tells_counts_and_rows(tmp_path):
    synthetic(tmp_path, 30)
    text = "".join(export(str(tmp_path), "md"))
    assert "| quarantined | 2 |" in text
    assert "median MEF-SSIM" in text
    table = text.split("\n\n")[-1].splitlines()
    assert len(table) == 2 + 30
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_markdown_shows_names_as_they_are(tmp_path):
    name = "a|b<img src=x>`c`[d](e)\n*f*.jpg"
    write_report(tmp_path, [bracket_row(0, frame_paths=[name])])
    line = "".join(export(str(tmp_path), "md")).splitlines()[-1]
    assert re.sub(r"\\(.)", r"\1", line).startswith(f"| {name.replace(chr(10), ' ')} |")
    assert not re.search(r"(?<!\\)[<`*\[]", line)


def test_one_run_alone(tmp_path):
    synthetic(tmp_path, 9)
    write_report(tmp_path, [bracket_row(0)], run="20270101T000000Z-ffffff")
    assert (
        len("".join(export(str(tmp_path), "md", run_id=RUN)).split("\n\n")[-1].splitlines()) == 11
    )


@pytest.fixture
def fused(tmp_path):
    rows = [with_pictures(tmp_path, bracket_row(number)) for number in range(40)]
    write_report(tmp_path, rows)
    return tmp_path, sum(row["status"] == "fused" for row in rows)


def test_a_sheet_shows_every_result(fused):
    folder, count = fused
    assert write_contact_sheet(str(folder), str(folder / "sheet.jpg")) == count
    with Image.open(folder / "sheet.jpg") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert 0.3 < pixels.shape[0] / pixels.shape[1] < 2
    assert (pixels == 255).all(2).mean() < 0.85


def test_a_pdf_has_as_many_pages_as_it_takes(fused):
    folder, count = fused
    assert write_contact_sheet(str(folder), str(folder / "sheet.pdf")) == count
    data = (folder / "sheet.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert max(int(n) for n in re.findall(rb"/Count (\d+)", data)) == -(-count // 24)


def test_missing_and_damaged_pictures_leave_a_gap(fused):
    folder, count = fused
    first, second, *_ = sorted((folder / "previews").rglob(f"{'?' * 16}.jpg"))
    first.unlink()
    second.write_bytes(b"nonsense")
    assert write_contact_sheet(str(folder), str(folder / "sheet.jpg")) == count


def test_an_empty_report_makes_an_empty_sheet(tmp_path):
    write_report(tmp_path, [])
    for ending in ("jpg", "pdf"):
        assert write_contact_sheet(str(tmp_path), str(tmp_path / f"sheet.{ending}")) == 0


def test_what_a_sheet_cannot_be(fused, monkeypatch):
    folder, _ = fused
    with pytest.raises(UsageError, match=r"\.jpg or \.pdf"):
        write_contact_sheet(str(folder), str(folder / "sheet.gif"))
    monkeypatch.setattr(contact_sheet, "MOST_IN_JPEG", 5)
    with pytest.raises(UsageError, match=r"\.pdf"):
        write_contact_sheet(str(folder), str(folder / "sheet.jpg"))
