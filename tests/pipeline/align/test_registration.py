# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.align.motion import IDENTITY, KINDS, to_matrix
from pipeline.align.registration import align
from pipeline.align.warping import apply
from pipeline.errors import PhotoError

STILL = np.eye(3)
LIMIT_PX = 0.75  # shifts below are left alone


def untouched(result, frames) -> bool:
    same = all(a is b for a, b in zip(result.frames, frames, strict=True))
    return same and result.method == "none" and not any(result.moved)


@pytest.mark.parametrize("kind", ["translation", "euclidean", "affine", "homography"])
@pytest.mark.parametrize("stops", [1, 3, 5])
def test_known_motions_are_found(scene, shoot, shake, corner_error, kind, stops):
    errors = []
    for seed in range(4):
        view, motion = scene(seed), shake(kind, 10 * seed + stops)
        frames = [
            shoot(view, STILL, -stops / 2, seed=1),
            shoot(view, motion, stops / 2, seed=2),
        ]
        result = align(frames, reference=0)
        before = corner_error(STILL, motion)
        after = corner_error(to_matrix(result.transforms[1]), motion)
        assert after <= before
        assert result.method in KINDS
        errors.append(after)
    assert np.median(errors) < 0.3
    assert sum(e < 0.5 for e in errors) >= 3


@pytest.mark.parametrize("seed", range(8))
def test_a_handheld_bracket_of_five_comes_together(scene, shoot, shake, corner_error, seed):
    view = scene(seed)
    motions = [shake("euclidean", 100 * seed + k) for k in range(5)]
    motions[2] = STILL
    evs = (-4, -2, 0, 2, 4)
    frames = [
        shoot(view, m, ev, seed=k) for k, (m, ev) in enumerate(zip(motions, evs, strict=True))
    ]
    result = align(frames, reference=2)
    for motion, transform, moved in zip(motions, result.transforms, result.moved, strict=True):
        after = corner_error(to_matrix(transform), motion)
        assert after < 0.5 if moved else transform == IDENTITY
    assert sum(result.moved) >= 3
    assert result.residual_px is not None
    assert result.shift_px is not None
    assert result.residual_px < 0.5 < result.shift_px


def test_what_shares_no_tone_with_the_reference_goes_by_its_neighbour(
    scene, shoot, shake, corner_error
):
    view = scene(3)
    motions = [STILL, shake("euclidean", 1), shake("euclidean", 2)]
    frames = [shoot(view, m, ev, seed=5) for m, ev in zip(motions, (-5, 0, 5), strict=True)]
    assert not align([frames[0], frames[2]], reference=0).moved[1]
    result = align(frames, reference=0)
    assert result.moved == (False, True, True)
    for motion, transform in zip(motions, result.transforms, strict=True):
        assert corner_error(to_matrix(transform), motion) < 1.0
    assert any("frame 3" in note and "cannot be measured" in note for note in result.notes)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [2, 5, 15])
def test_a_tripod_stack_comes_back_itself(scene, shoot, bits, count):
    view = scene(count)
    evs = np.linspace(-3, 3, count)
    frames = [shoot(view, STILL, ev, seed=k, bits=bits) for k, ev in enumerate(evs)]
    result = align(frames)
    assert untouched(result, frames)
    assert result.crop == (0, 0, 300, 400)
    assert result.transforms == (IDENTITY,) * count
    assert result.residual_px is not None
    assert result.residual_px < LIMIT_PX


def test_identical_frames_come_back_themselves(scene, shoot):
    frame = shoot(scene(0), STILL, 0.0)
    frames = [frame, frame.copy(), frame.copy()]
    result = align(frames)
    assert untouched(result, frames)
    assert result.residual_px == pytest.approx(0.0, abs=1e-3)
    assert not result.notes


def test_16_bit_stays_16_bit(scene, shoot, shake, corner_error):
    view, motion = scene(4), shake("euclidean", 7)
    frames = [shoot(view, STILL, -1, bits=16), shoot(view, motion, 1, bits=16, seed=1)]
    result = align(frames, reference=0)
    assert result.moved == (False, True)
    assert all(f.dtype == np.uint16 for f in result.frames)
    assert len(np.unique(result.frames[1])) > 1000
    assert corner_error(to_matrix(result.transforms[1]), motion) < 0.5


def test_frames_equal_their_transforms_applied(scene, shoot, shake):
    view = scene(5)
    motions = [STILL, shake("homography", 3), shake("affine", 4)]
    frames = [shoot(view, m, ev, seed=2) for m, ev in zip(motions, (-1, 0, 1), strict=True)]
    result = align(frames, reference=0)
    assert result.moved == (False, True, True)
    again = apply(frames, result.transforms, result.crop)
    top, left, height, width = result.crop
    for one, other in zip(result.frames, again, strict=True):
        assert one.shape == (height, width, 3)
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        result.frames[0], frames[0][top : top + height, left : left + width]
    )
    assert align(frames, reference=0).transforms == result.transforms


def test_the_order_of_frames_does_not_matter(scene, shoot, shake):
    view = scene(6)
    motions = [shake("euclidean", k) for k in range(4)]
    frames = [
        shoot(view, m, ev, seed=2) for m, ev in zip(motions, (-3.0, -1.0, 1.0, 2.5), strict=True)
    ]
    result = align(frames)
    order = [2, 0, 3, 1]
    shuffled = align([frames[k] for k in order])
    assert shuffled.crop == result.crop
    assert shuffled.transforms == tuple(result.transforms[k] for k in order)
    for position, k in enumerate(order):
        np.testing.assert_array_equal(shuffled.frames[position], result.frames[k])


def test_the_number_of_threads_does_not_matter(scene, shoot, shake):
    view = scene(7)
    frames = [shoot(view, STILL, -1), shoot(view, shake("homography", 9), 1, seed=1)]
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (1, 3):
            cv2.setNumThreads(count)
            results.append(align(frames))
    finally:
        cv2.setNumThreads(threads)
    assert results[0].transforms == results[1].transforms
    for one, other in zip(results[0].frames, results[1].frames, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steady", [True, False])
def test_a_passer_by_moves_nothing(scene, shoot, shake, corner_error, seed, steady):
    first = scene(seed)
    second = first.copy()
    bus = scene(seed + 50)[:120, :160]
    first[120:240, 120:280] = bus
    second[123:243, 132:292] = bus
    motion = STILL if steady else shake("euclidean", seed)
    frames = [shoot(first, STILL, -1, seed=1), shoot(second, motion, 1, seed=2)]
    result = align(frames, reference=0)
    if steady:
        assert untouched(result, frames)
    else:
        assert corner_error(to_matrix(result.transforms[1]), motion) < 0.5


def flat_brackets():
    rng = np.random.default_rng(0)
    size = (200, 260, 3)
    ramp = np.broadcast_to(np.linspace(0.05, 1.0, size[1])[None, :, None], size)

    def shown(values):
        return np.clip(values, 0, 255).astype(np.uint8)

    stripes = np.broadcast_to((np.arange(size[1]) // 5 % 2 * 120 + 40)[None, :, None], size)
    black, white = np.zeros(size, np.uint8), np.full(size, 255, np.uint8)
    return {
        "grey": [shown(rng.normal(v, 3, size)) for v in (60, 120, 200)],
        "ramp": [shown(255 * k * ramp + rng.normal(0, 2, size)) for k in (0.5, 1.0, 1.8)],
        "stripes": [shown(np.roll(stripes, s, 1) * k) for s, k in ((0, 1), (3, 0.5), (7, 0.7))],
        "noise": [rng.integers(0, 256, size, np.uint8) for _ in range(4)],
        "black": [black, black.copy()],
        "white": [white, white.copy()],
        "black and white": [black, white, shown(rng.normal(100, 30, size))],
    }


@pytest.mark.parametrize("name", flat_brackets())
def test_what_shows_nothing_is_not_moved(name):
    frames = flat_brackets()[name]
    assert untouched(align(frames), frames)


@pytest.mark.parametrize("noise", [0.02, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_a_night_on_a_tripod_is_not_moved(scene, shoot, noise, seed):
    view = scene(seed) * np.float32(0.03)
    frames = [shoot(view, STILL, ev, seed=k, noise=noise) for k, ev in enumerate((-1, 1))]
    assert untouched(align(frames), frames)


@pytest.mark.parametrize(
    ("shift", "angle"), [((0.2, 0.0), 0.0), ((0.0, 0.0), 12.0), ((0.09, 0.09), 3.0)]
)
def test_more_than_a_hand_does_is_left_alone(scene, shoot, shift, angle):
    view = scene(8, 240, 320)
    a = np.radians(angle)
    middle = np.array([[1, 0, 160.0], [0, 1, 120.0], [0, 0, 1]])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    motion = middle @ turn @ np.linalg.inv(middle)
    motion[:2, 2] += np.array(shift) * (320, 240)
    frames = [shoot(view, STILL, -1), shoot(view, motion, 1, seed=1)]
    result = align(frames, reference=0)
    assert untouched(result, frames)
    assert any("frame 2: left as it is" in note for note in result.notes)


def test_small_frames_are_left_alone(scene, shoot):
    frames = [shoot(scene(0), STILL, ev)[:63, :200] for ev in (-1, 0, 1)]
    result = align(frames)
    assert untouched(result, frames)
    assert result.residual_px is None
    assert "64 px" in result.notes[0]


def test_64_px_are_enough_to_try(scene, shoot):
    frames = [shoot(scene(0), STILL, ev)[:64, :64] for ev in (-1, 0, 1)]
    assert untouched(align(frames), frames)


def test_off_looks_at_nothing(scene, shoot, shake):
    view = scene(1)
    frames = [shoot(view, STILL, -1), shoot(view, shake("translation", 5), 1)]
    result = align(frames, mode="off")
    assert untouched(result, frames)
    assert result.shift_px is None
    assert result.residual_px is None
    assert not result.notes


def test_wrong_input_is_refused(scene, shoot):
    frame = shoot(scene(0), STILL, 0)
    with pytest.raises(ValueError, match="no frames"):
        align([])
    with pytest.raises(ValueError, match="not one of 1"):
        align([frame], reference=1)
    with pytest.raises(PhotoError) as caught:
        align([frame, frame[:-1]])
    assert caught.value.code == "frames-differ-in-size"
    assert untouched(align([frame]), [frame])


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1].copy()


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["mef_ma2015/Tower", "mef_ma2015/Set", "mef_ma2015/Office", "mefb/Sky", "empa/Zurich"]
)
def test_registered_photographs_are_not_moved(shared, name):
    frames = [read(path) for path in sorted((shared / "data" / name).iterdir())]
    assert untouched(align(frames), frames)


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["translation", "homography"])
@pytest.mark.parametrize("name", ["sice_1024/train_5/Label_5.JPG", "sice_1024/train_7/Label_7.JPG"])
def test_photographs_moved_on_purpose_come_back(shared, shoot, shake, corner_error, name, kind):
    picture = read(shared / "data" / name)[:496, :696].astype(np.float32) / 255.0
    view = 3.0 * picture**2.2 * (1.0 + 3.0 * picture)
    height, width = view.shape[0] - 96, view.shape[1] - 96
    for seed in range(2):
        motion = shake(kind, seed, height, width)
        frames = [shoot(view, STILL, -1.5), shoot(view, motion, 1.5, seed=1)]
        result = align(frames, reference=0)
        assert corner_error(to_matrix(result.transforms[1]), motion, height, width) < 0.5


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["translation", "homography"])
def test_half_a_picture_of_sky_is_no_worse_for_it(shared, shoot, shake, corner_error, kind):
    picture = read(shared / "data" / "sice_1024/train_10/Label_10.JPG")[:496, :696]
    view = 3.0 * (picture.astype(np.float32) / 255.0) ** 2.2 * (1.0 + picture / np.float32(85.0))
    for seed in range(3):
        motion = shake(kind, seed, 400, 600)
        frames = [shoot(view, STILL, -1.5), shoot(view, motion, 1.5, seed=1)]
        result = align(frames, reference=0)
        after = corner_error(to_matrix(result.transforms[1]), motion, 400, 600)
        # Nothing pins perspective down where there is no texture, nor would anybody see it.
        limit = 0.5 if kind == "translation" else 0.25 * corner_error(STILL, motion, 400, 600)
        assert after < limit
