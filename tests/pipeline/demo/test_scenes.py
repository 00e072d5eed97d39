# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.demo.camera import Camera, base_exposure, coverage
from pipeline.demo.scenes import SCENES, render
from pipeline.errors import UsageError

SIZE = (80, 120)
CAMERA = Camera(make="M", model="N", serial="1")


@pytest.fixture(scope="module")
def radiance() -> dict[str, np.ndarray]:
    return {scene: render(scene, 3, *SIZE) for scene in SCENES}


@pytest.mark.parametrize("scene", SCENES)
def test_radiance_is_finite_positive_and_of_the_size_asked_for(radiance, scene):
    image = radiance[scene]
    assert image.shape == (*SIZE, 3)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() > 0


@pytest.mark.parametrize("scene", SCENES)
def test_a_single_exposure_loses_what_the_bracket_keeps(radiance, scene):
    image = radiance[scene]
    biases = [-4.0, -2.0, 0.0, 2.0, 4.0]
    base = base_exposure(image, CAMERA, biases, f_number=8.0, iso=100)
    signal = image * np.float32(CAMERA.gain(base, 8.0, 100))
    limits = (0.08, 0.96)
    middle = coverage(signal, [0.0], CAMERA, limits=limits)
    whole = coverage(signal, biases, CAMERA, limits=limits)
    assert middle < 0.99
    assert whole >= 0.98
    low, high = np.quantile(image.mean(2), (0.001, 0.999))
    assert 5.5 < np.log2(high / low) < 19


@pytest.mark.parametrize("scene", SCENES)
def test_pictures_are_textured_not_ramps(radiance, scene):
    tone = np.log2(radiance[scene].mean(2))
    detail = tone - cv2.GaussianBlur(tone, (0, 0), 1.5)
    assert np.quantile(np.abs(detail), 0.8) > 0.02


def test_same_seed_same_bytes_other_seed_other_picture(radiance):
    for scene in ("living_room", "sunset"):
        assert (render(scene, 3, *SIZE) == radiance[scene]).all()
        assert not np.allclose(render(scene, 4, *SIZE), radiance[scene], rtol=0.1)


@pytest.mark.parametrize("scene", SCENES)
def test_layout_does_not_depend_on_resolution(radiance, scene):
    small = np.log2(render(scene, 3, 40, 60).mean(2))
    large = radiance[scene].mean(2).reshape(40, 2, 60, 2).mean((1, 3))
    agree = np.corrcoef(
        cv2.GaussianBlur(small, (0, 0), 2).ravel(),
        cv2.GaussianBlur(np.log2(large), (0, 0), 2).ravel(),
    )[0, 1]
    assert agree > 0.9


def test_portrait_frames_and_wrong_names():
    assert render("stairwell", 1, 60, 40).shape == (60, 40, 3)
    assert render("snow", 1, 60, 40).shape == (60, 40, 3)
    with pytest.raises(UsageError, match="living_room"):
        render("beach", 0, 40, 60)
    with pytest.raises(UsageError):
        render("desk", 0, 2, 60)
