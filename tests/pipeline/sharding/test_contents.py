# SPDX-License-Identifier: Apache-2.0
"""The hash of what shards hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.sharding import contents
from pipeline.sharding.contents import contents_sha256
from tests.pipeline.tiny_training import make_shards


@pytest.fixture
def shards(tmp_path) -> str:
    return make_shards(tmp_path / "shards", train=2)


def change(shards: str, split: str) -> None:
    """A file holds something else of the same length."""
    file = next(Path(shards).glob(f"patches/split={split}/*.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_other_patches_of_the_same_names_are_other_contents(shards, split):
    before = contents_sha256((shards,))
    assert contents_sha256((shards,)) == before
    change(shards, split)
    assert contents_sha256((shards,)) != before


def test_neither_place_nor_order_matter(shards, tmp_path):
    more = make_shards(tmp_path / "more", train=1, counts=(4,))
    before = contents_sha256((shards, more))
    moved = shutil.move(shards, tmp_path / "moved")
    assert contents_sha256((more, str(moved))) == before
    assert contents_sha256((more,)) != before


def test_what_the_report_knows_is_not_read(shards, monkeypatch):
    paths = [str(path.relative_to(shards)) for path in Path(shards).rglob("*.parquet")]
    rows = [
        {"status": "fused", "result_path": path, "result_sha256": hash_, "finished_at": when}
        for when, hash_ in enumerate(("old", "new"))
        for path in paths
    ]

    def report(rows):
        monkeypatch.setattr(contents, "read_report", lambda *_, **__: pa.Table.from_pylist(rows))
        return contents_sha256((shards,))

    known = report(rows)
    change(shards, "train")
    assert report(rows) == known
    assert report(rows[: len(paths)]) != known


def test_a_missing_file_is_told(shards):
    next(Path(shards).glob("patches/split=train/*.parquet")).unlink()
    with pytest.raises(UsageError) as caught:
        contents_sha256((shards,))
    assert caught.value.code == "shards-invalid"
