# SPDX-License-Identifier: Apache-2.0
"""Which frames, which squares; the same wherever and whenever it is decided."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sharding.cutting import choose_frames, cut_patches, places, reduce_area
from pipeline.sharding.settings import ShardSettings
from tests.pipeline.conftest import textured

ID = "0123456789abcdef"


def flat(*levels: int):
    return [np.full((20, 20, 3), level, np.uint8) for level in levels]


def squares(height, width, size, overlap=0.0, seed=0):
    return places(height, width, size, overlap, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("rule", "levels", "chosen"),
    [
        ("all", (9, 200, 100), (0, 2, 1)),
        ("extreme", (9, 200, 100), (0, 1)),
        ("under-over", (9, 200), (0, 1)),
        ("under-over", (100, 9, 200), (1, 2)),
        ("under-over", (9, 60, 100, 200), (1, 2)),
        ("under-over", (200, 9, 60, 100, 30), (4, 3)),
        ("all", (50, 50, 10), (2, 0, 1)),
    ],
)
def test_frames_are_chosen_dark_to_bright(rule, levels, chosen):
    assert choose_frames(flat(*levels), rule) == chosen


def test_sixteen_bits_are_chosen_alike():
    frames = [frame.astype(np.uint16) * 257 for frame in flat(200, 9, 60, 100, 30)]
    assert choose_frames(frames, "under-over") == (4, 3)


@pytest.mark.parametrize(("height", "width", "size"), [(100, 130, 32), (32, 32, 32), (64, 33, 32)])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_squares_lie_inside_on_a_grid(height, width, size, overlap):
    found = squares(height, width, size, overlap)
    step = round(size * (1 - overlap))
    assert len(set(found)) == (1 + (height - size) // step) * (1 + (width - size) // step)
    for top, left in found:
        assert 0 <= top <= height - size
        assert 0 <= left <= width - size
        assert (top - found[0][0]) % step == (left - found[0][1]) % step == 0


def test_seeds_move_the_grid_and_shuffle_it():
    one, other = squares(200, 200, 32), squares(200, 200, 32, seed=1)
    assert one == squares(200, 200, 32)
    assert set(one) != set(other)
    assert one != sorted(one)


def test_a_picture_smaller_than_a_square_has_none():
    assert squares(31, 200, 32) == []
    cut = cut_patches(flat(1, 2), ShardSettings(patch_px=32), bracket_id=ID, scene="s")
    assert cut.patches == ()


def test_patches_are_squares_of_the_frames():
    frames = [textured(light) for light in (0.3, 1.0, 3.0)]
    label = textured(1.0, seed=5)
    settings = ShardSettings(patch_px=32, min_contrast=0.0, pair="extreme")
    cut = cut_patches(
        frames,
        settings,
        bracket_id=ID,
        scene="s",
        times_s=(0.1, 1.0, 10.0),
        evs=(-3.0, 0.0, 3.0),
        label=label,
    )
    assert [patch.index for patch in cut.patches] == list(range(9))
    for patch in cut.patches:
        rows, cols = slice(patch.top, patch.top + 32), slice(patch.left, patch.left + 32)
        for plane, frame in zip(patch.frames, (frames[0], frames[2]), strict=True):
            np.testing.assert_array_equal(plane, frame[rows, cols].transpose(2, 0, 1))
        np.testing.assert_array_equal(patch.label, label[rows, cols].transpose(2, 0, 1))
        assert (patch.times_s, patch.evs) == ((0.1, 10.0), (-3.0, 3.0))


def test_the_choice_depends_on_bracket_and_seed_alone():
    frames = [textured(0.4), textured(2.0)]

    def corners(bracket_id=ID, seed=0):
        settings = ShardSettings(patch_px=16, patches_per_bracket=5, seed=seed, min_contrast=0.0)
        cut = cut_patches(frames, settings, bracket_id=bracket_id, scene="s")
        assert len(cut.patches) == 5
        return [(patch.top, patch.left) for patch in cut.patches]

    assert corners() == corners()
    assert corners() != corners(seed=1)
    assert corners() != corners(bracket_id="0123456789abcdee")


@pytest.mark.parametrize("bits", [8, 16])
def test_dull_places_are_left_out(bits):
    frames = [textured(light, height=128, width=128, bits=bits) for light in (0.5, 1.0)]
    for frame in frames:
        frame[:, 64:] = frame.max() // 2
    settings = ShardSettings(patch_px=64)
    cut = cut_patches(frames, settings, bracket_id=ID, scene="s")
    assert [patch.left for patch in cut.patches] == [0, 0]
    assert cut.dull == 2
    assert all(patch.contrast >= settings.min_contrast for patch in cut.patches)


def test_contrast_is_that_of_the_best_exposed_frame():
    black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    middle = textured(1.0, height=32, width=32)
    settings = ShardSettings(patch_px=32)
    (patch,) = cut_patches([black, middle, white], settings, bracket_id=ID, scene="s").patches
    grey = (middle / 255) @ (0.299, 0.587, 0.114)
    assert patch.contrast == pytest.approx(grey.std(), abs=0.002)


def test_of_a_dull_bracket_the_liveliest_patch_stays():
    frames = flat(100, 120)
    frames = [np.tile(frame, (2, 2, 1)) for frame in frames]
    for frame in frames:
        frame[22:24, 22:24] += 1
    cut = cut_patches(frames, ShardSettings(patch_px=20), bracket_id=ID, scene="s")
    (patch,) = cut.patches
    assert (patch.top, patch.left) == (20, 20)
    assert cut.dull == 3


def test_frames_are_reduced_by_area_and_never_enlarged():
    frame = textured(1.0, height=100, width=200)
    small = reduce_area(frame, 50)
    assert small.shape == (25, 50, 3)
    np.testing.assert_allclose(small[0, 0], frame[:4, :4].mean(axis=(0, 1)), atol=1)
    assert reduce_area(frame, 300) is frame
    assert reduce_area(frame, None) is frame


@pytest.mark.parametrize(
    ("pair", "gain"), [("all", 1.0), ("extreme", 1 / 8), ("under-over", 1 / 8)]
)
def test_a_linear_label_is_in_the_scale_of_the_patchs_own_middle_frame(pair, gain):
    frames = [textured(light) for light in (0.2, 0.5, 0.9)]
    light = textured(1.0).astype(np.float32)
    cuts = {
        times: cut_patches(
            frames,
            ShardSettings(patch_px=64, pair=pair),
            bracket_id="0" * 16,
            scene="s",
            times_s=times,
            label=light,
        ).patches[0]
        for times in ((0.125, 1.0, 8.0), None)
    }
    known, unknown = cuts.values()
    square = light[known.top : known.top + 64, known.left : known.left + 64]
    np.testing.assert_allclose(known.label, gain * square.transpose(2, 0, 1))
    assert (unknown.label is None) == (pair != "all")
