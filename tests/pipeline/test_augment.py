# SPDX-License-Identifier: Apache-2.0
"""What augmentation promises: range, order, sameness across frames, nothing out of thin air."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment import AugmentSettings, augment, choose_frames, plain

OFF = AugmentSettings(flips=False)
EVERYTHING = AugmentSettings(
    tone_probability=1, gain_probability=1, noise_probability=1, jpeg_probability=1
)
PHOTOMETRIC = {
    "tone": replace(OFF, tone_probability=1),
    "gain": replace(OFF, gain_probability=1, gain_ev=1.0),
    "noise": replace(OFF, noise_probability=1),
}
SEEDS = st.integers(0, 2**32 - 1)


def patch(count: int = 3, side: int = 40, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    """A patch whose frames differ in brightness, with clipped areas."""
    rng = np.random.default_rng(seed)
    scene = rng.uniform(0, 1.2, (3, side, side))
    light = np.geomspace(0.25, 2, count).reshape(-1, 1, 1, 1)
    peak = np.iinfo(dtype).max
    return (np.clip(scene * light, 0, 1) * peak).astype(dtype)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(SEEDS, st.integers(2, 5), st.integers(16, 40), st.sampled_from([np.uint8, np.uint16]))
def test_shape_range_and_type(seed, k, side, dtype):
    frames = augment(patch(5, dtype=dtype), None, EVERYTHING, k, rng(seed), crop_px=side)
    assert frames.shape == (k, 3, side, side)
    assert frames.dtype == np.float32
    assert frames.flags.c_contiguous
    assert frames.min() >= 0
    assert frames.max() <= 1


@given(SEEDS)
def test_the_generator_decides_everything(seed):
    first, second = (augment(patch(5), None, EVERYTHING, 3, rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_seed_is_another_patch():
    first, second = (augment(patch(), None, EVERYTHING, 3, rng(seed)) for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_with_everything_off_nothing_changes(dtype):
    frames = patch(3, dtype=dtype)
    out = augment(frames, (0.01, 0.1, 1.0), OFF, 3, rng())
    # Whole numbers come back exactly: 16 bits lose nothing.
    np.testing.assert_array_equal(np.rint(out * np.iinfo(dtype).max).astype(dtype), frames)
    np.testing.assert_array_equal(out, plain(frames, 3))


@given(SEEDS)
def test_frames_share_crop_and_turn(seed):
    same = np.repeat(patch(1), 4, axis=0)
    out = augment(same, None, AugmentSettings(), 4, rng(seed), crop_px=24)
    for frame in out[1:]:
        np.testing.assert_array_equal(frame, out[0])
    source = {tuple(pixel) for pixel in same[0].reshape(3, -1).T}
    assert {tuple(pixel) for pixel in np.rint(out[0] * 255).reshape(3, -1).T} <= source


def test_all_eight_ways_to_lay_a_patch_occur():
    frames = patch(2, side=16)
    views = {augment(frames, None, AugmentSettings(), 2, rng(s)).tobytes() for s in range(100)}
    assert len(views) == 8


@given(SEEDS)
def test_the_tone_curve_is_one_monotone_curve(seed):
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (2, 3, 256, 256)).copy()
    out = augment(ramp, None, PHOTOMETRIC["tone"], 2, rng(seed))
    curve = out[0, 0, 0]
    assert np.all(out == curve)
    assert np.all(np.diff(curve) >= 0)
    assert curve[0] == 0
    assert curve[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("change", PHOTOMETRIC)
@given(SEEDS)
def test_what_was_clipped_stays_clipped(change, seed):
    frames = patch(3)
    out = augment(frames, None, PHOTOMETRIC[change], 3, rng(seed))
    assert out[frames == 255].min() >= 1 - 1e-6
    if change != "noise":
        assert out[frames == 0].max(initial=0) <= 1e-6


@given(SEEDS)
def test_a_gain_keeps_order_within_each_frame(seed):
    frames = patch(3)
    out = augment(frames, None, PHOTOMETRIC["gain"], 3, rng(seed))
    for before, after in zip(frames, out, strict=True):
        order = np.argsort(before, axis=None, kind="stable")
        assert np.all(np.diff(after.ravel()[order]) >= -1e-6)


def test_noise_is_stronger_in_dark_frames_and_as_strong_as_said():
    frames = np.full((3, 3, 128, 128), 128, np.uint8)
    settings = replace(PHOTOMETRIC["noise"], noise_sigma=(4.0, 4.0), noise_dark=3.0)
    out = augment(frames, None, settings, 3, rng())
    sigmas = (out * 255).std(axis=(1, 2, 3))
    np.testing.assert_allclose(sigmas, [12, 4 * 3**0.5, 4], rtol=0.03)


def test_jpeg_costs_a_little_and_keeps_the_picture():
    smooth = np.linspace(20, 230, 64).astype(np.uint8)
    frames = np.broadcast_to(smooth, (2, 3, 64, 64)).copy()
    out = augment(frames, None, replace(OFF, jpeg_probability=1), 2, rng())
    assert np.abs(out - frames / 255).mean() < 0.01


@given(st.integers(2, 12), st.data(), SEEDS)
def test_frames_are_chosen_in_order_across_the_range(count, data, seed):
    k = data.draw(st.integers(2, count))
    span = data.draw(st.floats(0, 1))
    stops = np.cumsum(data.draw(st.lists(st.floats(0.1, 4), min_size=count, max_size=count)))
    times = tuple(2.0**stops)
    chosen = choose_frames(count, times, k, span, rng(seed))
    assert len(chosen) == k
    assert np.all(np.diff(chosen) > 0)
    assert 0 <= chosen[0] <= chosen[-1] < count
    assert stops[chosen[-1]] - stops[chosen[0]] >= span * (stops[-1] - stops[0]) - 1e-6


def test_every_choice_that_spans_enough_occurs():
    drawn = {tuple(choose_frames(4, None, 2, 0.5, rng(seed))) for seed in range(200)}
    assert drawn == {(0, 2), (0, 3), (1, 3)}


@pytest.mark.parametrize("times", [(1.0, float("nan"), 2.0), (0.0, 1.0, 2.0), (5.0, 1.0, 3.0)])
def test_odd_times_do_no_harm(times):
    for seed in range(20):
        chosen = choose_frames(3, times, 2, 1.0, rng(seed))
        assert np.all(np.diff(chosen) > 0)


def test_the_plain_patch_spreads_its_frames_and_crops_the_middle():
    frames = np.zeros((5, 3, 10, 10), np.uint8)
    frames[:] = (np.arange(5, dtype=np.uint8) * 50).reshape(-1, 1, 1, 1)
    frames[..., 4:6, 4:6] = 255
    out = plain(frames, 3, crop_px=4)
    assert out.shape == (3, 3, 4, 4)
    np.testing.assert_allclose(out[:, 0, 0, 0] * 255, [0, 100, 200], atol=1e-4)
    assert np.all(out[..., 1:3, 1:3] == 1)


@pytest.mark.parametrize(("k", "crop"), [(4, None), (1, None), (2, 41), (2, 0)])
def test_what_a_patch_cannot_give(k, crop):
    with pytest.raises(ValueError, match="patch"):
        augment(patch(3), None, OFF, k, rng(), crop_px=crop)
    with pytest.raises(ValueError, match="patch"):
        plain(patch(3), k, crop_px=crop)
