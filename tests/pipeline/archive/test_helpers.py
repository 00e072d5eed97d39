# SPDX-License-Identifier: Apache-2.0
"""A scan with helpers on Ray: the same catalog, whoever looked, and whoever died of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import RayActorError

from pipeline.archive import helpers, scan
from pipeline.archive.find import write_found
from pipeline.archive.layout import Folder
from pipeline.archive.scan import ScanOptions
from pipeline.cluster import connect
from pipeline.errors import InfrastructureError
from tests.pipeline.archive.trees import camera_tags, picture


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[None]:
    with connect(cpus=2, gpus=0):
        yield


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for day in range(6):
        for k, ev in enumerate((0, -2, 2)):
            path = tmp_path / f"archive/day{day}/IMG_{k:04d}.JPG"
            picture(path, ev, exif=camera_tags(1 / 60 * 2.0**ev, k * 0.3, bias_ev=ev))
            os.utime(path, (1.6e9, 1.6e9))
    return tmp_path / "archive"


@pytest.mark.ray
def test_the_catalog_is_the_same_though_a_worker_dies(
    two_cpus: None, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, helped = tmp_path / "alone.parquet", tmp_path / "helped.parquet"
    summary = write_found(str(tree), str(alone), ScanOptions())
    sent: list[Folder] = []
    take = helpers.ScanHelpers.take

    def watch(self: helpers.ScanHelpers, folders: Sequence[Folder]) -> object:
        ray.wait(list(self._starting), num_returns=len(self._starting))
        promise = take(self, folders)
        if promise is not None:
            sent.extend(folders)
            if len(sent) == 1:
                (actor,) = self._at_hand
                ray.kill(actor, no_restart=False)
        return promise

    monkeypatch.setattr(helpers.ScanHelpers, "take", watch)
    monkeypatch.setattr(scan, "_BATCH_FILES", 1)
    got = write_found(str(tree), str(helped), ScanOptions(), workers=1, start_after_s=0)
    assert got == summary
    assert helped.read_bytes() == alone.read_bytes()
    assert 1 <= len(sent) < 6  # this process did its share


@pytest.mark.parametrize("code", ["ray-failed", "no-progress"])
def test_a_batch_that_nobody_looks_into_ends_the_scan(
    monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    class Actor:
        ready = SimpleNamespace(remote=lambda: "started")
        look = SimpleNamespace(remote=lambda folders: "ref")

    def wait(refs: list[str], **_: float) -> tuple[list[str], list[str]]:
        return (refs, []) if code == "ray-failed" or refs == ["started"] else ([], refs)

    def get(ref: str) -> None:
        if ref != "started":
            raise RayActorError

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", get)
    folder = Folder(uri="/photos/evil", path="evil", source="/photos", files=())
    promise = helpers.ScanHelpers([Actor()]).take([folder])
    assert promise is not None
    with pytest.raises(InfrastructureError, match="/photos/evil") as caught:
        promise.result()
    assert caught.value.code == code


def test_nobody_waits_for_actors_that_a_full_cluster_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Actor:
        ready = SimpleNamespace(remote=lambda: "never")

    monkeypatch.setattr(ray, "wait", lambda refs, **_: ([], refs))
    folder = Folder(uri="/photos/day", path="day", source="/photos", files=())
    found = helpers.ScanHelpers([Actor()])
    assert found.take([folder]) is None
    assert found.most == 0
