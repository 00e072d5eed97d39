# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every fault point; the same command again; nothing lost, nothing doubled.

A driver is killed at one point and the command started again. Workers are killed one after the
other in a single run, since the fleet replaces them: each passes a few brackets first, so that no
bracket is blamed for two deaths.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.fault_points import FAULT_POINTS, ONCE, VARIABLE
from pipeline.ledger import read_report
from tests.chaos.comparing import differences, snapshot

pytestmark = [pytest.mark.ray, pytest.mark.prefect]

# The passage at which to die. Of two brackets that a dead worker had at hand its successor does
# one after the other, alone; only the third is above suspicion.
_IN_WORKERS = {
    "worker.visit.before": 3,
    "worker.visit.after": 3,
    "fuse.preview.before": 3,
    "fuse.preview.after": 3,
    "fuse.map.after": 3,
    "fuse.result.before": 3,
    "fuse.result.after": 3,
    "ledger.intent.before": 3,
    "ledger.intent.after": 3,
}
_AT_START_OF_WORKERS = ("worker.ready.before", "worker.ready.after")
_AT_END_OF_WORKERS = ("ledger.segment.before", "ledger.segment.after")
_IN_DRIVER = {
    "catalog.before": 1,
    "catalog.after": 1,
    "lock.create.before": 1,
    "lock.create.after": 1,
    "lock.release.before": 1,
    "lock.release.after": 1,
    "ledger.segment.before": 1,
    "ledger.segment.after": 1,
    "ledger.manifest.before": 1,
    "ledger.manifest.after": 1,
    "driver.row.before": 5,
    "driver.row.after": 5,
}
_WITH_ALIASES = ("ledger.alias.before", "ledger.alias.after")
_IN_COMPACTION = (
    "ledger.compact.before",
    "ledger.compact.after",
    "ledger.replaces.after",
    "ledger.sweep.after",
)
_IN_RETIREMENT = ("retire.file.before", "retire.file.after")
_IN_WORKERS_THAT_SHARD = {"shard.patches.before": 3, "shard.patches.after": 3}
_IN_DRIVER_THAT_SHARDS = ("shard.split.before", "shard.split.after")
_IN_WORKERS_THAT_MERGE = {"fuse.display.before": 2, "fuse.display.after": 3}
_COMPACT = "import sys; from pipeline.compaction import compact; compact(sys.argv[1])"


@pytest.fixture(scope="module")
def matrix(write_table):
    """(point, process) -> (kills that happened, result); becomes the table."""
    rows: dict[tuple[str, str], tuple[int, str]] = {}
    yield rows
    table = [(*place, *outcome) for place, outcome in sorted(rows.items())]
    table.append(("all", "", sum(kills for kills, _ in rows.values()), ""))
    columns = ("fault point", "killed", "times", "after the same command again")
    write_table("crash-matrix", "kill -9 at every fault point", columns, table)


def _verdict(different: list[str]) -> str:
    return "equal" if not different else f"{len(different)} differences"


def test_every_point_is_in_the_matrix():
    planned = {*_IN_WORKERS, *_AT_START_OF_WORKERS, *_AT_END_OF_WORKERS, *_IN_DRIVER}
    planned |= {*_WITH_ALIASES, *_IN_COMPACTION, *_IN_RETIREMENT}
    planned |= {*_IN_WORKERS_THAT_SHARD, *_IN_DRIVER_THAT_SHARDS, *_IN_WORKERS_THAT_MERGE}
    assert planned == set(FAULT_POINTS)


@pytest.mark.parametrize("point", _IN_DRIVER)
def test_a_driver_that_dies(house, archive, undisturbed, matrix, tmp_path, point):
    out, once = tmp_path / "out", tmp_path / "once"
    died = house.fuse(archive, out, driver_fault=f"{point}:{_IN_DRIVER[point]}", once=once)
    kills = len(list(once.iterdir()))
    matrix[point, "driver"] = (kills, "not resumed")
    assert (died, kills) == (-signal.SIGKILL, 1), house.said()
    assert house.fuse(archive, out) == 0, house.said()
    different = differences(undisturbed, snapshot(archive, out))
    matrix[point, "driver"] = (kills, _verdict(different))
    assert not different, different


@pytest.mark.parametrize(
    "points",
    [tuple(_IN_WORKERS), _AT_START_OF_WORKERS, *((point,) for point in _AT_END_OF_WORKERS)],
    ids=["in the middle", "at the start", "before the last rows", "after the last rows"],
)
def test_workers_that_die(house, archive, undisturbed, matrix, tmp_path, points):
    out, once = tmp_path / "out", tmp_path / "once"
    faults = ",".join(f"{point}:{_IN_WORKERS.get(point, 1)}" for point in points)
    ended = house.fuse(archive, out, "--workers", "1", worker_fault=faults, once=once)
    killed = {path.name for path in once.iterdir()}
    for point in points:
        matrix[point, "worker"] = (int(point in killed), "not resumed")
    assert (ended, killed) == (0, set(points)), house.said()
    without_help = differences(undisturbed, snapshot(archive, out))
    assert house.fuse(archive, out) == 0, house.said()
    different = without_help + differences(undisturbed, snapshot(archive, out))
    for point in points:
        matrix[point, "worker"] = (1, _verdict(different))
    assert not different, different


@pytest.fixture(scope="module")
def copied(house, archive, tmp_path_factory):
    """Makes a finished destination whose sources were copied anew since: other times."""

    def make(name: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(name)
        source, out = folder / "in", folder / "out"
        shutil.copytree(archive, source)
        assert house.fuse(source, out) == 0, house.said()
        for path in source.rglob("*.*"):
            os.utime(path, (1e9, 1e9))
        return source, out

    return make


@pytest.fixture(scope="module")
def recognised(house, copied, undisturbed):
    """What an undisturbed run leaves there: the same results, rows of singles with new keys."""
    source, out = copied("recognised")
    assert house.fuse(source, out) == 0, house.said()
    found = snapshot(source, out)
    assert {name: found[name] for name in undisturbed if "/" in name} == {
        name: sha256 for name, sha256 in undisturbed.items() if "/" in name
    }
    return found


@pytest.mark.parametrize("point", _WITH_ALIASES)
def test_an_archive_that_was_copied_anew(house, copied, recognised, matrix, tmp_path, point):
    once = tmp_path / "once"
    source, out = copied("copying")
    died = house.fuse(source, out, driver_fault=point, once=once)
    kills = len(list(once.iterdir()))
    assert (died, kills) == (-signal.SIGKILL, 1), house.said()
    assert house.fuse(source, out) == 0, house.said()
    different = differences(recognised, snapshot(source, out))
    matrix[point, "driver"] = (kills, _verdict(different))
    assert not different, different


@pytest.mark.parametrize("point", _IN_COMPACTION)
def test_compaction_that_dies(house, archive, undisturbed, matrix, tmp_path, point):
    out, once = tmp_path / "out", tmp_path / "once"
    once.mkdir()
    assert house.fuse(archive, out) == 0, house.said()

    def compact(**fault: str) -> int:
        command = [sys.executable, "-c", _COMPACT, str(out)]
        return subprocess.run(command, env=house.variables | fault, timeout=120).returncode

    died = compact(**{VARIABLE: point, ONCE: str(once)})
    kills = len(list(once.iterdir()))
    assert (died, kills) == (-signal.SIGKILL, 1)
    different = differences(undisturbed, snapshot(archive, out))
    assert compact() == 0
    different += differences(undisturbed, snapshot(archive, out))
    matrix[point, "driver"] = (kills, _verdict(different))
    assert not different, different


@pytest.fixture(scope="module")
def shrinking(house, archive, tmp_path_factory):
    """Makes a finished destination of which sources have vanished: half a bracket, and two."""

    def make(name: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(name)
        source, out = folder / "in", folder / "out"
        shutil.copytree(archive, source)
        assert house.fuse(source, out) == 0, house.said()
        rows = [row for row in read_report(str(out)).to_pylist() if row["status"] == "fused"]
        longest = max(rows, key=lambda row: (len(row["frame_paths"]), row["bracket_id"]))
        rows.remove(longest)
        gone = [longest["frame_paths"][:1], *(row["frame_paths"] for row in rows[:2])]
        for path in (path for frames in gone for path in frames):
            (source / path).unlink()
        return source, out

    return make


@pytest.fixture(scope="module")
def pruned(house, shrinking):
    """What an undisturbed run with --prune leaves there."""
    source, out = shrinking("pruned")
    before = snapshot(source, out)
    assert house.fuse(source, out, "--prune") == 0, house.said()
    found = snapshot(source, out)
    assert len([name for name in before if name not in found]) >= 6  # files and rows of three
    return found


@pytest.mark.parametrize("point", _IN_RETIREMENT)
def test_pruning_that_dies(house, shrinking, pruned, matrix, tmp_path, point):
    once = tmp_path / "once"
    source, out = shrinking("pruning")
    died = house.fuse(source, out, "--prune", driver_fault=f"{point}:2", once=once)
    kills = len(list(once.iterdir()))
    assert (died, kills) == (-signal.SIGKILL, 1), house.said()
    assert house.fuse(source, out, "--prune") == 0, house.said()
    different = differences(pruned, snapshot(source, out))
    matrix[point, "driver"] = (kills, _verdict(different))
    assert not different, different


def test_sharding_that_dies(house, archive, matrix, tmp_path):
    whole = tmp_path / "whole"
    assert house.shard(archive, whole) == 0, house.said()
    expected = snapshot(archive, whole)
    assert sum(name.startswith("patches/") for name in expected) > 10
    out, once = tmp_path / "out", tmp_path / "once"
    faults = ",".join(f"{point}:{count}" for point, count in _IN_WORKERS_THAT_SHARD.items())
    for point in _IN_DRIVER_THAT_SHARDS:
        ended = house.shard(
            archive, out, "--workers", "1", driver_fault=point, worker_fault=faults, once=once
        )
        assert ended == -signal.SIGKILL, house.said()
        faults = None
    killed = {path.name for path in once.iterdir()}
    assert house.shard(archive, out) == 0, house.said()
    different = differences(expected, snapshot(archive, out))
    for point in (*_IN_WORKERS_THAT_SHARD, *_IN_DRIVER_THAT_SHARDS):
        process = "worker" if point in _IN_WORKERS_THAT_SHARD else "driver"
        matrix[point, process] = (int(point in killed), _verdict(different))
    assert killed == {*_IN_WORKERS_THAT_SHARD, *_IN_DRIVER_THAT_SHARDS}
    assert not different, different


def test_merging_that_dies(house, archive, matrix, tmp_path):
    whole, out, once = (tmp_path / name for name in ("whole", "out", "once"))
    merge = ("--model", "merge")  # a result of two files
    assert house.fuse(archive, whole, *merge) == 0, house.said()
    expected = snapshot(archive, whole)
    assert sum(name.endswith(".exr") for name in expected) > 2
    faults = ",".join(f"{point}:{count}" for point, count in _IN_WORKERS_THAT_MERGE.items())
    ended = house.fuse(archive, out, *merge, "--workers", "1", worker_fault=faults, once=once)
    killed = {path.name for path in once.iterdir()}
    assert house.fuse(archive, out, *merge) == 0, house.said()
    different = differences(expected, snapshot(archive, out))
    for point in _IN_WORKERS_THAT_MERGE:
        matrix[point, "worker"] = (int(point in killed), _verdict(different))
    assert (ended, killed) == (0, {*_IN_WORKERS_THAT_MERGE}), house.said()
    assert not different, different
