# SPDX-License-Identifier: Apache-2.0
"""The page as files: complete, bounded, escaped, and never over what is somebody else's."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.report import gathering
from pipeline.report.gathering import gather
from pipeline.report.page import write_page
from pipeline.report.rows_js import CHUNK
from tests.pipeline.report.reports import (
    HOSTILE,
    RUN,
    bracket_row,
    synthetic,
    with_pictures,
    write_report,
)

pytestmark = pytest.mark.usefixtures("fake_plots")


class Reader(HTMLParser):
    """All elements with their attributes, and all text, of a document."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def links(self):
        names = ("src", "href", "srcset")
        return [
            value
            for _, found in self.elements
            for name, value in found.items()
            if name in names and value and not value.startswith("#")
        ]


def made(destination, **options):
    index = Path(write_page(gather(str(destination), **options)))
    return index, Reader(index)


def script(folder: Path, name: str):
    text = next(folder.glob(f"made-*/{name}")).read_text("ascii")
    return json.loads(re.sub(r"^[^{\[]*?(?=[{\[])|\)?;\s*$", "", text))


@pytest.fixture
def fused(tmp_path):
    rows = [with_pictures(tmp_path, bracket_row(number)) for number in range(30)]
    write_report(tmp_path, rows)
    return tmp_path


def test_it_says_what_came_out(fused):
    index, page = made(fused)
    assert index == fused / "page" / "index.html"
    for wanted in (
        "fused",
        "24",
        "in quarantine",
        "MEF-SSIM",
        "ufm_k",
        RUN,
        "MP/s",
        "/photos",
        "decode-truncated",
        "copy it again",
        "Worst brackets",
        "torch",
    ):
        assert wanted in page.text, wanted
    assert not [one for _, one in page.elements if "role" in one and one["role"] == "note"]


def test_all_that_it_links_to_is_there(fused):
    index, page = made(fused)
    assert len(page.links()) > 20
    for link in page.links():
        assert "://" not in link
        assert (index.parent / link).is_file(), link


def test_its_data_is_that_of_the_report(fused):
    index, _ = made(fused)
    data = script(index.parent, "rows.js")
    rows = [dict(zip(data["fields"], row, strict=True)) for row in data["rows"]]
    assert len(rows) == 30
    for row in rows:
        true = bracket_row(int(row["id"], 16))
        assert data["words"]["status"][row["status"]] == true["status"]
        assert f"{data['words']['folder'][row['folder']]}/{row['name']}" == true["frame_paths"][0]
        if true["mef_ssim"] is None:
            assert row["score"] is None
        else:
            assert row["score"] == pytest.approx(true["mef_ssim"], abs=1e-6)
            assert row["pictures"] == 15
    details = script(index.parent, "details-0000.js")
    assert [len(one["frames"]) for one in details] == [row["frames"] for row in rows]
    assert details[0]["reason"].startswith("3 frames within")


def test_details_come_in_portions(tmp_path):
    synthetic(tmp_path, 2 * CHUNK + 1)
    index, _ = made(tmp_path)
    names = sorted(path.name for path in index.parent.glob("made-*/details-*.js"))
    assert names == ["details-0000.js", "details-0001.js", "details-0002.js"]
    assert len(script(index.parent, names[-1])) == 1


def test_of_a_large_report_the_best_the_worst_and_what_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "MOST_ROWS", 100)
    monkeypatch.setattr(gathering, "SHARE_ROWS", 10)
    synthetic(tmp_path, 300)
    index, page = made(tmp_path)
    data = script(index.parent, "rows.js")
    at = data["fields"].index("score")
    shown = sorted(row[at] for row in data["rows"] if row[at] is not None)
    true = sorted(
        row["mef_ssim"] for row in map(bracket_row, range(300)) if row["mef_ssim"] is not None
    )
    assert shown == pytest.approx(true[:10] + true[-10:], abs=1e-5)
    assert len(data["rows"]) == 30
    assert "30 of 300 brackets" in page.text


def test_hostile_texts_stay_text(tmp_path):
    row = bracket_row(
        0,
        frame_paths=[HOSTILE, f"b/{HOSTILE}", "</script><script>alert(1)</script>"],
        camera=HOSTILE,
        model=HOSTILE,
        reason="</script>",
        notes=["\u2028\u2029</script>"],
        result_path="../../../etc/passwd",
    )
    failed = bracket_row(10, error_message=HOSTILE, frame_paths=[HOSTILE])
    write_report(tmp_path, [row, failed])
    index, page = made(tmp_path)
    assert HOSTILE in page.text
    assert not [found for _, found in page.elements if {"onerror", "onclick"} & found.keys()]
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 4
    for path in index.parent.glob("made-*/*.js"):
        path.read_bytes().decode("ascii" if path.name.startswith(("rows", "details")) else "utf-8")
    assert "result_path_inside" not in script(index.parent, "details-0000.js")[0]


@pytest.mark.parametrize("bracket_id", ["../../../../etc/x", "0" * 15, "x" * 16, "A" * 16])
def test_a_strange_id_names_no_file(tmp_path, bracket_id):
    write_report(tmp_path, [bracket_row(0, bracket_id=bracket_id, preview_uri="/x.jpg")])
    index, _ = made(tmp_path)
    data = script(index.parent, "rows.js")
    assert data["rows"][0][data["fields"].index("pictures")] == 0


def test_made_again_it_leaves_one_state_and_what_others_put_there(fused):
    index, _ = made(fused)
    (old,) = index.parent.glob("made-*")
    (index.parent / "mine.txt").write_text("mine")
    (old / "mine.txt").write_text("mine")
    made(fused)
    (new,) = set(index.parent.glob("made-*")) - {old}
    assert [path.name for path in old.iterdir()] == ["mine.txt"]
    assert (index.parent / "mine.txt").exists()
    assert new.name in index.read_text("utf-8")


@pytest.mark.parametrize("name", ["index.html", "page.json"])
def test_somebody_elses_folder_is_left_alone(fused, tmp_path_factory, name):
    other = tmp_path_factory.mktemp("site")
    (other / name).write_text("mine")
    with pytest.raises(UsageError) as error:
        write_page(gather(str(fused)), str(other))
    assert error.value.code == "destination-invalid"
    assert [path.name for path in other.iterdir()] == [name]
    assert (other / name).read_text() == "mine"


def test_a_folder_to_hand_on_has_its_pictures(fused, tmp_path_factory):
    out = tmp_path_factory.mktemp("gift")
    (fused / "previews" / "00" / f"{0:016x}_map.png").unlink()
    index = Path(write_page(gather(str(fused)), str(out)))
    data = script(out, "rows.js")
    assert data["results"] is None
    at, rows = data["fields"].index("pictures"), {row[0]: row for row in data["rows"]}
    assert (rows[f"{0:016x}"][at], rows[f"{1:016x}"][at]) == (15 - 2, 15)
    pictures = [path for path in out.glob("made-*/pictures/*/*") if path.is_file()]
    assert len(pictures) == 4 * 24 - 1
    for link in Reader(index).links():
        assert ".." not in link
        assert (out / link).is_file()
    write_page(gather(str(fused)), str(out))
    assert len(list(out.glob("made-*"))) == 1


def test_a_run_that_did_not_end_is_told(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(5)], ended=False)
    _, page = made(tmp_path)
    assert f"Run {RUN} has not ended" in page.text
    assert "goes on from there" in page.text


def test_a_report_without_rows_is_told(tmp_path):
    write_report(tmp_path, [])
    _, page = made(tmp_path)
    assert "no rows" in page.text
    assert "nothing to list" in page.text


def test_a_report_of_failures_alone_is_told(tmp_path):
    write_report(tmp_path, [bracket_row(10), bracket_row(21)])
    _, page = made(tmp_path)
    assert "No bracket was fused; 2 failed" in page.text
    assert "Figures" not in page.text


def test_damage_is_told(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(5)])
    write_report(tmp_path, [bracket_row(n) for n in range(5, 9)], run="20270101T000000Z-ffffff")
    (segment,) = (tmp_path / "report" / f"run={RUN}").glob("*.parquet")
    segment.write_bytes(b"")
    (tmp_path / "report" / f"run={RUN}" / "_manifest.json").write_bytes(b"{")
    _, page = made(tmp_path)
    assert "cannot be read" in page.text
    assert f"manifest of run {RUN} is damaged" in page.text


def test_only_one_run(tmp_path):
    write_report(tmp_path, [bracket_row(n) for n in range(9)])
    write_report(tmp_path, [bracket_row(n) for n in range(2)], run="20270101T000000Z-ffffff")
    assert gather(str(tmp_path), run_id=RUN).total == 9
    assert gather(str(tmp_path), run_id="20270101T000000Z-ffffff").total == 2
    with pytest.raises(UsageError, match="knows no run"):
        gather(str(tmp_path), run_id="nobody")


def test_where_there_is_no_report(tmp_path):
    with pytest.raises(UsageError) as error:
        gather(str(tmp_path))
    assert error.value.code == "source-missing"
