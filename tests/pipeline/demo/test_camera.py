# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.demo.camera import (
    STILL,
    Camera,
    Motion,
    balanced,
    base_exposure,
    coverage,
    expose,
    hand_motion,
    nominal_time,
)

CAMERA = Camera(make="M", model="N", serial="1")
QUIET = replace(CAMERA, full_well=1e12, read_noise=0.0, bits=16)


def shot(radiance, camera, **options):
    settings = {"exposure_time_s": 0.02, "f_number": 4.0, "iso": 100} | options
    return expose(radiance, camera=camera, rng=np.random.default_rng(0), **settings)


@pytest.mark.parametrize("contrast", [0.0, 0.25, 0.6])
def test_the_response_is_monotone_and_inverts(contrast):
    camera = replace(CAMERA, contrast=contrast)
    signal = np.linspace(0, 1, 2001, dtype=np.float32)
    display = camera.respond(signal)
    assert (np.diff(display) > 0).all()
    assert display[0] == 0
    assert display[-1] == 1
    np.testing.assert_allclose(camera.invert(display), signal, atol=1e-4)


@given(st.floats(0.0005, 30), st.floats(1.4, 16), st.sampled_from([100, 200, 800]))
def test_gain_follows_time_aperture_and_sensitivity(time, f_number, iso):
    gain = CAMERA.gain(time, f_number, iso)
    assert CAMERA.gain(2 * time, f_number, iso) == pytest.approx(2 * gain)
    assert CAMERA.gain(time, f_number / 2, iso) == pytest.approx(4 * gain)
    assert CAMERA.gain(time, f_number, 4 * iso) == pytest.approx(4 * gain)


def test_pixels_are_the_response_of_radiance_times_gain():
    radiance = np.linspace(0.001, 1.2 / QUIET.gain(0.02, 4.0, 100), 900, dtype=np.float32)
    radiance = radiance.reshape(15, 20, 3)
    frame = shot(radiance, QUIET)
    assert frame.dtype == np.uint16
    expected = np.clip(radiance * QUIET.gain(0.02, 4.0, 100), 0, 1)
    np.testing.assert_allclose(QUIET.invert(frame / np.float32(65535)), expected, atol=2e-4)
    assert (frame[expected >= 1] == 65535).all()


def test_noise_grows_with_sensitivity_and_depends_on_the_generator():
    flat = np.full((64, 64, 3), 0.01, np.float32)

    def spread(iso):
        frame = shot(flat, replace(CAMERA, bits=16), iso=iso, exposure_time_s=2.0 / iso)
        return CAMERA.invert(frame / np.float32(65535)).std()

    assert spread(3200) > 3 * spread(100)
    assert (shot(flat, CAMERA) == shot(flat, CAMERA)).all()


def test_vignetting_darkens_corners_only():
    flat = np.full((41, 61, 3), 0.02, np.float32)
    frame = shot(flat, replace(QUIET, vignetting=0.4)).astype(float)
    plain = shot(flat, QUIET).astype(float)
    assert frame[20, 30, 1] == pytest.approx(plain[20, 30, 1], rel=0.01)
    assert frame[0, 0, 1] < 0.85 * plain[0, 0, 1]


def test_motion_shows_the_place_that_its_homography_names():
    y, x = np.mgrid[0:120, 0:160].astype(np.float32)
    radiance = np.stack([x, y, np.full_like(x, 60)], -1) * np.float32(1e-4)
    height, width, top, left = 100, 140, 10, 10
    motion = hand_motion(np.random.default_rng(5))
    frame = shot(radiance, QUIET, motion=motion, size=(height, width))
    seen = QUIET.invert(frame / np.float32(65535)) / (1e-4 * QUIET.gain(0.02, 4.0, 100))
    matrix = motion.homography(height, width)
    for at in ((0, 0), (139, 0), (70, 50), (139, 99), (0, 99)):
        px, py, w = matrix @ np.array([*at, 1.0])
        assert seen[at[1], at[0], 0] == pytest.approx(px / w + left, abs=0.25)
        assert seen[at[1], at[0], 1] == pytest.approx(py / w + top, abs=0.25)


def test_hand_motion_stays_within_the_margin_and_stillness_is_identity():
    np.testing.assert_allclose(STILL.homography(90, 120), np.eye(3), atol=1e-12)
    rng = np.random.default_rng(0)
    corners = np.array([[0, 1499, 0, 1499], [0, 0, 999, 999], [1, 1, 1, 1]], float)
    for _ in range(200):
        moved = hand_motion(rng).homography(1000, 1500) @ corners
        off = np.abs(moved[:2] / moved[2] - corners[:2])
        assert off[0].max() < 0.035 * 1500
        assert off[1].max() < 0.035 * 1000


def test_auto_exposure_covers_and_keeps_highlights():
    rng = np.random.default_rng(1)
    radiance = np.exp2(rng.uniform(-6, 4, (60, 90, 1))).astype(np.float32) * np.ones(3, np.float32)
    biases = [-3.0, 0.0, 3.0]
    base = base_exposure(radiance, CAMERA, biases, f_number=8.0, iso=100)
    signal = radiance * np.float32(CAMERA.gain(base, 8.0, 100))
    assert coverage(signal, biases, CAMERA) > 0.97
    assert (signal * 2.0**-3 > 1).mean() < 0.02


def test_white_balance_pulls_a_warm_scene_towards_grey():
    warm = np.full((20, 30, 3), (0.4, 0.2, 0.1), np.float32)
    warm *= np.linspace(0.5, 2, 600, dtype=np.float32).reshape(20, 30, 1)
    gains = balanced(CAMERA, warm, strength=1.0).white_balance
    np.testing.assert_allclose(np.array(gains) * (0.4, 0.2, 0.1), 0.2, rtol=1e-3)


@pytest.mark.parametrize(("time", "text"), [(0.00799, "1/125"), (0.25, "1/4"), (0.52, "1/2")])
def test_nominal_times(time, text):
    assert str(nominal_time(time)) == text


def test_motion_is_compared_by_value():
    assert Motion() == STILL
