# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.align.motion import IDENTITY, as_transform, move_points, to_matrix
from pipeline.align.warping import apply, common_crop

HEIGHT, WIDTH = 90, 120


@st.composite
def transforms(draw):
    angle = draw(st.floats(-0.08, 0.08))
    scale = draw(st.floats(0.96, 1.04))
    g, h = draw(st.floats(-2e-4, 2e-4)), draw(st.floats(-2e-4, 2e-4))
    x, y = draw(st.floats(-11, 11)), draw(st.floats(-8, 8))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return as_transform(np.array([[c, -s, x], [s, c, y], [g, h, 1.0]]))


@settings(max_examples=200, deadline=None)
@given(st.lists(transforms(), min_size=1, max_size=4))
def test_every_pixel_of_the_crop_lies_in_every_frame(found):
    top, left, height, width = common_crop([IDENTITY, *found], HEIGHT, WIDTH)
    if height == 0 or width == 0:
        return
    rows, cols = np.mgrid[top : top + height, left : left + width]
    points = np.stack([cols.ravel(), rows.ravel()]).astype(float)
    assert top >= 0
    assert left >= 0
    assert top + height <= HEIGHT
    assert left + width <= WIDTH
    for transform in found:
        x, y = move_points(to_matrix(transform), points)
        assert x.min() >= -0.01
        assert y.min() >= -0.01
        assert x.max() <= WIDTH - 0.99
        assert y.max() <= HEIGHT - 0.99


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_whole_shifts_lose_what_they_must_and_nothing_else(dx, dy):
    shift = as_transform(np.array([[1.0, 0, dx], [0, 1.0, dy], [0, 0, 1.0]]))
    crop = common_crop([shift], HEIGHT, WIDTH)
    assert crop == (max(-dy, 0), max(-dx, 0), HEIGHT - abs(dy), WIDTH - abs(dx))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_shifts_copy_pixels(dtype):
    peak = np.iinfo(dtype).max
    frame = np.random.default_rng(0).integers(0, peak, (HEIGHT, WIDTH, 3), dtype, endpoint=True)
    shift = as_transform(np.array([[1.0, 0, 3], [0, 1.0, -2], [0, 0, 1.0]]))
    crop = common_crop([shift], HEIGHT, WIDTH)
    top, left, height, width = crop
    (moved,) = apply([frame], [shift], crop)
    expected = frame[top - 2 : top - 2 + height, left + 3 : left + 3 + width]
    np.testing.assert_array_equal(moved, expected)


def test_a_part_of_a_crop_is_the_part_of_the_picture():
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    turn = as_transform(np.array([[0.999, -0.02, 2.3], [0.02, 0.999, -1.6], [0, 0, 1.0]]))
    (whole,) = apply([frame], [turn], (0, 0, HEIGHT, WIDTH))
    (part,) = apply([frame], [turn], (10, 20, 50, 60))
    difference = np.abs(part.astype(int) - whole[10:60, 20:80].astype(int))
    # The resampler rounds positions to a fraction of a pixel, on noise a few levels at most.
    assert np.mean(difference > 0) < 0.05


def test_the_whole_frame_unmoved_is_the_frame_itself():
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert apply([frame], [IDENTITY], (0, 0, HEIGHT, WIDTH))[0] is frame


def test_impossible_crops_are_refused():
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(ValueError, match="leaves a frame"):
        apply([frame], [IDENTITY], (1, 0, HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="1 frames, but 2"):
        apply([frame], [IDENTITY, IDENTITY], (0, 0, HEIGHT, WIDTH))


def test_frames_apart_have_no_rectangle_in_common():
    far = as_transform(np.array([[1.0, 0, 200], [0, 1.0, 0], [0, 0, 1.0]]))
    assert common_crop([far], HEIGHT, WIDTH)[2:] == (0, 0)
