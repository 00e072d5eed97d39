# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up half-way: the run says so and ends; with room, the same command goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.ledger import read_report
from tests.chaos.comparing import differences, snapshot

pytestmark = [pytest.mark.ray, pytest.mark.prefect]


def _pages(folder: Path) -> int:
    """Bytes that the files of a folder take on a tmpfs."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts (or grows) a tmpfs to so many bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def size(size_bytes: int, *, grow: bool = False) -> Path:
        options = f"{'remount,' if grow else ''}size={size_bytes}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.strip()}")
        return folder

    yield size
    subprocess.run(["umount", folder], capture_output=True)


def test_a_disk_that_fills_up_half_way(house, archive, undisturbed, small_disk, tmp_path):
    whole = tmp_path / "whole"
    assert house.fuse(archive, whole) == 0, house.said()
    out = small_disk(_pages(whole) // 2) / "out"
    assert house.fuse(archive, out) == 4, house.said()
    assert "disk-full" in house.said()
    results = list((out / "results").rglob("*.png"))
    assert 0 < len(results) < sum(name.startswith("results/") for name in undisturbed)
    small_disk(4 * _pages(whole), grow=True)
    assert house.fuse(archive, out) == 0, house.said()
    assert not differences(undisturbed, snapshot(archive, out))
    assert not list(out.rglob(".bracketflow-*"))
    assert len(read_report(str(out))) == sum(name.startswith("row ") for name in undisturbed)
