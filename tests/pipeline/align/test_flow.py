# SPDX-License-Identifier: Apache-2.0
"""Optical flow between exposures: right on known motions, and silent where it cannot know."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.align.flow import find_flow, lay_on_reference, match_exposure, warp_by_flow
from pipeline.demo.scenes import render

GAMMA = 2.2
MARGIN = 24


@pytest.fixture(scope="module")
def radiance():
    """Linear, in which 1 is white for the reference; a fifth of it is brighter."""
    made = render("museum", 5, 160, 220)
    return made / np.quantile(made.max(2), 0.8)


def take(radiance, gain=1.0, *, bits=16, noise=3e-4, seed=0):
    rng = np.random.default_rng(seed)
    light = radiance * gain + noise * rng.standard_normal(radiance.shape)
    peak = 65535 if bits == 16 else 255
    encoded = np.clip(light, 0, 1) ** (1 / GAMMA) * peak
    return np.round(encoded).astype(np.uint16 if bits == 16 else np.uint8)


def moved(radiance, dx, dy):
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    size = radiance.shape[1::-1]
    return cv2.warpAffine(
        np.asarray(radiance, np.float32), matrix, size, borderMode=cv2.BORDER_REFLECT
    )


def error_px(flow, dx, dy):
    inner = slice(MARGIN, -MARGIN)
    off = flow.displacement[inner, inner] - np.float32([dx, dy])
    return np.hypot(off[..., 0], off[..., 1]), flow.valid[inner, inner]


def test_identical_frames_have_no_flow(radiance):
    flow = find_flow(take(radiance), take(radiance), gain=1.0)
    assert np.abs(flow.displacement).max() == 0
    assert flow.valid.all()


@pytest.mark.parametrize("gain", [0.125, 0.25, 1.0, 4.0])
@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (3.4, -2.3), (12.0, 7.0)])
def test_a_shift_is_found_at_any_exposure(radiance, gain, dx, dy):
    reference, frame = take(radiance), take(moved(radiance, dx, dy), gain, seed=1)
    error, valid = error_px(find_flow(reference, frame, gain=gain), dx, dy)
    assert valid.mean() > 0.75
    assert np.median(error[valid]) < 0.25
    assert np.quantile(error[valid], 0.9) < 1.0


def test_bits_make_little_difference(radiance):
    def flow(bits):
        frame = take(moved(radiance, 3.4, -2.3), 0.5, bits=bits, seed=1)
        return find_flow(take(radiance, bits=bits), frame, gain=0.5)

    error, valid = error_px(flow(8), 3.4, -2.3)
    assert np.median(error[valid]) < 0.3
    assert abs(flow(16).valid.mean() - flow(8).valid.mean()) < 0.1


def test_raising_the_exposure_keeps_white_white(radiance):
    frame = take(radiance, 0.25, noise=0)
    raised = match_exposure(frame, 4.0).astype(np.int64)
    np.testing.assert_allclose(raised, take(radiance, 1.0, noise=0), atol=3)
    assert match_exposure(frame, 1.0) is frame


def test_what_only_one_frame_shows_is_not_valid(radiance):
    bright = take(radiance)
    there = np.array(radiance)
    there[60:100, 80:120] = [0.9, 0.1, 0.1]
    flow = find_flow(bright, take(there, 0.5, seed=1), gain=0.5)
    assert flow.valid[66:94, 86:114].mean() < 0.05
    assert flow.valid.mean() > 0.7


def test_all_white_frames_are_followed_by_nothing_and_stay_whole():
    white = np.full((60, 80, 3), 65535, np.uint16)
    flow = find_flow(white, white, gain=4.0)
    assert np.isfinite(flow.displacement).all()
    assert np.abs(flow.displacement).max() < 0.5


@pytest.mark.parametrize("size", [(8, 8), (12, 100), (47, 49)])
def test_small_frames_are_no_trouble(radiance, size):
    frame = take(radiance[: size[0], : size[1]])
    flow = find_flow(frame, frame, gain=1.0)
    assert flow.displacement.shape == (*size, 2)
    assert flow.valid.all()


def test_warping_takes_the_frame_where_the_flow_points(radiance):
    reference, frame = take(radiance, noise=0), take(moved(radiance, 5, -3), noise=0)
    flow = np.broadcast_to(np.float32([5, -3]), (*radiance.shape[:2], 2)).copy()
    inner = slice(8, -8)
    np.testing.assert_allclose(
        warp_by_flow(frame, flow)[inner, inner].astype(float), reference[inner, inner], atol=2
    )


def test_frames_laid_on_the_reference_show_its_moment(radiance):
    there = moved(radiance, 4.0, 2.0)
    there[60:100, 80:120] = [0.9, 0.1, 0.1]
    frames = [take(there, 0.25, seed=1), take(radiance), take(moved(radiance, -3, 1), 4, seed=2)]
    laid = lay_on_reference(frames, (0.25, 1.0, 4.0), 1)
    assert laid.frames[1] is frames[1]
    assert laid.masks[1].min() == 255
    assert set(np.unique(laid.masks)) <= {0, 255}
    assert laid.moved_px[0] == pytest.approx(np.hypot(4, 2), abs=0.3)
    for k, gain in ((0, 0.25), (2, 4.0)):
        truth = take(radiance, gain, noise=0).astype(float)[MARGIN:-MARGIN, MARGIN:-MARGIN]
        found = laid.frames[k][MARGIN:-MARGIN, MARGIN:-MARGIN]
        # The reference's own white stands where the darker frame could not be followed.
        assert np.median(np.abs(found - truth)) < 0.01 * 65535
    red = laid.frames[0][70:90, 90:110].astype(float)
    np.testing.assert_allclose(red, match_exposure(frames[1], 0.25)[70:90, 90:110], atol=1)


def test_what_cannot_be_is_refused(radiance):
    frame = take(radiance)
    with pytest.raises(ValueError, match="sizes or types"):
        find_flow(frame, frame[:-1], gain=1.0)
    with pytest.raises(ValueError, match="exposure"):
        find_flow(frame, frame, gain=0.0)
    with pytest.raises(ValueError, match="frame 2"):
        lay_on_reference([frame, frame], (1.0, 2.0), 2)
