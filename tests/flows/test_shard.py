# SPDX-License-Identifier: Apache-2.0
"""Sharding end to end: real Prefect, real Ray, real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.shard import shard_archive
from pipeline.ledger import read_manifests, read_report
from pipeline.patches import open_patches, read_patch
from pipeline.pool import PoolOptions
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.split_table import read_split

pytestmark = [pytest.mark.ray, pytest.mark.prefect]
SETTINGS = ShardSettings(
    patch_px=48, patches_per_bracket=4, validation_share=0.2, test_share=0.2, seed=1
)


def shard(source: Path, shards: Path, workers: int, **options):
    pool = PoolOptions(workers=workers, threads_per_worker=1)
    return shard_archive(str(source), str(shards), SETTINGS, pool=pool, **options)


def files(shards: Path) -> dict[str, bytes]:
    """Everything but the report and the catalog, which speak of the run."""
    inside = [shards / "split.parquet", *(shards / "patches").rglob("*.parquet")]
    return {path.relative_to(shards).as_posix(): path.read_bytes() for path in inside}


@pytest.fixture(scope="module")
def sharded(prefect_server, archive, tmp_path_factory):
    """The archive cut by one worker and by two."""
    folder, _ = archive
    places = [tmp_path_factory.mktemp(f"workers{count}") for count in (1, 2)]
    outcomes = [shard(folder, place, count) for count, place in zip((1, 2), places, strict=True)]
    return places, outcomes


def test_two_workers_write_the_same_bytes_as_one(sharded):
    (one, two), outcomes = sharded
    assert files(one) == files(two)
    assert outcomes[0].counts == outcomes[1].counts
    workers = set(read_report(str(two), columns=["worker"])["worker"].to_pylist())
    assert {"worker000", "worker001"} <= workers


def test_every_bracket_is_accounted_for(sharded, archive):
    (shards, _), (outcome, _) = sharded
    _, truth = archive
    counts = outcome.counts
    assert counts.found == counts.fused + counts.skipped + counts.quarantined
    assert (counts.fused, counts.quarantined) == (len(truth.brackets) - 1, 1)
    table = read_split(str(shards)).to_pylist()
    assert len(table) == len(truth.brackets)
    (bad,) = (row for row in table if row["split"] is None)
    assert bad["reason"] == "quarantined: decode-truncated"
    (manifest,) = read_manifests(str(shards))
    assert manifest["settings"]["patch_px"] == 48
    assert manifest["counts"]["fused"] == counts.fused


def test_patches_hold_all_frames_of_their_bracket(sharded):
    (shards, _), _ = sharded
    rows = {r["bracket_id"]: r for r in read_report(str(shards)).to_pylist()}
    refs = [
        ref for split in ("train", "validation", "test") for ref in open_patches(str(shards), split)
    ]
    assert len({ref.key for ref in refs}) == len(refs) > 5
    for ref in refs:
        patch, row = read_patch(ref), rows[ref.key.split("/")[0]]
        assert patch.key == ref.key
        assert patch.frames.shape == (row["frame_count"], 3, 48, 48)
        assert list(patch.times_s) == row["exposure_times_s"]
        means = patch.frames.reshape(len(patch.frames), -1).mean(axis=1)
        assert means[0] < means[-1]
    assert {read_patch(ref).frames.dtype.name for ref in refs} == {"uint8", "uint16"}


def test_a_second_run_goes_on_where_the_first_was_killed(sharded, archive):
    (_, shards), (_, outcome) = sharded
    folder, _ = archive
    before = files(shards)
    lost = sorted(path for path in before if path.startswith("patches/"))[0]
    (shards / lost).unlink()
    (shards / "split.parquet").unlink()
    counts = shard(folder, shards, 1).counts
    assert (counts.fused, counts.reused) == (1, outcome.counts.fused - 1)
    assert files(shards) == before


def test_scenes_of_a_benchmark_are_left_out(sharded, archive, tmp_path):
    (shards, _), _ = sharded
    folder, _ = archive
    brackets = [r for r in read_report(str(shards)).to_pylist() if r["status"] == "fused"]
    shown = brackets[0]
    benchmark = tmp_path / "benchmark" / "renamed"
    benchmark.mkdir(parents=True)
    for number, uri in enumerate(shown["frame_uris"]):
        source = Path(uri)
        (benchmark / f"{number}{source.suffix}").write_bytes(source.read_bytes())
    out = tmp_path / "out"
    counts = shard(folder, out, 1, without=(str(tmp_path / "benchmark"),)).counts
    assert counts.fused == len(brackets) - 1
    (row,) = (
        r for r in read_report(str(out)).to_pylist() if r["bracket_id"] == shown["bracket_id"]
    )
    assert row["status"] == "skipped"
    assert "left out: shows" in row["notes"][-1]
    assert "benchmark" in row["notes"][-1]
    (manifest,) = read_manifests(str(out))
    assert manifest["compared"] == {"scenes": 1, "dull": 0, "left_out": 1}
