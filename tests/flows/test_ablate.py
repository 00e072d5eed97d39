# SPDX-License-Identifier: Apache-2.0
"""A study end to end: real Prefect, real Ray, real files."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows import ablate
from pipeline.cluster import connect
from pipeline.errors import UsageError
from pipeline.patches import Patch, patches_path, write_patches
from pipeline.sharding.split_table import write_split

RECIPE = """
summary = "for tests"
[network]
name = "ufm"
width = 0.05
[loss]
name = "weighted_ssim"
luminance = false
[data]
frames = 2
crop_px = 48
[data.shard]
patch_px = 64
[training]
steps = 3
batch = 2
lr = 1e-3
validate_every = 2
validation_patches = 2
"""
# Odd is a variant that cannot be trained, which shows only when it is tried.
STUDY = """
summary = "for tests"
recipe = "tiny.toml"
[variants]
v = { "loss.gamma" = "v" }
mef_ssim = { loss = { name = "mef_ssim" } }
odd = { "training.lr" = 0.5 }
[conditions]
near = { stops = 2 }
noisy = { noise = 5 }
"""
VALIDATION_PATCHES = 5


@pytest.fixture
def study(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE, "utf-8")
    file = tmp_path / "mine.toml"
    file.write_text(STUDY, "utf-8")
    return str(file)


@pytest.fixture
def shards(tmp_path):
    """Three brackets of four frames, two stops apart; the last one is for validation."""
    rng = np.random.default_rng(3)
    rows = []
    for bracket, split in (("a", "train"), ("b", "train"), ("c", "validation")):
        patches = []
        for index in range(VALIDATION_PATCHES):
            scene = rng.uniform(0, 4, (3, 16, 16)).repeat(4, 1).repeat(4, 2)
            exposed = [(scene * 2.0**ev).clip(0, 1) ** (1 / 2.2) for ev in (-6, -4, -2, 0)]
            frames = (np.stack(exposed) * 255).round().astype(np.uint8)
            patches.append(
                Patch(
                    bracket_id=bracket,
                    scene=bracket,
                    index=index,
                    top=0,
                    left=0,
                    frames=frames,
                    evs=(-6, -4, -2, 0),
                )
            )
        write_patches(patches, str(tmp_path / "shards" / patches_path(split, bracket)))
        rows.append({"scene": bracket, "bracket_id": bracket, "split": split, "reason": "test"})
    write_split(str(tmp_path / "shards"), rows)
    return (str(tmp_path / "shards"),)


@pytest.mark.ray
@pytest.mark.prefect
@pytest.mark.filterwarnings("ignore:.use_push_based_shuffle:DeprecationWarning")  # Ray's own
def test_a_study_is_a_table_and_is_not_done_twice(
    prefect_server, study, shards, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    changes = {"training.steps": 2}
    train_model = ablate.train_model

    def train_most(*arguments, **options):
        if "odd" in arguments[1]:
            raise UsageError("loss-not-finite", "Training stopped.")
        return train_model(*arguments, **options)

    monkeypatch.setattr(ablate, "train_model", train_most)
    with connect(object_store_bytes=2**28):  # once for all trainings, which takes less time
        outcome = ablate.run_ablation(study, str(out), shards, changes)
    assert outcome.failed == ("odd/seed-0: loss-not-finite",)

    rows = pq.read_table(out / "table.parquet").to_pylist()
    assert rows == list(outcome.rows)
    places = {
        ("plain", "clean"): 6.0,
        ("near", "clean"): 2.0,
        ("noisy", "clean"): 6.0,
        ("noisy", "noisy"): 6.0,
    }
    done = [row for row in rows if row["figure"] == "gray_ms3"]
    assert {(r["variant"], r["condition"], r["against"]): r["stops_mean"] for r in done} == {
        (variant, *place): stops for variant in ("v", "mef_ssim") for place, stops in places.items()
    }
    assert {row["patches"] for row in done} == {VALIDATION_PATCHES}  # more than the recipe's two
    assert {row["steps"] for row in done} == {2}
    report = (out / "table.md").read_text("utf-8")
    assert "failed: `loss-not-finite`" in report
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    curves = pq.read_table(out / "curves.parquet").to_pylist()
    assert {row["variant"] for row in curves} == {"v", "mef_ssim"}

    trained = []

    def never(*arguments, **_):
        trained.append(arguments)
        raise AssertionError("trained again")

    monkeypatch.setattr(ablate, "train_model", never)
    again = ablate.run_ablation(study, str(out), shards, changes, only=("v",))
    assert trained == []
    # What stands is told of, though it was not asked for; what failed is not.
    assert [row for row in rows if row["error_code"] is None] == list(again.rows)
