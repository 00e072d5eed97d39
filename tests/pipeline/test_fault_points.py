# SPDX-License-Identifier: Apache-2.0
"""Fault points do nothing unless asked, kill where they are asked to, and are all in the code."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from pipeline.fault_points import FAULT_POINTS, ONCE, VARIABLE, fault_point

_PASS = """
from pipeline.fault_points import fault_point
for number in range(1, 4):
    fault_point("fuse.result.before")
    fault_point("catalog.after")
    print(number, flush=True)
"""


def test_every_point_is_somewhere_in_the_code(repository):
    source = "".join(
        path.read_text("utf-8")
        for folder in ("pipeline", "flows")
        for path in (repository / folder).rglob("*.py")
    )
    passed = re.findall(r'\bfault_point\(\s*"([^"]+)"', source)
    assert set(passed) == set(FAULT_POINTS)


def test_without_the_variable_nothing_happens(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    for name in FAULT_POINTS:
        fault_point(name)


def test_a_misspelt_point_is_an_error(monkeypatch):
    monkeypatch.setenv(VARIABLE, "fuse.result.befor")
    with pytest.raises(ValueError, match="no fault point"):
        fault_point("fuse.result.before")


@pytest.mark.parametrize(
    ("fault", "lines"), [("fuse.result.before", 0), ("catalog.after:3", 2), ("catalog.after:9", 3)]
)
def test_a_process_dies_at_the_passage_it_was_told(repository, fault, lines):
    done = subprocess.run(
        [sys.executable, "-c", _PASS], cwd=repository, env={VARIABLE: fault}, capture_output=True
    )
    assert len(done.stdout.split()) == lines
    assert done.returncode == (-signal.SIGKILL if lines < 3 else 0)


def test_of_many_processes_one_dies_and_leaves_proof(repository, tmp_path):
    environment = {VARIABLE: "catalog.after:2", ONCE: str(tmp_path)}
    ends = [
        subprocess.run(
            [sys.executable, "-c", _PASS], cwd=repository, env=environment, capture_output=True
        ).returncode
        for _ in range(2)
    ]
    assert ends == [-signal.SIGKILL, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.after"]
