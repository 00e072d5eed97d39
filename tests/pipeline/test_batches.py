# SPDX-License-Identifier: Apache-2.0
"""The order of training data."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pipeline.augment import AugmentSettings
from pipeline.batches import (
    BatchSource,
    read_training_batch,
    read_validation_batch,
    validation_plans,
)
from pipeline.errors import UsageError
from pipeline.patches import PatchRef, open_patches
from tests.pipeline.tiny_training import PATCH_PX, make_shards


def refs(*counts: int) -> tuple[PatchRef, ...]:
    return tuple(
        PatchRef(f"/{number:03}", 0, f"{number:03}/0", k) for number, k in enumerate(counts)
    )


MIXED = refs(*[2, 3, 5] * 6)


def source(patches=MIXED, **changes) -> BatchSource:
    plain = {"frames": (2, 5), "batch": 4, "seed": 3, "settings": AugmentSettings()}
    return BatchSource(refs=patches, **(plain | changes))


def test_any_step_can_be_the_first():
    whole = list(source().plans(0, 40))
    assert [plan.step for plan in whole] == list(range(40))
    for start in (1, 7, 39):
        assert list(source().plans(start, 40)) == whole[start:]


def test_workers_share_a_batch_without_gap_or_overlap():
    for plan in source().plans(0, 10):
        for size in (1, 2, 4):
            parts = [plan.part(rank, size) for rank in range(size)]
            assert tuple(ref for part in parts for ref in part.refs) == plan.refs
            assert [part.first for part in parts] == [len(parts[0].refs) * r for r in range(size)]
            assert {part.frames for part in parts} == {plan.frames}


def test_every_patch_comes_once_before_any_comes_twice():
    patches = refs(*[2] * 10)
    plans = list(source(patches, frames=(2, 2)).plans(0, 10))
    seen = [key for plan in plans for key in plan.keys]
    rounds = [seen[first : first + 10] for first in range(0, 40, 10)]
    assert all(Counter(part) == Counter(ref.key for ref in patches) for part in rounds)
    assert len({tuple(part) for part in rounds}) == 4  # in another order each time


def test_all_numbers_of_frames_are_drawn_and_no_patch_has_too_few():
    plans = list(source().plans(0, 60))
    assert {plan.frames for plan in plans} == {2, 3, 4, 5}
    assert all(ref.count >= plan.frames for plan in plans for ref in plan.refs)


def test_another_seed_is_another_order():
    one, other = (next(source(seed=seed).plans(0, 1)) for seed in (1, 2))
    assert one != other


def test_more_frames_than_any_patch_has_are_refused():
    with pytest.raises(UsageError, match="no training patch") as caught:
        source(refs(2, 3))
    assert caught.value.code == "recipe-invalid"


def test_validation_is_spread_over_all_patches_and_leaves_out_those_too_short():
    patches = refs(*[2] * 10, *[3] * 10, *[5] * 10)
    plans = validation_plans(patches, frames=(3, 4), batch=4, most=10)
    chosen = [ref for plan in plans for ref in plan.refs]
    assert len(set(chosen)) == 10
    assert all(min(ref.count, 4) == plan.frames for plan in plans for ref in plan.refs)
    assert {ref.count for ref in chosen} == {3, 5}
    assert [plan.step for plan in plans] == list(range(len(plans)))
    assert len(validation_plans(patches, frames=(2, 2), batch=4, most=99)) == 8
    with pytest.raises(UsageError, match="validation"):
        validation_plans(refs(2, 2), frames=(3, 4), batch=4, most=10)


def test_reading_gives_the_same_pixels_whoever_reads(tmp_path):
    patches = open_patches(make_shards(tmp_path), "train")
    noisy = AugmentSettings(noise_probability=1, jpeg_probability=0.5)
    stream = source(patches, frames=(2, 3), settings=noisy, crop_px=8)
    for plan in stream.plans(0, 3):
        whole = read_training_batch(stream, plan)["frames"]
        assert whole.shape == (4, plan.frames, 3, 8, 8)
        assert whole.dtype == np.float32
        parts = [read_training_batch(stream, plan.part(r, 2))["frames"] for r in (0, 1)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    first, second = (read_training_batch(stream, plan)["frames"] for plan in stream.plans(0, 2))
    assert not np.array_equal(first[:, :2], second[:, :2])


def test_a_crop_larger_than_the_patches_is_refused(tmp_path):
    patches = open_patches(make_shards(tmp_path), "train")
    stream = source(patches, frames=(2, 2), crop_px=PATCH_PX + 1)
    (plan,) = stream.plans(0, 1)
    for read in (
        lambda: read_training_batch(stream, plan),
        lambda: read_validation_batch(replace(plan, frames=2), crop_px=PATCH_PX + 1),
    ):
        with pytest.raises(UsageError, match="crop_px") as caught:
            read()
        assert caught.value.code == "recipe-invalid"
