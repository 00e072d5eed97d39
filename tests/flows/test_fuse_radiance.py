# SPDX-License-Identifier: Apache-2.0
"""Radiances and the pictures beside them: two files, one row, the same promises."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from pipeline.demo.dynamic import make_dynamic_archive
from pipeline.demo.dynamic_plan import DynamicPlan
from pipeline.images.radiance import encode_exr
from pipeline.ledger import read_report
from pipeline.settings import FuseSettings
from pipeline.verifying.verify import verify
from tests.chaos.comparing import differences, snapshot
from tests.flows.crash_run import fuse_apart

MERGE = FuseSettings(model="merge", align="off")


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> Path:
    """Two small moving scenes with ground truth."""
    root = tmp_path_factory.mktemp("moving")
    rows, cols = np.mgrid[0:180, 0:240] / 60
    tones = [np.exp2(3 * np.sin(3 * rows + k) * np.cos(4 * cols)) for k in range(3)]
    (root / "hdr").mkdir()
    exr = encode_exr(np.stack(tones, 2).astype(np.float32), 32)
    (root / "hdr" / "a.exr").write_bytes(exr)
    plan = DynamicPlan(
        height=96, width=128, motion_px=(3.0, 8.0), scenes=2, kinds=("objects",), shake=0.0
    )
    return Path(make_dynamic_archive(str(root / "in"), plan, pictures=str(root / "hdr")).folder)


@pytest.fixture(scope="module")
def undisturbed(moving, tmp_path_factory):
    destination = tmp_path_factory.mktemp("undisturbed")
    assert fuse_apart(str(moving), str(destination), settings=MERGE) == 0
    return destination


def fuse(source: Path, out: Path, fault: str | None = None, settings=MERGE) -> int | None:
    return fuse_apart(str(source), str(out), fault, settings)


def rows_of(out: Path) -> list[dict]:
    return read_report(str(out)).to_pylist()


def times(out: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in (out / "results").rglob("*") if p.is_file()}


def test_killed_between_the_two_files(undisturbed, moving, tmp_path):
    assert fuse(moving, tmp_path, "fuse.display.after:2") == -signal.SIGKILL
    assert fuse(moving, tmp_path) == 0
    assert not differences(snapshot(moving, undisturbed), snapshot(moving, tmp_path))
    assert verify(str(tmp_path), deep=True).open == 0


def test_both_files_stand_or_neither(moving, tmp_path):
    assert fuse(moving, tmp_path) == 0
    before = times(tmp_path)
    assert len(before) == 4
    assert fuse(moving, tmp_path) == 0
    assert times(tmp_path) == before  # nothing was done twice
    assert verify(str(tmp_path), deep=True).clean
    one, other = rows_of(tmp_path)
    Path(one["display_uri"]).unlink()
    Path(other["display_uri"]).write_bytes(b"\0" * other["display_bytes"])
    codes = {finding.code: finding.path for finding in verify(str(tmp_path), repair=True).findings}
    assert codes["result-missing"] == one["display_path"]
    assert codes["result-damaged"] == other["display_path"]
    assert fuse(moving, tmp_path) == 0
    assert verify(str(tmp_path), deep=True).open == 0
    assert times(tmp_path).keys() == before.keys()


def test_a_picture_of_somebody_elses_is_left_alone(moving, undisturbed, tmp_path):
    row = rows_of(undisturbed)[0]
    theirs = tmp_path / row["display_path"]
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    fuse(moving, tmp_path)
    failed, *_ = (row for row in rows_of(tmp_path) if row["status"] == "quarantined")
    assert failed["error_code"] == "result-exists"
    assert theirs.read_bytes() == b"mine"
    assert not (tmp_path / row["result_path"]).exists()


def test_what_another_model_wrote_over_does_not_stand(moving, tmp_path):
    fusion = FuseSettings(model="mertens", align="off")
    assert fuse(moving, tmp_path, settings=fusion) == 0
    first = snapshot(moving, tmp_path)
    assert fuse(moving, tmp_path) == 0  # pictures beside radiances take the same places
    assert {row["model"] for row in rows_of(tmp_path)} == {"merge"}
    assert fuse(moving, tmp_path, settings=fusion) == 0
    now = {k: v for k, v in snapshot(moving, tmp_path).items() if not k.endswith(".exr")}
    assert not differences(first, now)


@pytest.mark.ray
@pytest.mark.prefect
def test_the_command_merges_without_ghosts(prefect_server, run, moving, tmp_path):
    code, said, errors = run(
        "fuse", str(moving), str(tmp_path), "--model", "merge", "--format", "png", "--workers", "1"
    )
    assert code == 0, errors
    assert "tone-mapped" in said
    assert "PSNR-mu" in said
    rows = rows_of(tmp_path)
    assert len(rows) == 2
    for row in rows:
        assert (row["status"], row["display_format"]) == ("fused", "png")
        assert row["ghost_share"] < 0.03
        assert row["psnr_mu_db"] > 25
        assert row["followed_share"] > 0.7
    assert verify(str(tmp_path), deep=True).clean
