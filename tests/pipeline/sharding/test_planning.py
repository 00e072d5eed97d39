# SPDX-License-Identifier: Apache-2.0
"""Decisions over a catalog, and what a second run makes of the first. No Ray."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.archive.catalog import write_catalog
from pipeline.archive.overlap import look_at
from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from pipeline.images.writing import write_photo
from pipeline.ledger import Ledger, read_report
from pipeline.patches import open_patches
from pipeline.planning import Settled
from pipeline.report.schema import make_row
from pipeline.sharding.compared import Compared
from pipeline.sharding.planning import (
    ShardRun,
    check_shards,
    finish_shards,
    make_shard_plan,
)
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.split_table import read_split
from pipeline.sharding.visiting import TOO_SMALL, ShardJob
from tests.pipeline.conftest import textured

SETTINGS = ShardSettings(patch_px=32, min_contrast=0.0)
SIZE = {"height": 160, "width": 200}


@pytest.fixture
def archive(tmp_path):
    """Six scenes of two frames each."""
    found = []
    for number in range(6):
        frames = []
        for side, light in enumerate((0.6, 1.8)):
            path = f"scene{number}/{side}.png"
            pixels = textured(light, seed=number, **SIZE)
            write_photo(pixels, str(tmp_path / "in" / path), format="png", bits=8)
            frames.append(Frame(uri=str(tmp_path / "in" / path), path=path, **SIZE))
        found.append(Bracket(frames=tuple(frames), source=str(tmp_path / "in")))
    return found


@pytest.fixture
def shard(tmp_path):
    """Run over brackets as the flow does, one visit after the other; what was done, by id."""

    def run_over(brackets, settings=SETTINGS, others=(), compared=None):
        run = ShardRun(
            source=str(tmp_path / "in"), destination=str(tmp_path / "out"), settings=settings
        )
        write_catalog(brackets, run.catalog_uri)
        plan = make_shard_plan(run, look_at(others).seen)
        assert plan.run.compared == compared
        visitor = run.recipe.build(device="cpu", worker="w", intend=lambda path, sha256: None)
        done = {}
        with Ledger(run.destination, run.run_id, "w") as ledger:
            for bracket in brackets:
                decision = plan.decide(bracket)
                row = visitor.visit(decision) if isinstance(decision, ShardJob) else decision.row
                done[bracket.id] = row["status"] if row else decision.status
                if row is not None:
                    ledger.append(row)
        assert plan.found == len(brackets)
        finish_shards(plan)
        return done

    return run_over


def split_of(tmp_path):
    return {row["bracket_id"]: row for row in read_split(str(tmp_path / "out")).to_pylist()}


def test_every_bracket_is_in_one_split_and_written_down(archive, shard, tmp_path):
    assert set(shard(archive).values()) == {"fused"}
    table = split_of(tmp_path)
    assert table.keys() == {bracket.id for bracket in archive}
    for name in ("train", "validation", "test"):
        refs = open_patches(str(tmp_path / "out"), name)
        inside = {bracket for bracket, row in table.items() if row["split"] == name}
        assert {ref.key.split("/")[0] for ref in refs} == inside != set()


def test_brackets_of_one_scene_stay_together(archive, shard, tmp_path):
    twins = [
        Bracket(frames=(b.frames[0], replace(b.frames[1], path=f"{b.frames[1].path}_")), source="x")
        for b in archive
    ]
    shard([*archive, *twins])
    table = split_of(tmp_path)
    for one, other in zip(archive, twins, strict=True):
        assert table[one.id]["split"] == table[other.id]["split"]


def test_a_second_run_reuses_what_stands(archive, shard, tmp_path):
    shard(archive)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "patches").rglob("*")}
    split = (tmp_path / "out" / "split.parquet").read_bytes()
    assert set(shard(archive).values()) == {"reused"}
    assert files == {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "patches").rglob("*")}
    assert (tmp_path / "out" / "split.parquet").read_bytes() == split
    refs = open_patches(str(tmp_path / "out"), "train")
    lost = refs[0].uri
    (tmp_path / lost).unlink()
    assert sorted(shard(archive).values()) == ["fused", *["reused"] * 5]
    assert open_patches(str(tmp_path / "out"), "train") == refs


@pytest.mark.parametrize("change", [{"seed": 3}, {"patch_px": 16}, {"pair": "extreme"}])
def test_other_settings_are_other_patches(archive, shard, change):
    shard(archive)
    assert set(shard(archive, replace(SETTINGS, **change)).values()) == {"fused"}


def test_other_shares_cut_only_what_moves(archive, shard, tmp_path):
    shard(archive)
    before = {bracket: row["split"] for bracket, row in split_of(tmp_path).items()}
    done = shard(archive, replace(SETTINGS, validation_share=0.5))
    after = {bracket: row["split"] for bracket, row in split_of(tmp_path).items()}
    assert {b for b, status in done.items() if status == "fused"} == {
        b for b in after if after[b] != before[b]
    }
    counted = {ref.key.split("/")[0] for ref in open_patches(str(tmp_path / "out"), "train")}
    assert counted == {bracket for bracket, name in after.items() if name == "train"}


def test_a_bad_bracket_is_in_no_split(archive, shard, tmp_path):
    settings = replace(SETTINGS, validation_share=0.0, test_share=0.0)
    file = tmp_path / "in" / archive[2].frames[1].path
    file.write_bytes(b"")
    done = shard(archive, settings)
    assert done[archive[2].id] == "quarantined"
    row = split_of(tmp_path)[archive[2].id]
    assert (row["split"], row["reason"]) == (None, "quarantined: file-empty")
    assert len({r.key[:16] for r in open_patches(str(tmp_path / "out"), "train")}) == 5


def test_singles_and_what_the_scan_could_not_read_are_settled(archive, shard, tmp_path):
    single = replace(archive[0], kind="single", frames=archive[0].frames[:1], id="ab" * 8)
    broken = replace(archive[1], error_code="file-missing", error_message="gone", id="cd" * 8)
    done = shard([*archive, single, broken])
    assert (done[single.id], done[broken.id]) == ("skipped", "quarantined")
    assert split_of(tmp_path).keys() == {bracket.id for bracket in archive}
    assert shard([*archive, single, broken])[single.id] == "skipped"
    skips = [r for r in read_report(str(tmp_path / "out"), newest=False).to_pylist()
             if r["status"] == "skipped"]  # fmt: skip
    assert len(skips) == 1


def test_what_is_too_small_is_left_out_before_the_split(archive, shard, tmp_path):
    small = replace(archive[0], frames=tuple(replace(f, height=31) for f in archive[0].frames))
    done = shard([small, *archive[1:]])
    assert done[small.id] == "skipped"
    row = split_of(tmp_path)[small.id]
    assert (row["split"], row["reason"]) == (None, TOO_SMALL)


@pytest.mark.parametrize("scenes", [0, 2])
def test_too_few_scenes_are_refused_before_anything_is_cut(archive, shard, tmp_path, scenes):
    with pytest.raises(UsageError) as caught:
        shard(archive[:scenes])
    assert caught.value.code == "dataset-too-small"
    assert not (tmp_path / "out" / "patches").exists()


def test_a_split_whose_brackets_all_fail_is_refused(archive, shard, tmp_path):
    for bracket in archive:
        (tmp_path / "in" / bracket.frames[0].path).write_bytes(b"")
    with pytest.raises(UsageError, match="for test and train and validation") as caught:
        shard(archive)
    assert caught.value.code == "dataset-too-small"


def test_scenes_that_occur_elsewhere_are_left_out(archive, shard, tmp_path):
    crop = textured(1.0, seed=4, **SIZE)[:130, :170]
    paths = [tmp_path / "other" / f"{k}.png" for k in range(2)]
    for path, light in zip(paths, (1.0, 0.5), strict=True):
        write_photo((crop * light).astype(np.uint8), str(path), format="png", bits=8)
    frames = tuple(Frame(uri=str(path), path=f"elsewhere/{path.name}") for path in paths)
    other = Bracket(frames=frames, source="/benchmark")
    single = replace(other, frames=(Frame(uri=str(tmp_path / "5.png"), path="5.png"),), id="")
    write_photo(textured(1.0, seed=5, **SIZE), str(tmp_path / "5.png"), format="png", bits=8)
    dull = replace(single, frames=(Frame(uri=str(tmp_path / "0.png"), path="0.png"),), id="")
    write_photo(np.zeros((64, 64, 3), np.uint8), str(tmp_path / "0.png"), format="png", bits=8)
    others = [other, replace(single, kind="single"), replace(dull, kind="single")]
    done = shard(archive, others=others, compared=Compared(scenes=3, dull=1, left_out=2))
    assert [b.id for b in archive if done[b.id] == "skipped"] == [archive[4].id, archive[5].id]
    row = split_of(tmp_path)[archive[4].id]
    assert row["split"] is None
    assert "shows elsewhere of /benchmark" in row["reason"]
    rows = {r["bracket_id"]: r for r in read_report(str(tmp_path / "out")).to_pylist()}
    assert rows[archive[4].id]["notes"] == [row["reason"]]
    assert "shows 5 of /benchmark" in rows[archive[5].id]["notes"][-1]
    with pytest.raises(UsageError) as caught:
        shard(archive, others=archive)
    assert caught.value.code == "dataset-too-small"


@pytest.mark.parametrize("by_content", [True, False])
def test_what_could_not_be_compared_is_not_cut_though_it_could_be_read_later(
    archive, shard, tmp_path, by_content
):
    file = tmp_path / "in" / archive[2].frames[1].path
    data = file.read_bytes()
    file.write_bytes(b"")
    run = ShardRun(
        source=str(tmp_path / "in"),
        destination=str(tmp_path / "out"),
        settings=replace(SETTINGS, scenes="content" if by_content else "name"),
    )
    write_catalog(archive, run.catalog_uri)
    plan = make_shard_plan(run, () if by_content else look_at(archive[:1]).seen)
    file.write_bytes(data)
    decision = plan.decide(archive[2])
    assert isinstance(decision, Settled)
    assert (decision.status, decision.row["status"]) == ("quarantined", "quarantined")
    assert (decision.row["error_code"], decision.row["error_stage"]) == ("file-empty", "compare")
    place = plan.places[archive[2].id]
    assert (place.split, place.reason) == (None, "quarantined: file-empty")


def test_by_content_a_scene_under_two_names_is_one(archive, shard, tmp_path):
    again = [
        replace(b, frames=tuple(replace(f, path=f"again/{f.path}") for f in b.frames), id="")
        for b in archive
    ]
    shard([*archive, *again], replace(SETTINGS, scenes="content"))
    table = split_of(tmp_path)
    for one, other in zip(archive, again, strict=True):
        assert table[one.id]["scene"] == table[other.id]["scene"]
        assert table[one.id]["split"] == table[other.id]["split"]


def test_shards_do_not_go_where_fused_results_or_photographs_are(tmp_path):
    source, out = str(tmp_path / "in"), str(tmp_path / "out")
    (tmp_path / "in").mkdir()
    check_shards(source, out)
    with Ledger(out, "r", "w") as ledger:
        ledger.append(make_row(bracket_id="a", run_id="r", key="k"))
    check_shards(source, out)
    with Ledger(out, "s", "w") as ledger:
        ledger.append(make_row(bracket_id="b", run_id="s", key="k", model="mertens"))
    for place in (out, str(tmp_path / "in" / "shards")):
        with pytest.raises(UsageError) as caught:
            check_shards(source, place)
        assert caught.value.code == "destination-invalid"
