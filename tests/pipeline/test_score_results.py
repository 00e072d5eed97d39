# SPDX-License-Identifier: Apache-2.0
"""Finding the results that another tool made."""

from __future__ import annotations

import pytest

from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from pipeline.images.writing import write_photo
from pipeline.ledger import Ledger
from pipeline.report.schema import make_row
from pipeline.score_results import (
    ScoreJob,
    ScoreRecipe,
    check_score_destination,
    find_results,
    plan_scores,
)
from tests.pipeline.conftest import textured


def bracket(*paths: str) -> Bracket:
    frames = tuple(Frame(uri=f"/in/{path}", path=path) for path in paths)
    return Bracket(frames=frames, source="/in")


@pytest.mark.parametrize(
    "name",
    ["a/b/1.jpg", "a/b/1_fused.png", "a/b/B.tif", "a/b.png", "a/b_fused.jpg", "B.PNG", "x/b.jpg"],
)
def test_a_result_is_found_by_folder_and_name(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    assert find_results(str(tmp_path)).match(bracket("a/b/1.jpg", "a/b/2.jpg")) == str(place)


@pytest.mark.parametrize("names", [("x/b.jpg", "y/b.jpg"), ("a/b/1.jpg", "a/b/1.png")])
def test_a_name_that_fits_two_files_fits_none(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_results(str(tmp_path)).match(bracket("a/b/1.jpg", "a/b/2.jpg")) is None


def test_a_frame_is_never_its_own_result(make_bracket):
    one = make_bracket(textured(0.5), textured(2.0))
    assert find_results(one.source).match(one) is None


def test_scores_do_not_go_where_fused_results_are(tmp_path):
    with Ledger(str(tmp_path / "out"), "r", "w") as ledger:
        ledger.append(make_row(bracket_id="a", run_id="r", key="k"))
    with pytest.raises(UsageError, match="--out"):
        check_score_destination(str(tmp_path / "in"), str(tmp_path / "out"))
    check_score_destination(str(tmp_path / "in"), str(tmp_path / "new"))


def test_a_bracket_without_a_result_is_skipped_and_said(tmp_path):
    found = find_results(str(tmp_path))
    jobs, settled = plan_scores([bracket("a/1.jpg", "a/2.jpg")], found, run_id="r")
    assert jobs == []
    assert [row["status"] for row in settled] == ["skipped"]
    assert "no result" in settled[0]["score_note"]


def score(tmp_path, one, result_pixels):
    uri = str(tmp_path / "result.png")
    write_photo(result_pixels, uri, format="png", bits=8)
    recipe = ScoreRecipe(destination=str(tmp_path / "scores"), run_id="r")
    return recipe.build(device="cpu", worker="w", intend=lambda uri, sha256: None).visit(
        ScoreJob(bracket=one, result_uri=uri)
    )


def test_one_of_the_frames_is_a_result_like_any_other(tmp_path, make_bracket):
    dark, bright = textured(0.5), textured(2.0)
    row = score(tmp_path, make_bracket(dark, bright), bright)
    assert row["status"] == "fused"
    assert 0.3 < row["mef_ssim"] < 1


def test_a_result_of_another_size_is_refused(tmp_path, make_bracket):
    row = score(tmp_path, make_bracket(textured(0.5), textured(2.0)), textured(1.0, height=80))
    assert row["error_code"] == "result-differs-in-size"
