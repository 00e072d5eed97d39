# SPDX-License-Identifier: Apache-2.0
"""kill -9 between two writes, the same command again: nothing lost, nothing doubled."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.comparing import differences, snapshot
from tests.flows.crash_run import fuse_apart


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory):
    """What a run leaves that nobody disturbs."""
    destination = tmp_path_factory.mktemp("undisturbed")
    assert fuse_apart(str(archive[0]), str(destination)) == 0
    return snapshot(archive[0], destination)


@pytest.mark.parametrize(
    "fault",
    [
        "fuse.result.after:2",  # a result that no row speaks of
        "ledger.segment.before",  # all results, no rows
        "ledger.manifest.before",  # everything but the end
    ],
)
def test_a_killed_run_is_made_good_by_the_same_command(undisturbed, archive, tmp_path, fault):
    source, destination = str(archive[0]), str(tmp_path)
    assert fuse_apart(source, destination, fault) == -signal.SIGKILL
    assert differences(undisturbed, snapshot(archive[0], tmp_path)) or "manifest" in fault
    assert fuse_apart(source, destination) == 0
    assert not differences(undisturbed, snapshot(archive[0], tmp_path))
