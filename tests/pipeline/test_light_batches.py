# SPDX-License-Identifier: Apache-2.0
"""Batches for networks that make radiance: labels stay where their pixels are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.hdr_network import middle
from pipeline.augment import AugmentSettings
from pipeline.batches import BatchSource
from pipeline.errors import UsageError
from pipeline.light_batches import check_patch, fields_of, plain_fields, training_fields
from pipeline.patches import Patch, PatchRef

SIDE = 16
ALL = ("times_s", "label", "color", "structure", "mask", "aligned")


def patch(count: int = 5, **changes) -> Patch:
    """A static, unclipped scene, one stop from frame to frame; the middle one tells the label."""
    rng = np.random.default_rng(3)
    light = rng.uniform(0.02, 0.03, (3, SIDE, SIDE))
    times = [2.0 ** (k - middle(count)) for k in range(count)]
    frames = np.stack([np.floor((light * t) ** (1 / 2.2) * 65535 + 0.5) for t in times])
    known = {
        "frames": frames.astype(np.uint16),
        "aligned": frames.astype(np.uint16),
        "times_s": tuple(times),
        "label": light.astype(np.float32),
        "structure": (2 * light).astype(np.float32),
        "mask": rng.integers(0, 2, (count, SIDE, SIDE)).astype(np.uint8) * np.uint8(255),
    }
    return Patch(bracket_id="a", scene="a", index=0, top=0, left=0, **(known | changes))


@pytest.mark.parametrize("count", [3, 4, 5, 7])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_reference_is_the_middle_of_every_batch_and_its_light_the_label(count, k):
    if k > count:
        return
    settings = AugmentSettings()
    for seed in range(6):
        made = training_fields(
            patch(count), ALL, settings, k, np.random.default_rng(seed), crop_px=9
        )
        assert made["frames"].shape == (k, 3, 9, 9)
        assert made["times_s"][middle(k)] == 1
        assert np.all(np.diff(made["times_s"]) > 0)
        # Turned and cropped alike, to the pixel.
        light = made["frames"][middle(k)] ** 2.2
        np.testing.assert_allclose(light, made["label"], rtol=1e-3)
        np.testing.assert_allclose(made["color"], made["label"], rtol=2e-3)
        np.testing.assert_allclose(made["structure"], 2 * made["label"], rtol=1e-6)
        np.testing.assert_array_equal(made["aligned"], made["frames"])  # nothing moved
        assert made["mask"].shape == (1, 9, 9)
        assert set(np.unique(made["mask"])) <= {0.0, 1.0}


def test_validation_spreads_its_frames_around_the_middle_one():
    assert plain_fields(patch(7), ("times_s",), 3)["times_s"].tolist() == [0.25, 1, 4]
    assert plain_fields(patch(7), ("times_s",), 5)["times_s"].tolist() == [0.125, 0.5, 1, 2, 8]
    whole = plain_fields(patch(5), ("times_s", "mask"), 5)
    assert whole["times_s"].tolist() == [0.25, 0.5, 1, 2, 4]
    np.testing.assert_array_equal(whole["mask"][0], patch(5).mask.min(0) / 255)


@pytest.mark.parametrize(
    ("lacking", "cure"),
    [
        ("times_s", "--aligned flow"),
        ("label", "ground truth"),
        ("aligned", "--aligned flow"),
        ("structure", "--stage-one"),
        ("mask", "--aligned flow"),
    ],
)
def test_what_a_patch_lacks_is_named_with_the_cure(lacking, cure):
    with pytest.raises(UsageError, match=cure) as caught:
        check_patch(replace(patch(3), **{lacking: None}), ALL)
    assert caught.value.code == "shards-invalid"


def test_a_whole_patch_passes_and_fusion_asks_for_nothing():
    check_patch(patch(3), ALL)
    check_patch(replace(patch(3), times_s=None, label=None), ())


def test_the_truth_measures_where_there_is_some():
    needs = ("times_s", "color")
    assert fields_of(needs) == ("times_s", "color", "mask")
    assert fields_of(needs, measured_by=patch(3)) == ("times_s", "label", "color", "mask")
    assert fields_of(needs, measured_by=replace(patch(3), label=None)) == fields_of(needs)
    assert fields_of((), measured_by=patch(3)) == ()  # fusion needs nothing


@pytest.mark.parametrize(
    "bending",
    [
        {"tone_probability": 0.1},
        {"gain_probability": 1.0},
        {"jpeg_probability": 0.5},
        {"scale": (0.5, 1.0)},
    ],
)
def test_nothing_may_part_frames_from_their_light(bending):
    refs = (PatchRef(uri="x", row_group=0, key="k", count=3),)
    plain = {"refs": refs, "frames": (3, 3), "batch": 1, "seed": 0, "crop_px": 8}
    settings = AugmentSettings(**bending)
    BatchSource(settings=settings, **plain)
    with pytest.raises(UsageError, match=next(iter(bending))) as caught:
        BatchSource(settings=settings, fields=("times_s", "label"), **plain)
    assert caught.value.code == "recipe-invalid"
