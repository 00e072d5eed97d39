# SPDX-License-Identifier: Apache-2.0
"""Two reports side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.report.gathering import gather
from pipeline.report.page import write_page
from tests.pipeline.report.reports import RUN, bracket_row, with_pictures, write_report

pytestmark = pytest.mark.usefixtures("fake_plots")
LATER = "20270101T000000Z-ffffff"


def row(number: int, score: float | None, **values):
    return bracket_row(7 * number, status="fused", kind="bracket", mef_ssim=score, **values)


@pytest.fixture
def two(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_report(here, [row(0, 0.9), row(1, 0.8), row(2, 0.7), row(3, 0.6), row(4, None)])
    write_report(there, [row(0, 0.8), row(1, 0.85), row(2, 0.70001), row(4, 0.5), row(5, 0.4)])
    return here, there


def test_wins_losses_and_differences(two):
    here, there = two
    found = gather(str(here), other=str(there)).comparison
    assert (found.common, found.wins, found.losses, found.ties) == (3, 1, 1, 1)
    assert (found.only_here, found.only_there) == (1, 2)
    assert found.mean == pytest.approx((0.1 - 0.05 - 0.00001) / 3)
    back = gather(str(there), other=str(here)).comparison
    assert (back.wins, back.losses, back.mean) == (1, 1, pytest.approx(-found.mean))


def test_a_run_of_the_same_destination(tmp_path):
    write_report(tmp_path, [row(0, 0.5), row(1, 0.5)])
    write_report(tmp_path, [row(0, 0.6)], run=LATER)
    found = gather(str(tmp_path), other=RUN).comparison
    assert (found.label, found.common, found.wins) == (f"run {RUN}", 2, 1)


def test_the_page_tells_it(two, tmp_path):
    here, there = two
    html = Path(write_page(gather(str(here), other=str(there)), str(tmp_path / "p"))).read_text()
    assert "Compared with" in html
    assert "1 better here, 1 equal, 1 worse here" in html
    assert "+0.1000" in html
    assert "-0.0500" in html


def test_the_others_pictures_come_along(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_report(here, [with_pictures(here, row(0, 0.9))])
    write_report(there, [with_pictures(there, row(0, 0.8))])
    out = tmp_path / "gift"
    write_page(gather(str(here), other=str(there)), str(out))
    assert len(list(out.glob("made-*/other/00/*.jpg"))) == 1
    write_page(gather(str(here), other=str(there)))
    data = next((here / "page").glob("made-*/rows.js")).read_text()
    assert '"otherPreviews":"../../there/previews"' in data


def test_nothing_in_common_is_no_error(tmp_path):
    write_report(tmp_path / "a", [row(0, 0.5)])
    write_report(tmp_path / "b", [row(1, 0.5)])
    gathered = gather(str(tmp_path / "a"), other=str(tmp_path / "b"))
    assert (gathered.comparison.common, gathered.comparison.mean) == (0, None)
    assert "brackets in common" in Path(write_page(gathered)).read_text()


def test_nobody_to_compare_with(two, tmp_path):
    with pytest.raises(UsageError, match=RUN):
        gather(str(two[0]), other=str(tmp_path / "nothing"))
