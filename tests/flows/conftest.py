# SPDX-License-Identifier: Apache-2.0
"""One real Prefect server for all flow tests, small archives to work on, and the command line."""

from __future__ import annotations

import sys

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows import cli
from pipeline.demo.archive import ArchivePlan, make_archive

PLAN = ArchivePlan(seed=3, size=(120, 180), per_day=3, broken_index=4)


@pytest.fixture(scope="session")
def prefect_server():
    """Prefect's own server on a database of its own."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """A demo archive of tiny frames, and the truth about it."""
    folder = tmp_path_factory.mktemp("demo") / "archive"
    return folder, make_archive(folder, brackets=6, plan=PLAN)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def go(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["bracketflow", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        code = left.value.code
        return (0 if code is None else code), out, err

    return go
