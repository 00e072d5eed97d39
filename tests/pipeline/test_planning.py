# SPDX-License-Identifier: Apache-2.0
"""Plans: what is work, what stands, what is no bracket."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline import storage
from pipeline.aliases import write_aliases
from pipeline.bracket import Bracket, Frame, bracket_id
from pipeline.deciding import Doubt, Planner
from pipeline.errors import UsageError
from pipeline.ledger import Ledger
from pipeline.naming import Names
from pipeline.planning import AGAIN_CODES, FuseJob, Settled, base_row, check_destination
from pipeline.report.schema import HIDDEN_FATES
from pipeline.settings import FuseSettings, KeyMaker
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bracket(*names: str, **values) -> Bracket:
    frames = tuple(Frame(uri=f"/in/{name}", path=name, size_bytes=9, mtime_ns=1) for name in names)
    return Bracket(frames=frames, source="/in", **values)


def decide(brackets, destination, settings=None, **work):
    settings = settings or FuseSettings()
    planner = Planner(
        names=lambda: Names(brackets, template=settings.name, model=settings.model),
        settings=settings,
        weights_sha256=None,
        destination=str(destination),
        standing=standing_results(str(destination)),
        run_id="r",
        work=WorkOptions(**work),
    )
    return [planner.decide(one) for one in brackets]


def write(destination, *rows, run="r"):
    with Ledger(str(destination), run, "w") as ledger:
        for row in rows:
            ledger.append(row)


def row_of(one, *, at=0, settings=None, **values):
    """A row as a run writes it."""
    keys = KeyMaker(settings or FuseSettings(), None)
    known = {"key": keys.key(one), "timeless_key": keys.key(one, timeless=True)}
    row = base_row(one, run_id="r", worker="w", **known | values)
    return row | {"finished_at": NOW + timedelta(hours=at)}


def fused(destination, one, data=b"x", path="results/r.jpg", **values):
    """A result on disk, and its row."""
    target = destination / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    made = {"result_path": path, "result_sha256": storage.sha256_of(data)}
    return row_of(one, status="fused", **made | values)


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
    write(tmp_path, fused(tmp_path, one))
    assert decide([one], tmp_path) == [Settled(status="reused")]
    changed = replace(one, frames=(replace(one.frames[0], mtime_ns=2), one.frames[1]))
    assert isinstance(decide([changed], tmp_path)[0], FuseJob)
    assert isinstance(decide([one], tmp_path, FuseSettings(quality=80))[0], FuseJob)
    assert isinstance(decide([one], tmp_path, force=True)[0], FuseJob)
    (tmp_path / "results" / "r.jpg").unlink()
    assert isinstance(decide([one], tmp_path)[0], FuseJob)


def test_a_result_of_ours_gives_way_to_the_same_view_alone(tmp_path):
    path = "results/a/1_fused.jpg"
    two, other = bracket("a/1.jpg", "a/2.jpg"), bracket("a/8.jpg", "a/9.jpg")
    write(
        tmp_path,
        fused(tmp_path, two, path=path, result_sha256="two frames"),
        fused(tmp_path, other, path=path, result_sha256="another view"),
    )
    Ledger(str(tmp_path), "r", "w").intend(path, "on its way")
    (job,) = decide([bracket("a/1.jpg", "a/2.jpg", "a/3.jpg")], tmp_path)
    assert job.result_path == path
    assert job.ours_sha256 == {"two frames", "on its way"}
    assert decide([two], tmp_path / "new")[0].ours_sha256 == frozenset()


def test_a_result_does_not_stand_while_the_report_says_that_it_failed(tmp_path):
    one = bracket("a/1.jpg", "a/2.jpg")
    other = FuseSettings(format="png")
    failed = row_of(one, at=1, settings=other, status="quarantined")
    write(tmp_path, fused(tmp_path, one), failed)
    assert isinstance(decide([one], tmp_path)[0], FuseJob)
    write(tmp_path, fused(tmp_path, one, at=2, settings=other, path="results/r.png"), run="r2")
    assert decide([one], tmp_path) == [Settled(status="reused")]


@pytest.mark.parametrize("again", [{"force": True}, {"retry_quarantined": True}])
def test_what_failed_and_did_not_change_is_left_alone(tmp_path, again):
    one = bracket("a/1.jpg", "a/2.jpg")
    broken = bracket("c.jpg", kind="single", error_code="file-empty", error_message="c is empty")
    failed = row_of(one, status="quarantined", error_code="decode-failed")
    write(tmp_path, failed, decide([broken], tmp_path)[0].row)
    both = [one, broken]
    assert decide(both, tmp_path) == [Settled(status="quarantined")] * 2
    job, told = decide(both, tmp_path, **again)
    assert isinstance(job, FuseJob)
    assert told.row["error_code"] == "file-empty"
    changed = replace(one, frames=(replace(one.frames[0], size_bytes=3), one.frames[1]))
    worse = replace(broken, error_code="file-unreadable")
    job, told = decide([changed, worse], tmp_path)
    assert isinstance(job, FuseJob)
    assert told.row["error_code"] == "file-unreadable"


@pytest.mark.parametrize("code", sorted(AGAIN_CODES))
def test_what_failed_at_the_destination_is_tried_again(tmp_path, code):
    one = bracket("a/1.jpg", "a/2.jpg")
    write(tmp_path, row_of(one, status="quarantined", error_code=code))
    assert isinstance(decide([one], tmp_path)[0], FuseJob)


def touched(one, mtime_ns=7):
    return replace(one, frames=tuple(replace(f, mtime_ns=mtime_ns) for f in one.frames))


def test_other_times_alone_are_a_doubt_that_contents_settle(tmp_path):
    one = bracket("a/1.jpg", "a/2.jpg")
    row = fused(tmp_path, one, frame_sha256s=["h1", "h2"])
    write(tmp_path, row)
    (doubt,) = decide([touched(one)], tmp_path)
    assert isinstance(doubt, Doubt)
    assert dict(zip(doubt.uris(), doubt.sha256s, strict=True)) == {
        "/in/a/1.jpg": "h1",
        "/in/a/2.jpg": "h2",
    }
    write_aliases(str(tmp_path), "r", 0, {doubt.digest: doubt.stands_for})
    assert decide([touched(one)], tmp_path) == [Settled(status="reused")]
    assert isinstance(decide([touched(one, 8)], tmp_path)[0], Doubt)
    bigger = replace(one, frames=(replace(one.frames[0], size_bytes=10), one.frames[1]))
    assert isinstance(decide([bigger], tmp_path)[0], FuseJob)
    assert isinstance(decide([touched(one)], tmp_path, FuseSettings(quality=7))[0], FuseJob)
    (tmp_path / "results" / "r.jpg").unlink()
    assert isinstance(decide([touched(one, 8)], tmp_path)[0], FuseJob)


def test_without_hashes_on_record_other_times_are_work(tmp_path):
    one = bracket("a/1.jpg", "a/2.jpg")
    write(tmp_path, fused(tmp_path, one))
    assert isinstance(decide([touched(one)], tmp_path)[0], FuseJob)


def test_what_was_gone_and_comes_back_gets_its_row_again(tmp_path):
    one, single = bracket("a/1.jpg", "a/2.jpg"), bracket("b.jpg", kind="single")
    write(
        tmp_path,
        fused(tmp_path, one, fate="source_gone", mef_ssim=0.5),
        row_of(single, status="skipped", fate="source_gone"),
    )
    reused, skipped = decide([one, single], tmp_path)
    assert (reused.status, reused.row["fate"], reused.row["mef_ssim"]) == ("reused", None, 0.5)
    assert (skipped.status, skipped.row["fate"]) == ("skipped", None)


@pytest.mark.parametrize("fate", HIDDEN_FATES)
def test_what_the_report_hides_is_new_when_it_comes_back(tmp_path, fate):
    one = bracket("a/1.jpg", "a/2.jpg")
    write(tmp_path, fused(tmp_path, one, fate=fate))
    assert isinstance(decide([one], tmp_path)[0], FuseJob)


def test_a_key_changes_with_everything_that_decides_a_result(tmp_path):
    label = tmp_path / "label.jpg"
    label.write_bytes(b"1")
    one = bracket("1.jpg", "2.jpg", label_uri=str(label), label_kind="display")
    keys = [KeyMaker(FuseSettings(), None).key(one)]
    keys.append(KeyMaker(FuseSettings(), "weights").key(one))
    keys.append(KeyMaker(FuseSettings(format="png"), None).key(one))
    keys.append(KeyMaker(FuseSettings(), None).key(replace(one, label_kind="radiance")))
    longer = replace(one.frames[0], exposure_time_s=2.0, ev=1.0)
    keys.append(KeyMaker(FuseSettings(), None).key(replace(one, frames=(longer, one.frames[1]))))
    label.write_bytes(b"22")
    keys.append(KeyMaker(FuseSettings(), None).key(one))
    assert len(set(keys)) == len(keys)
    assert KeyMaker(FuseSettings(), None).key(one) == keys[-1]


def test_a_row_that_would_say_the_same_again_is_not_written(tmp_path):
    single = bracket("b.jpg", kind="single")
    write(tmp_path, decide([single], tmp_path)[0].row)
    assert decide([single], tmp_path) == [Settled(status="skipped")]


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
