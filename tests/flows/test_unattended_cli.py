# SPDX-License-Identifier: Apache-2.0
"""The commands and options of unattended runs, as a user types them."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict

import pytest

import flows.fuse
import flows.quarantine
from pipeline.ledger import Ledger, write_manifest
from pipeline.lock import hold
from pipeline.pool import PoolOptions
from pipeline.report.schema import make_row
from pipeline.runs import Counts, Outcome
from pipeline.settings import FuseSettings
from pipeline.work_options import WorkOptions

SETTINGS = FuseSettings(format="png", model="mertens")


def failed(name: str, code: str = "file-empty", **values):
    known = {
        "run_id": "r1",
        "bracket_id": name,
        "status": "quarantined",
        "error_code": code,
        "error_message": f"{name} [/b] is no good; mend it.",
        "error_stage": "read",
        "frame_paths": [f"={name}\x1b[31m.jpg"],
    }
    return make_row(**known | values)


@pytest.fixture
def out(tmp_path):
    """A destination whose last run quarantined three brackets."""
    folder = tmp_path / "out"
    with Ledger(str(folder), "r1", "w") as ledger:
        for row in (failed("a"), failed("b"), failed("c", "decode-failed")):
            ledger.append(row)
    facts = {"run_id": "r1", "started_at": "2026", "source": str(tmp_path)}
    write_manifest(str(folder), "r1", facts | {"settings": asdict(SETTINGS)})
    return folder


@pytest.fixture
def asked(monkeypatch):
    """What the fuse flow was called with; it does nothing."""
    calls = []

    def fused(*arguments):
        calls.append(arguments)
        return Outcome(
            run_id="r2",
            destination="/x",
            counts=Counts(found=3, fused=3, gone=2),
            mean_mef_ssim=None,
            manifest_uri="/x",
        )

    monkeypatch.setattr("flows.server.ready_server", lambda: "")
    monkeypatch.setattr(flows.fuse, "fuse_archive", fused)
    monkeypatch.setattr(flows.quarantine, "fuse_archive", fused)
    return calls


def test_options_of_unattended_runs_reach_the_flow(run, asked, tmp_path):
    (tmp_path / "in").mkdir()
    options = [
        "--force",
        "--retry-quarantined",
        "--prune",
        "--bracket-timeout",
        "2h",
        "--memory",
        "8GiB",
    ]
    code, printed, _ = run("fuse", str(tmp_path / "in"), str(tmp_path / "out"), *options)
    assert code == 0
    ((_, _, _, _, pool, work, *_),) = asked
    assert work == WorkOptions(force=True, retry_quarantined=True, prune=True)
    assert (pool.bracket_timeout_s, pool.memory_bytes) == (7200, 8 << 30)
    assert "photographs not there any more" in printed


def test_without_options_nothing_is_done_again_and_limits_are_the_usual(run, asked, tmp_path):
    (tmp_path / "in").mkdir()
    run("fuse", str(tmp_path / "in"), str(tmp_path / "out"))
    ((_, _, _, _, pool, work, *_),) = asked
    assert work == WorkOptions()
    assert pool == PoolOptions()


def test_quarantine_is_listed_with_codes_and_cures(run, out):
    code, printed, _ = run("quarantine", "list", str(out))
    assert code == 0
    assert "file-empty x2" in printed
    assert "[/b] is no good" in " ".join(printed.split())
    assert "\x1b[31m" not in printed


def test_quarantine_by_code_as_json_and_as_a_file(run, out, tmp_path):
    place = tmp_path / "q.csv"
    command = ["quarantine", "list", str(out), "--code", "decode-failed"]
    code, printed, _ = run(*command, "--json", "--out", str(place))
    assert code == 0
    listed = json.loads(printed)
    assert listed["counts"] == {"decode-failed": 1}
    assert [one["bracket_id"] for one in listed["quarantined"]] == ["c"]
    (row,) = csv.DictReader(place.read_text("utf-8").splitlines())
    assert row["frame_paths"].startswith("'=c")


def test_retry_takes_source_and_settings_from_the_manifest(run, asked, out, tmp_path, monkeypatch):
    monkeypatch.setattr(
        flows.quarantine, "retry_quarantined", flows.quarantine.retry_quarantined.fn
    )
    code, printed, _ = run("quarantine", "retry", str(out), "--workers", "2")
    assert code == 0
    ((source, destination, settings, _, pool, work),) = asked
    assert (source, destination, settings) == (str(tmp_path), str(out), SETTINGS)
    assert pool.workers == 2
    assert work == WorkOptions(retry_quarantined=True)
    lines = [line.split() for line in printed.splitlines()]
    assert ["tried", "again", "3"] in lines


def test_retry_without_a_finished_run_says_what_to_do(run, asked, out):
    (out / "report" / "run=r1" / "_manifest.json").unlink()
    code, _, err = run("quarantine", "retry", str(out))
    assert code == 2
    assert "[manifest-missing]" in err
    assert "--retry-quarantined" in err
    assert not asked


@pytest.mark.prefect
def test_verify_ends_with_0_or_1(run, prefect_server, out, tmp_path):
    code, printed, _ = run("verify", str(out))
    assert code == 0
    assert "Every row has its file" in printed
    (out / "results").mkdir()
    (out / "results" / "mine.jpg").write_bytes(b"")
    code, printed, _ = run("verify", str(out), "--json", "--out", str(tmp_path / "f.parquet"))
    assert code == 1
    found = json.loads(printed)
    assert found["counts"] == {"file-unknown": 1}
    assert found["findings"][0]["path"] == "results/mine.jpg"
    assert not found["clean"]


@pytest.mark.prefect
def test_nobody_repairs_under_a_run_at_work(run, prefect_server, out):
    with hold(str(out), run_id="another"):
        code, _, err = run("verify", str(out), "--repair")
    assert code == 3
    assert "[destination-locked]" in err
