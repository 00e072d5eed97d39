# SPDX-License-Identifier: Apache-2.0
"""The main job end to end: real Prefect, real Ray, real files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from prefect import flow, get_client

from flows import artifacts
from flows.fuse import fuse_archive
from flows.score import score_results
from pipeline.ledger import read_manifests, read_quarantine, read_report
from pipeline.pool import PoolOptions
from pipeline.runs import Counts
from pipeline.settings import FuseSettings
from pipeline.verifying.verify import verify


def frames_of(bracket) -> tuple[str, ...]:
    """Sorted paths of a true bracket's frames."""
    return tuple(sorted(frame.path for frame in bracket.frames))


pytestmark = [pytest.mark.ray, pytest.mark.prefect]
PNG = FuseSettings(format="png", model="mertens")


@pytest.fixture(scope="module")
def fused(prefect_server, archive, tmp_path_factory):
    """The archive fused once: destination and outcome."""
    folder, _ = archive
    destination = tmp_path_factory.mktemp("fused")
    return destination, fuse_archive(str(folder), str(destination), PNG)


def test_every_bracket_of_the_archive_is_accounted_for(fused, archive):
    destination, outcome = fused
    _, truth = archive
    counts = outcome.counts
    assert counts.found == counts.fused + counts.reused + counts.skipped + counts.quarantined
    assert counts.fused + counts.quarantined == len(truth.brackets)
    assert counts.skipped == len(truth.singles)
    assert counts.quarantined == sum(bracket.broken for bracket in truth.brackets) == 1
    frames = {
        tuple(sorted(row["frame_paths"]))
        for row in read_report(str(destination)).to_pylist()
        if row["kind"] == "bracket"
    }
    assert frames == {frames_of(bracket) for bracket in truth.brackets}


def test_rows_speak_of_files_that_are_there(fused):
    destination, outcome = fused
    rows = read_report(str(destination), run_id=outcome.run_id).to_pylist()
    done = [row for row in rows if row["status"] == "fused"]
    for row in done:
        data = Path(row["result_uri"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["result_sha256"]
        assert len(data) == row["result_bytes"]
        assert Path(row["preview_uri"]).is_file()
        assert Path(row["map_uri"]).is_file()
        assert 0.5 < row["mef_ssim"] <= 1
        assert row["seconds_fuse"] > 0
        assert row["settings_sha256"] == PNG.sha256
    written = {path for path in (destination / "results").rglob("*") if path.is_file()}
    assert written == {Path(row["result_uri"]) for row in done}


def test_the_broken_bracket_has_a_code_and_a_cure(fused):
    destination, _ = fused
    (row,) = read_quarantine(str(destination)).to_pylist()
    assert row["error_code"] == "decode-truncated"
    assert row["error_stage"] == "read"
    assert any(Path(path).name in row["error_message"] for path in row["frame_paths"])


def test_the_manifest_says_how_it_was_made(fused):
    destination, outcome = fused
    (manifest,) = read_manifests(str(destination))
    assert manifest["counts"] == outcome.counts.as_dict()
    assert manifest["settings"]["format"] == "png"
    assert manifest["versions"]["torch"]
    assert json.loads(Path(outcome.manifest_uri).read_text("utf-8")) == manifest


def test_scoring_the_results_again_gives_the_same_numbers(fused, archive, tmp_path):
    destination, _ = fused
    folder, _ = archive
    score_results(str(folder), str(destination), str(tmp_path))
    before = {row["bracket_id"]: row for row in read_report(str(destination)).to_pylist()}
    after = {row["bracket_id"]: row for row in read_report(str(tmp_path)).to_pylist()}
    scored = [name for name, row in before.items() if row["status"] == "fused"]
    assert scored
    for name in scored:
        for column in ("mef_ssim", "gray_scale1", "color_8x8_adaptive_lum", "mefnet_y_lum"):
            assert after[name][column] == pytest.approx(before[name][column], abs=1e-9)


def test_the_same_command_again_does_nothing(fused, archive):
    destination, first = fused
    folder, _ = archive
    stamps = {path: path.stat().st_mtime_ns for path in (destination / "results").rglob("*.png")}
    outcome = fuse_archive(str(folder), str(destination), PNG)
    assert outcome.counts.fused == 0
    assert outcome.counts.reused == first.counts.fused
    assert outcome.counts.skipped == first.counts.skipped
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_results_do_not_depend_on_the_number_of_workers(fused, archive, tmp_path):
    destination, _ = fused
    folder, _ = archive
    fuse_archive(str(folder), str(tmp_path), PNG, pool=PoolOptions(workers=2))
    one = read_report(str(destination), columns=["bracket_id", "result_sha256", "key"])
    two = read_report(str(tmp_path), columns=["bracket_id", "result_sha256", "key"])
    assert one.to_pylist() == two.to_pylist()


def test_a_file_of_somebody_else_is_never_overwritten(archive, prefect_server, tmp_path):
    folder, truth = archive
    good = next(bracket for bracket in truth.brackets if not bracket.broken)
    first = Path(frames_of(good)[0])
    foreign = tmp_path / "results" / first.parent / f"{first.stem}_fused.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    outcome = fuse_archive(str(folder), str(tmp_path), PNG)
    assert foreign.read_bytes() == b"mine"
    assert outcome.counts.codes["result-exists"] == 1


def test_a_destination_may_be_moved(fused, archive, tmp_path):
    destination, first = fused
    moved = tmp_path / "moved"
    shutil.copytree(destination, moved)
    again = fuse_archive(str(archive[0]), str(moved), PNG)
    assert again.counts.reused == first.counts.fused
    shutil.rmtree(moved / "results")
    anew = fuse_archive(str(archive[0]), str(moved), PNG)
    assert anew.counts.fused == first.counts.fused
    assert len(list((moved / "results").rglob("*.png"))) == first.counts.fused


def test_a_page_to_look_at_stands_at_the_end(fused):
    destination, outcome = fused
    assert outcome.page_uri == str(destination / "page" / "index.html")
    html = Path(outcome.page_uri).read_text("utf-8")
    assert outcome.run_id in html
    assert "decode-truncated" in html
    assert not list((destination / "page").rglob("pictures"))  # they lie beside it
    found = verify(str(destination))
    assert found.clean


def all_artifacts():
    """What Prefect's server shows, the newest first."""
    with get_client(sync_client=True) as client:
        question = {"limit": 200, "sort": "CREATED_DESC"}
        return client.request("POST", "/artifacts/filter", json=question).json()


def test_what_prefect_shows_of_a_run(fused):
    destination, outcome = fused
    told = (outcome.run_id, str(destination))
    shown = {
        artifact["key"]: artifact["data"]
        for artifact in all_artifacts()
        if any(text in f"{artifact['description']} {artifact['data']}" for text in told)
    }
    assert set(shown) >= {"bracketflow-fuse", "bracketflow-failures", "bracketflow-page"}
    assert "decode-truncated" in shown["bracketflow-failures"]
    assert "file://" in shown["bracketflow-page"]


def test_progress_is_shown_while_it_lasts(prefect_server, monkeypatch):
    monkeypatch.setattr(artifacts, "_EVERY_S", 0.0)
    counts = Counts(found=4)

    @flow
    def work():
        with artifacts.DoneArtifact("run-of-the-test", counts) as done:
            counts.add("fused", None, 3)
            done.look()
            counts.add("skipped", None)

    work()
    (shown,) = [one for one in all_artifacts() if one["description"] == "Run run-of-the-test"]
    assert (shown["type"], shown["data"]) == ("progress", 100.0)


def test_a_page_that_cannot_be_made_fails_no_run(fused, archive):
    destination, first = fused
    index = Path(first.page_uri)
    index.unlink()
    (index.parent / "page.json").write_text("somebody else's")
    outcome = fuse_archive(str(archive[0]), str(destination), PNG)
    assert outcome.counts.reused == first.counts.fused
    assert outcome.page_uri is None
    assert "bracketflow did not write that" in outcome.page_note
    (index.parent / "page.json").unlink()
    without = fuse_archive(str(archive[0]), str(destination), PNG, page=False)
    assert (without.page_uri, without.page_note, index.exists()) == (None, None, False)
