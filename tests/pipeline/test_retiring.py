# SPDX-License-Identifier: Apache-2.0
"""Brackets of earlier runs: superseded, gone, pruned, or left as they are."""

from __future__ import annotations

import pytest

from pipeline import retiring, storage
from pipeline.archive.catalog import write_catalog
from pipeline.bracket import Bracket, Frame
from pipeline.fuse_run import FuseRun, make_plan
from pipeline.ledger import Ledger, read_quarantine, read_report
from pipeline.models import find_model
from pipeline.naming import preview_paths
from pipeline.planning import FuseJob, base_row
from pipeline.retiring import retire
from pipeline.runs import Counts
from pipeline.settings import FuseSettings
from pipeline.work_options import WorkOptions


@pytest.fixture
def archive(tmp_path):
    """Make frames, and run over the brackets of some of them as the flow does, without pixels."""

    class Archive:
        def bracket(self, *names, **facts):
            frames = []
            for name in names:
                path = tmp_path / "in" / name
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(name.encode())
                frames.append(Frame(uri=str(path), path=name, size_bytes=9, mtime_ns=1))
            return Bracket(frames=tuple(frames), source=str(tmp_path / "in"), **facts)

        def lose(self, *names):
            for name in names:
                (tmp_path / "in" / name).unlink()

        def run(self, *brackets, status="fused", data=b"result", model="mertens", **work):
            run = FuseRun(
                source=str(tmp_path / "in"),
                destination=str(tmp_path / "out"),
                settings=FuseSettings(model=model),
                model=find_model(model),
                work=WorkOptions(**work),
            )
            write_catalog(brackets, run.catalog_uri)
            plan = make_plan(run)
            counts = Counts(found=plan.found)
            with Ledger(run.destination, run.run_id, "w") as ledger:
                for chunk in plan.chunks(10):
                    for decision in chunk:
                        row = (
                            visit(run, decision, status, data)
                            if isinstance(decision, FuseJob)
                            else decision.row
                        )
                        if row is not None:
                            ledger.append(row)
            retire(plan, counts)
            return counts

    def visit(run, job, status, data):
        made = {}
        if status == "fused":
            picture = preview_paths(job.bracket.id).preview
            storage.write_atomic(job.result_uri, data)
            storage.write_atomic(storage.join(run.destination, picture), b"preview")
            made = {
                "result_path": job.result_path,
                "result_sha256": storage.sha256_of(data),
                "preview_uri": picture,
            }
            if job.display is not None:
                storage.write_atomic(job.display.uri, data[::-1])
                made |= {
                    "display_path": job.display.path,
                    "display_sha256": storage.sha256_of(data[::-1]),
                }
        keys = {"key": job.key, "timeless_key": job.timeless_key}
        return base_row(job.bracket, run_id=run.run_id, worker="w", status=status, **keys | made)

    return Archive()


def shown(tmp_path):
    """What the report shows: first frame -> (frames, status, fate)."""
    return {
        row["frame_paths"][0]: (row["frame_count"], row["status"], row["fate"])
        for row in read_report(str(tmp_path / "out")).to_pylist()
    }


def files(tmp_path, below="results"):
    return sorted(
        path.relative_to(tmp_path / "out" / below).as_posix()
        for path in (tmp_path / "out" / below).rglob("*")
        if path.is_file()
    )


def test_a_bracket_that_gains_a_frame_takes_the_place_of_the_old_one(archive, tmp_path):
    old = archive.bracket("2.jpg", "3.jpg")
    archive.run(old)
    new = archive.bracket("1.jpg", "2.jpg", "3.jpg")
    assert archive.run(new).superseded == 1
    assert shown(tmp_path) == {"1.jpg": (3, "fused", None)}
    assert files(tmp_path) == ["1_fused.jpg"]
    assert files(tmp_path, "previews") == [preview_paths(new.id)[0].removeprefix("previews/")]
    rows = read_report(str(tmp_path / "out"), newest=False).to_pylist()
    (copy,) = [row for row in rows if row["fate"]]
    assert (copy["bracket_id"], copy["superseded_by"]) == (old.id, new.id)
    assert archive.run(new).superseded == 0


def test_the_picture_beside_a_radiance_goes_with_it(archive, tmp_path):
    one, other = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(one, other, model="merge")
    everything = ["a/1_fused.exr", "a/1_fused.jpg", "b/1_fused.exr", "b/1_fused.jpg"]
    assert files(tmp_path) == everything
    archive.lose("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    (tmp_path / "out" / "results" / "b" / "1_fused.jpg").write_bytes(b"edited")
    assert archive.run(model="merge", prune=True).pruned == 2
    assert files(tmp_path) == ["b/1_fused.jpg"]


def test_a_result_at_the_same_place_is_the_new_ones(archive, tmp_path):
    archive.run(archive.bracket("1.jpg", "2.jpg"))
    archive.run(archive.bracket("1.jpg", "2.jpg", "3.jpg"))  # the very same bytes
    assert shown(tmp_path) == {"1.jpg": (3, "fused", None)}
    assert files(tmp_path) == ["1_fused.jpg"]


def test_nothing_is_superseded_before_the_new_result_is_there(archive, tmp_path):
    archive.run(archive.bracket("2.jpg", "3.jpg"))
    new = archive.bracket("1.jpg", "2.jpg", "3.jpg")
    assert archive.run(new, status="quarantined").superseded == 0
    assert shown(tmp_path)["2.jpg"] == (2, "fused", None)
    assert archive.run(new, force=True).superseded == 1
    assert files(tmp_path) == ["1_fused.jpg"]


def test_a_single_that_others_joined_is_superseded(archive, tmp_path):
    archive.run(archive.bracket("1.jpg", kind="single"))
    assert archive.run(archive.bracket("1.jpg", "2.jpg")).superseded == 1
    assert shown(tmp_path) == {"1.jpg": (2, "fused", None)}


def test_a_changed_file_is_not_removed(archive, tmp_path):
    archive.run(archive.bracket("2.jpg", "3.jpg"))
    (tmp_path / "out" / "results" / "2_fused.jpg").write_bytes(b"retouched by hand")
    assert archive.run(archive.bracket("1.jpg", "2.jpg", "3.jpg")).superseded == 1
    assert files(tmp_path) == ["1_fused.jpg", "2_fused.jpg"]


def test_results_of_lost_photographs_stay_and_say_so_once(archive, tmp_path):
    stays, goes = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(stays, goes)
    archive.lose("b/1.jpg", "b/2.jpg")
    assert archive.run(stays).gone == 1
    assert shown(tmp_path) == {
        "a/1.jpg": (2, "fused", None),
        "b/1.jpg": (2, "fused", "source_gone"),
    }
    assert len(files(tmp_path)) == 2
    assert archive.run(stays).gone == 0
    assert archive.run(stays, prune=True).pruned == 1
    assert shown(tmp_path) == {"a/1.jpg": (2, "fused", None)}
    assert files(tmp_path) == ["a/1_fused.jpg"]
    assert len(files(tmp_path, "previews")) == 1
    assert archive.run(stays, prune=True).pruned == 0


def test_what_comes_back_is_an_ordinary_bracket(archive, tmp_path):
    stays, goes = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(stays, goes)
    archive.lose("b/1.jpg", "b/2.jpg")
    archive.run(stays)
    archive.run(stays, archive.bracket("b/1.jpg", "b/2.jpg"))
    assert shown(tmp_path)["b/1.jpg"] == (2, "fused", None)
    archive.lose("b/1.jpg", "b/2.jpg")
    archive.run(stays, prune=True)
    archive.run(stays, archive.bracket("b/1.jpg", "b/2.jpg"))
    assert shown(tmp_path)["b/1.jpg"] == (2, "fused", None)
    assert len(files(tmp_path)) == 2


def test_what_one_frame_is_left_of_is_not_gone(archive, tmp_path):
    stays, part = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(stays, part)
    archive.lose("b/1.jpg")
    counts = archive.run(stays, prune=True)
    assert (counts.gone, counts.pruned) == (0, 0)
    assert shown(tmp_path)["b/1.jpg"] == (2, "fused", None)


def test_an_error_is_no_proof_that_a_photograph_is_gone(archive, tmp_path, monkeypatch):
    stays, hidden = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(stays, hidden)

    def refused(path):
        raise PermissionError(13, "denied", path)

    monkeypatch.setattr(retiring.os, "lstat", refused)
    assert archive.run(stays, prune=True).pruned == 0
    assert len(files(tmp_path)) == 2


def test_brackets_of_another_source_are_none_of_our_business(archive, tmp_path):
    from dataclasses import replace

    mine, other = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(mine, replace(other, source="/elsewhere"))
    archive.lose("b/1.jpg", "b/2.jpg")
    assert archive.run(mine, prune=True).pruned == 0


def test_a_failure_whose_photographs_are_gone_is_no_failure_any_more(archive, tmp_path):
    stays, bad = archive.bracket("a/1.jpg", "a/2.jpg"), archive.bracket("b/1.jpg", "b/2.jpg")
    archive.run(bad, status="quarantined")
    archive.lose("b/1.jpg", "b/2.jpg")
    archive.run(stays)
    assert len(read_quarantine(str(tmp_path / "out"))) == 0


def test_a_death_between_the_file_and_its_row_is_made_up_for(archive, tmp_path, monkeypatch):
    archive.run(archive.bracket("2.jpg", "3.jpg"))
    new = archive.bracket("1.jpg", "2.jpg", "3.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(retiring, "revived", None)
        with pytest.raises(TypeError):
            archive.run(new)
    assert shown(tmp_path)["2.jpg"] == (2, "fused", None)
    assert archive.run(new).superseded == 1
    assert shown(tmp_path) == {"1.jpg": (3, "fused", None)}


def test_rows_are_newer_than_older_ones_though_the_clock_went_back(archive, tmp_path, monkeypatch):
    from datetime import UTC, datetime

    from pipeline.report import schema

    one = archive.bracket("1.jpg", "2.jpg")

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2100, 1, 1, tzinfo=UTC)

    with monkeypatch.context() as patch:
        patch.setattr(schema, "datetime", Ahead)
        archive.run(one)
    archive.run(one, status="quarantined", force=True)
    assert shown(tmp_path)["1.jpg"] == (2, "quarantined", None)


@pytest.mark.parametrize(
    "planted",
    [
        {"result_path": "../precious.jpg"},
        {"result_path": "results/../../precious.jpg"},
        {"result_path": "catalog/precious.jpg"},
        {"bracket_id": "../precious"},
    ],
    ids=str,
)
def test_a_planted_row_removes_nothing_outside_of_what_was_written(archive, tmp_path, planted):
    stays = archive.bracket("a/1.jpg", "a/2.jpg")
    archive.run(stays)
    outside = [tmp_path / "precious.jpg", tmp_path / "out" / "catalog" / "precious.jpg"]
    for path in outside:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"precious")
    row = base_row(
        archive.bracket("b/1.jpg", "b/2.jpg"), run_id="planted", worker="w", status="fused"
    ) | {
        "key": "0" * 64,
        "result_path": "results/b.jpg",
        "result_sha256": storage.sha256_of(b"precious"),
        "preview_uri": "previews/b.jpg",
    }
    with Ledger(str(tmp_path / "out"), "planted", "w") as ledger:
        ledger.append(row | planted)
    archive.lose("b/1.jpg", "b/2.jpg")
    assert archive.run(stays, prune=True).pruned == 1
    assert all(path.read_bytes() == b"precious" for path in outside)
