# SPDX-License-Identifier: Apache-2.0
"""Pictures of radiances: natural, without halos, whatever the range."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.tone import fit_tone, tone_map


def ramp(stops: float, size: int = 64) -> np.ndarray:
    """Light over so many stops, (3, size, size), all columns alike."""
    light = np.exp2(np.linspace(-stops / 2, stops / 2, size)).astype(np.float32)
    return np.broadcast_to(light[None, :, None], (3, size, size)).copy()


@pytest.mark.parametrize("stops", [1.0, 8.0, 16.0, 30.0])
def test_more_light_is_never_shown_darker(stops):
    shown = tone_map(ramp(stops))
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown[0, :, 0]) >= -1e-6).all()


def test_a_natural_range_is_neither_black_nor_white():
    rng = np.random.default_rng(0)
    light = np.exp2(rng.normal(0, 2.5, (1, 80, 80))).astype(np.float32).repeat(3, 0)
    shown = tone_map(light)
    assert 0.35 < np.median(shown) < 0.6
    assert (shown < 0.02).mean() < 0.05
    assert (shown > 0.99).mean() < 0.02


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_the_unit_does_not_matter(unit):
    light = ramp(10)
    np.testing.assert_allclose(tone_map(light * np.float32(unit)), tone_map(light), atol=2e-3)


def test_a_pixel_looks_the_same_whatever_is_beside_it():
    light = ramp(12)
    curve = fit_tone(light)
    whole, part = tone_map(light, curve), tone_map(light[:, 10:30, 5:9], curve)
    np.testing.assert_array_equal(part, whole[:, 10:30, 5:9])
    edge = light.copy()
    edge[:, :, 32:] *= 1000
    np.testing.assert_array_equal(tone_map(edge, curve)[..., :32], whole[..., :32])


def test_what_is_no_light_harms_nothing():
    light = ramp(8)
    expected = tone_map(light)
    light[0, 0, 0], light[1, 1, 1], light[2, 2, 2] = np.nan, np.inf, -5.0
    light[:, 3, 3] = -np.inf
    shown = tone_map(light)
    assert np.isfinite(shown).all()
    np.testing.assert_allclose(shown[:, 10:], expected[:, 10:], atol=5e-3)
    assert not shown[:, 3, 3].any()


@pytest.mark.parametrize("level", [0.0, 1e-30, 1.0, 3e38])
def test_even_pictures_stay_even(level):
    shown = tone_map(np.full((3, 8, 8), level, np.float32))
    assert np.ptp(shown) < 1e-6
    assert shown.max() == 0 if level == 0 else 0.2 < shown.max() < 0.8


def test_colours_keep_their_hue_and_fade_towards_white():
    light = np.zeros((3, 4, 400), np.float32)
    light[:] = np.geomspace(1e-3, 1e3, 400)
    light[0] *= 3
    light[2] *= 0.2
    shown = tone_map(light)[:, 0]
    assert (shown[0] >= shown[1]).all()
    assert (shown[1] >= shown[2]).all()
    assert np.ptp(shown[:, 200]) > 0.2
    assert np.ptp(shown[:, -1]) < 0.02


def test_tensors_are_taken_and_shapes_checked():
    light = ramp(6)
    np.testing.assert_array_equal(tone_map(torch.from_numpy(light)), tone_map(light))
    with pytest.raises(ValueError, match="radiance"):
        tone_map(light[0])
