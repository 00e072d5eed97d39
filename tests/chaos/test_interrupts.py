# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C: the bracket at hand is finished, rows are written, one line says the rest."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest

from pipeline.ledger import read_report

pytestmark = [pytest.mark.ray, pytest.mark.prefect]


@pytest.fixture(scope="module")
def long_archive(archive, tmp_path_factory):
    """Brackets enough for a run that is still under way when the signal comes."""
    folder = tmp_path_factory.mktemp("long")
    for copy in range(10):
        shutil.copytree(archive, folder / str(copy))
    return folder


@pytest.mark.parametrize("own_ray", [False, True], ids=["a cluster's Ray", "Ray of its own"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_finishes_what_is_at_hand(house, long_archive, tmp_path, number, own_ray):
    out = tmp_path / "out"
    command = house.start(long_archive, out, "--workers", "1", own_ray=own_ray)
    while not list(out.glob("results/**/*.png")):
        assert command.poll() is None, house.said()
        time.sleep(0.05)
    os.kill(command.pid, number)
    assert house.wait(command) == 130, house.said()
    assert "Interrupted" in house.said()
    assert "Traceback" not in house.said()
    rows = read_report(str(out)).to_pylist()
    fused = {row["result_path"] for row in rows if row["status"] == "fused"}
    results = {path.relative_to(out).as_posix() for path in out.glob("results/**/*.png")}
    assert fused == results
    assert not list(out.rglob(".bracketflow-*"))
    assert len(results) < 200, "the run was over before the signal came"
