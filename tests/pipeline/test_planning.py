# SPDX-License-Identifier: Apache-2.0
"""Plans: what is work, what stands, what is no bracket."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.bracket import Bracket, Frame, bracket_id
from pipeline.errors import UsageError
from pipeline.ledger import Ledger
from pipeline.naming import Names
from pipeline.planning import (
    FuseJob,
    Ours,
    Settled,
    Standing,
    base_row,
    check_destination,
    plan,
    standing_results,
)
from pipeline.report.schema import make_row
from pipeline.settings import FuseSettings, result_key


def bracket(*names: str, **values) -> Bracket:
    frames = tuple(Frame(uri=f"/in/{name}", path=name, size_bytes=9, mtime_ns=1) for name in names)
    return Bracket(frames=frames, source="/in", **values)


def decide(brackets, destination, standing=None, settings=None):
    settings = settings or FuseSettings()
    return list(
        plan(
            brackets,
            names=Names(brackets, template=settings.name, model=settings.model),
            settings=settings,
            weights_sha256=None,
            destination=str(destination),
            standing=standing or Standing(),
            run_id="r",
        )
    )


def test_a_bracket_is_work_a_single_is_skipped_a_broken_file_quarantined(tmp_path):
    work, single, broken = decide(
        [
            bracket("a/1.jpg", "a/2.jpg"),
            bracket("b.jpg", kind="single"),
            bracket("c.jpg", kind="single", error_code="file-empty", error_message="c is empty"),
        ],
        tmp_path,
    )
    assert isinstance(work, FuseJob)
    assert work.result_uri == f"{tmp_path}/results/a/1_fused.jpg"
    assert isinstance(single, Settled)
    assert (single.status, single.row["status"]) == ("skipped", "skipped")
    assert isinstance(broken, Settled)
    assert broken.row["error_code"] == "file-empty"
    assert broken.row["error_stage"] == "scan"


def test_a_standing_result_is_reused_until_anything_changes(tmp_path):
    one = bracket("a/1.jpg", "a/2.jpg")
    result = tmp_path / "results" / "r.jpg"
    result.parent.mkdir()
    result.write_bytes(b"x")
    key = result_key(one, FuseSettings(), None)
    standing = Standing(results={key: "results/r.jpg"}, newest={one.id: (key, "fused")})
    (reused,) = decide([one], tmp_path, standing)
    assert reused == Settled(status="reused")
    changed = replace(one, frames=(replace(one.frames[0], mtime_ns=2), one.frames[1]))
    assert isinstance(decide([changed], tmp_path, standing)[0], FuseJob)
    assert isinstance(decide([one], tmp_path, standing, FuseSettings(quality=80))[0], FuseJob)
    result.unlink()
    assert isinstance(decide([one], tmp_path, standing)[0], FuseJob)


def test_a_result_of_ours_gives_way_to_the_same_view_alone(tmp_path):
    path = "results/a/1_fused.jpg"
    standing = Standing(
        ours={
            path: (
                Ours("two frames", frozenset({"a/1.jpg", "a/2.jpg"})),
                Ours("another view", frozenset({"a/8.jpg", "a/9.jpg"})),
                Ours("on its way"),
            )
        }
    )
    (job,) = decide([bracket("a/1.jpg", "a/2.jpg", "a/3.jpg")], tmp_path, standing)
    assert job.result_path == path
    assert job.ours_sha256 == {"two frames", "on its way"}
    assert decide([bracket("a/1.jpg", "a/2.jpg")], tmp_path)[0].ours_sha256 == frozenset()


def test_a_result_does_not_stand_while_the_report_says_that_it_failed(tmp_path):
    one = bracket("a/1.jpg", "a/2.jpg")
    key = result_key(one, FuseSettings(), None)
    (tmp_path / "r.jpg").write_bytes(b"x")
    standing = Standing(results={key: "r.jpg"}, newest={one.id: ("other", "quarantined")})
    assert isinstance(decide([one], tmp_path, standing)[0], FuseJob)
    standing = Standing(results={key: "r.jpg"}, newest={one.id: ("other", "fused")})
    assert decide([one], tmp_path, standing) == [Settled(status="reused")]


def test_a_key_changes_with_everything_that_decides_a_result(tmp_path):
    label = tmp_path / "label.jpg"
    label.write_bytes(b"1")
    one = bracket("1.jpg", "2.jpg", label_uri=str(label), label_kind="display")
    keys = [result_key(one, FuseSettings(), None)]
    keys.append(result_key(one, FuseSettings(), "weights"))
    keys.append(result_key(one, FuseSettings(format="png"), None))
    keys.append(result_key(replace(one, label_kind="radiance"), FuseSettings(), None))
    longer = replace(one.frames[0], exposure_time_s=2.0, ev=1.0)
    keys.append(result_key(replace(one, frames=(longer, one.frames[1])), FuseSettings(), None))
    label.write_bytes(b"22")
    keys.append(result_key(one, FuseSettings(), None))
    assert len(set(keys)) == len(keys)
    assert result_key(one, FuseSettings(), None) == keys[-1]


def test_a_row_that_would_say_the_same_again_is_not_written(tmp_path):
    single = bracket("b.jpg", kind="single")
    key = result_key(single, FuseSettings(), None)
    standing = Standing(newest={single.id: (key, "skipped")})
    assert decide([single], tmp_path, standing) == [Settled(status="skipped")]


def test_nothing_stands_at_a_new_destination(tmp_path):
    assert standing_results(str(tmp_path / "new")) == Standing()


def test_a_result_stands_until_another_replaces_it(tmp_path):
    def row(at, **values):
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=at)
        return make_row(finished_at=when, bracket_id="b", run_id="r", **values)

    with Ledger(str(tmp_path), "r", "w") as ledger:
        made = {"status": "fused", "frame_paths": ["1.jpg"]}
        ledger.append(row(2, key="tiff", result_path="b.tif", result_sha256="t", **made))
        ledger.append(row(1, key="jpeg 80", result_path="b.jpg", result_sha256="80", **made))
        ledger.append(row(3, key="jpeg 95", result_path="b.jpg", result_sha256="95", **made))
        ledger.append(row(4, key="jpeg 95", status="quarantined"))
    found = standing_results(str(tmp_path))
    assert found.results == {"tiff": "b.tif", "jpeg 95": "b.jpg"}
    assert found.newest == {"b": ("jpeg 95", "quarantined")}
    frames = frozenset({"1.jpg"})
    assert found.ours["b.jpg"] == (Ours("80", frames), Ours("95", frames))
    # A run with other settings died between its image and its row.
    Ledger(str(tmp_path), "r2", "w").intend("b.jpg", "70")
    found = standing_results(str(tmp_path))
    assert found.results == {"tiff": "b.tif"}
    assert Ours("70") in found.ours["b.jpg"]


def test_rows_carry_what_the_catalog_knows():
    row = base_row(bracket("a/1.jpg", "a/2.jpg", notes=("n",)), run_id="r", worker="w", status="x")
    assert row["frame_paths"] == ["a/1.jpg", "a/2.jpg"]
    assert row["bracket_id"] == bracket_id(["a/2.jpg", "a/1.jpg"])
    assert row["notes"] == ["n"]


@pytest.mark.parametrize("below", ["", "out", "deep/er/out"])
def test_a_destination_inside_the_source_is_refused(tmp_path, below):
    with pytest.raises(UsageError) as caught:
        check_destination(str(tmp_path), str(tmp_path / below))
    assert caught.value.code == "destination-invalid"


def test_a_link_does_not_hide_that_a_destination_is_inside(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UsageError):
        check_destination(str(source), str(tmp_path / "link" / "out"))
    check_destination(str(source), str(tmp_path / "in-too"))
    check_destination("s3://b/in", "s3://b/in-too")
    with pytest.raises(UsageError):
        check_destination("s3://b/in", "s3://b/in/out")


def test_a_destination_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_destination(str(tmp_path / "in"), str(tmp_path / "file"))


@pytest.mark.parametrize(
    "wrong",
    [{"model": "nope"}, {"format": "bmp"}, {"bits": 16}, {"quality": 0}, {"align": "maybe"}],
)
def test_settings_refuse_what_is_not_allowed(wrong):
    with pytest.raises(UsageError):
        FuseSettings(**wrong)
