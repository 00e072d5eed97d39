# SPDX-License-Identifier: Apache-2.0
"""Splits: by scene, by hash, by share, and never an empty one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.sharding.settings import SPLITS, ShardSettings
from pipeline.sharding.splitting import assign_splits, check_splits

SHARES = st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.45])
NAMES = st.sets(st.text(min_size=1, max_size=8), min_size=3, max_size=60)


@given(NAMES, SHARES, SHARES, st.integers(0, 5), st.randoms())
def test_every_scene_has_one_split_and_every_split_a_scene(names, validation, test, seed, random):
    settings = ShardSettings(validation_share=validation, test_share=test, seed=seed)
    splits = assign_splits(names, settings)
    assert splits.keys() == names
    assert set(splits.values()) == {split for split in SPLITS if settings.shares[split] > 0}
    shuffled = [*names, *names]
    random.shuffle(shuffled)
    assert assign_splits(shuffled, settings) == splits


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.25, 0.0), (0.3, 0.45)])
def test_shares_are_kept(validation, test):
    names = [f"scene {k}" for k in range(1000)]
    settings = ShardSettings(validation_share=validation, test_share=test)
    counts = Counter(assign_splits(names, settings).values())
    assert counts["validation"] == 1000 * validation
    assert counts["test"] == 1000 * test


def test_a_seed_decides():
    names = [f"scene {k}" for k in range(40)]
    found = [assign_splits(names, ShardSettings(seed=seed)) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("scenes", "validation", "test"), [(2, 0.1, 0.1), (1, 0.1, 0.0), (0, 0.0, 0.0), (1, 0.0, 0.3)]
)
def test_too_few_scenes_are_refused(scenes, validation, test):
    settings = ShardSettings(validation_share=validation, test_share=test)
    with pytest.raises(UsageError) as caught:
        assign_splits([str(k) for k in range(scenes)], settings)
    assert caught.value.code == "dataset-too-small"
    assert str(scenes) in caught.value.message


def test_a_split_without_patches_is_refused():
    check_splits(["train", "validation", "train"], ShardSettings(test_share=0.0))
    with pytest.raises(UsageError, match="for test and validation;") as caught:
        check_splits(["train"], ShardSettings())
    assert caught.value.code == "dataset-too-small"
