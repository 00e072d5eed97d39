# SPDX-License-Identifier: Apache-2.0
"""Batches come back in their order, whoever looks into them; no Ray is needed to see that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.archive import helpers, scan
from pipeline.archive.crew import Crew
from pipeline.archive.find import write_found
from pipeline.archive.layout import Folder
from pipeline.archive.looking import Looked, Looker, ScanJob
from pipeline.archive.scan import ScanOptions
from pipeline.errors import InfrastructureError
from tests.pipeline.archive.trees import picture


@dataclass
class Slow:
    """A promise that is kept only when somebody insists."""

    looked: Looked
    ready: bool = False

    def result(self) -> Looked:
        return self.looked


class Few:
    """Helpers of whom every second batch is too much."""

    most = 3

    def __init__(self, job: ScanJob) -> None:
        self.looker = Looker(job).__enter__()
        self.sent: list[Folder] = []
        self.asked = 0

    def take(self, folders: Sequence[Folder]) -> Slow | None:
        self.asked += 1
        if self.asked % 2:
            return None
        self.sent += folders
        return Slow(self.looker.look(folders))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in "cabdefgh":
        picture(tmp_path / f"archive/{name}/1.png", -1)
        picture(tmp_path / f"archive/{name}/2.png", 1)
    return tmp_path / "archive"


def test_helpers_do_not_change_the_catalog(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few: list[Few] = []

    @contextmanager
    def hired(job: ScanJob, workers: int | None) -> Iterator[Few]:
        few.append(Few(job))
        yield few[0]

    alone, helped = tmp_path / "alone.parquet", tmp_path / "helped.parquet"
    summary = write_found(str(tree), str(alone), ScanOptions())
    monkeypatch.setattr(helpers, "open_helpers", hired)
    monkeypatch.setattr(scan, "_BATCH_FILES", 1)
    monkeypatch.setenv("RAY_ADDRESS", "a cluster")
    assert write_found(str(tree), str(helped), ScanOptions(), start_after_s=0) == summary
    assert helped.read_bytes() == alone.read_bytes()
    assert len(few[0].sent) == 4


def test_a_small_archive_does_not_wait_for_ray(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hired(job: ScanJob, workers: int | None) -> None:
        raise AssertionError("nobody needs help")

    monkeypatch.setattr(helpers, "open_helpers", hired)
    write_found(str(tree), str(tmp_path / "c.parquet"), ScanOptions())


@pytest.mark.parametrize("cluster", [False, True])
def test_where_ray_does_not_start_one_goes_on_alone(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: bool
) -> None:
    def hired(job: ScanJob, workers: int | None) -> None:
        raise InfrastructureError("ray-failed", "Ray could not be started.")

    monkeypatch.setattr(helpers, "open_helpers", hired)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    catalog = str(tmp_path / "c.parquet")
    if cluster:  # somebody asked for it
        monkeypatch.setenv("RAY_ADDRESS", "a cluster")
        with pytest.raises(InfrastructureError):
            write_found(str(tree), catalog, ScanOptions(), start_after_s=0)
    else:
        assert write_found(str(tree), catalog, ScanOptions(), start_after_s=0).brackets == 8


def test_no_more_is_ahead_than_helpers_can_use(tree: Path) -> None:
    job = scan.scan_job(str(tree), ScanOptions())
    given = 0

    def batches() -> Iterator[list[Folder]]:
        nonlocal given
        for _ in range(20):
            given += 1
            yield []

    with Crew(job) as crew:
        looked = crew.look(batches())
        next(looked)
        assert given == 1
        assert sum(1 for _ in looked) == 19
