# SPDX-License-Identifier: Apache-2.0
"""Small pictures for the report."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.images.previews import STRIP_FRAMES, strip_frames, strip_jpeg
from pipeline.images.writing import map_png, preview_jpeg


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("shape", [(1000, 700), (30, 2000), (5000, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_previews_are_small_and_true(shape, dtype):
    peak = np.iinfo(dtype).max
    pixels = np.full((*shape, 3), peak // 2, dtype)
    small = opened(preview_jpeg(pixels))
    assert max(small.shape) == 512
    assert small.shape[0] / small.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.15) or (
        min(small.shape[:2]) < 10
    )
    assert np.abs(small.astype(int) - 127).max() <= 1


def test_small_pictures_keep_their_size(scene8, scene16):
    assert opened(preview_jpeg(scene8)).shape == scene8.shape
    difference = opened(preview_jpeg(scene16)).astype(int) - opened(preview_jpeg(scene8))
    assert np.abs(difference).mean() < 2


def test_previews_are_deterministic(scene16):
    assert preview_jpeg(scene16) == preview_jpeg(scene16.copy())


def luminance(colors):
    return colors.astype(float) @ [0.2126, 0.7152, 0.0722]


def test_maps_grow_brighter_with_the_score():
    ramp = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (8, 1))
    bright = luminance(opened(map_png(ramp)))[0]
    assert (np.diff(bright) > -1).all()
    assert bright[-1] - bright[0] > 150


def test_scores_below_zero_are_dark_and_unknown_ones_black():
    scores = np.array([[-1, -0.3, 0, np.nan, np.inf, 1]], np.float32)
    colors = opened(map_png(scores))[0]
    np.testing.assert_array_equal(colors[0], colors[2])
    np.testing.assert_array_equal(colors[1], colors[2])
    assert colors[3].max() == colors[4].max() == 0
    assert colors[5].max() > 200


def test_large_maps_are_reduced():
    assert opened(map_png(np.zeros((900, 2000), np.float32), max_side=256)).shape == (115, 256, 3)


def test_a_strip_shows_the_frames_below_each_other():
    frames = [np.full((300, 900, 3), level, np.uint8) for level in (20, 120, 220)]
    strip = opened(strip_jpeg(frames))
    assert strip.shape == (3 * 171, 512, 3)
    assert [round(float(part.mean())) for part in np.split(strip, 3)] == [20, 120, 220]


def test_a_strip_of_grey_pictures_is_grey():
    assert opened(strip_jpeg([np.full((8, 9), 77, np.uint8)] * 2)).shape == (16, 9)


@pytest.mark.parametrize("count", [2, 15, 16, 17, 40, 1000])
def test_a_strip_holds_few_frames_of_a_long_bracket(count):
    shown = strip_frames(count)
    assert len(shown) == min(count, STRIP_FRAMES)
    assert list(shown) == sorted(set(shown))
    assert (shown[0], shown[-1]) == (0, count - 1)
