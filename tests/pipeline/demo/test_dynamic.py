# SPDX-License-Identifier: Apache-2.0
"""Moving scenes: exact where nothing moves, found as Kalantari's, the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.demo.backdrops import PictureBackdrops
from pipeline.demo.dynamic import encode_rgbe, make_dynamic_archive, scene_folder
from pipeline.demo.dynamic_plan import DynamicPlan
from pipeline.demo.dynamic_scenes import make_scene, rendered_for
from pipeline.demo.dynamic_things import KINDS, draw, make_thing
from pipeline.errors import UsageError
from pipeline.images.radiance import encode_exr
from pipeline.images.reading import read_photo, read_radiance
from pipeline.listing import list_files

PLAN = DynamicPlan(height=72, width=96, motion_px=(2.0, 8.0), scenes=3)


class Ramps:
    """Two smooth backdrops, made at once."""

    count = 2

    def picture(self, number: int) -> np.ndarray:
        rows, cols = np.mgrid[0:180, 0:240] / 100
        tones = np.stack(
            [np.exp2(3 * np.sin(3 * rows + k) * np.cos(4 * cols)) for k in range(3)], 2
        )
        return np.asarray(tones * (1 + number), np.float32)


def light(pixels, ev):
    return (pixels / 65535.0) ** 2.2 / 2.0**ev


@pytest.mark.parametrize("index", range(6))
def test_the_reference_shows_the_truth_but_for_noise_and_white(index):
    scene = make_scene(PLAN, index, Ramps())
    k = PLAN.reference
    assert scene.kind == PLAN.kinds[index % 2]
    assert scene.radiance.max() <= 1
    clear = scene.frames[k].max(2) < 60000
    found, truth = light(scene.frames[k], scene.evs[k])[clear], scene.radiance[clear]
    assert abs(np.median(found / np.maximum(truth, 1e-6)) - 1) < 0.03
    assert 0.02 < (scene.frames[k].max(2) == 65535).mean() < 0.3
    assert scene.evs[0] == 0
    assert np.ptp(np.diff(scene.evs)) == 0


def test_other_frames_show_other_moments():
    still = replace(PLAN, kinds=("objects",), shake=0.0)
    moved = 0
    for index in range(6):
        scene = make_scene(still, index, Ramps())
        apart = np.abs(light(scene.frames[0], 0.0) - scene.radiance).max(2) > 0.1
        # What stands still agrees; what moves does not.
        assert apart.mean() < 0.6
        moved += apart.mean() > 0.005
    assert moved >= 4


def test_a_drift_moves_all_of_the_picture():
    drift = replace(PLAN, kinds=("drift",), motion_px=(8.0, 8.0), shake=0.0)
    scene = make_scene(drift, 0, Ramps())
    differs = np.abs(light(scene.frames[0], 0.0) - scene.radiance).max(2) > 0.01
    assert differs.mean() > 0.3
    assert scene.motion_px == pytest.approx(8.0)


def test_a_scene_depends_on_plan_and_index_alone():
    one, again = make_scene(PLAN, 1, Ramps()), make_scene(PLAN, 1, Ramps())
    for frame, same in zip(one.frames, again.frames, strict=True):
        np.testing.assert_array_equal(frame, same)
    others = (
        make_scene(PLAN, 3, Ramps()),
        make_scene(replace(PLAN, seed=1), 1, Ramps()),
        make_scene(replace(PLAN, split="test"), 1, Ramps()),
    )
    assert not any(np.array_equal(one.radiance, other.radiance) for other in others)


def test_training_and_test_scenes_share_no_backdrop():
    assert rendered_for(PLAN).first_seed != rendered_for(replace(PLAN, split="test")).first_seed


@pytest.mark.parametrize("frames", [2, 5])
def test_any_number_of_frames_can_be_taken(frames):
    scene = make_scene(replace(PLAN, frames=frames), 0, Ramps())
    assert len(scene.frames) == len(scene.evs) == frames


@pytest.mark.parametrize("kind", KINDS)
def test_things_cover_what_is_behind_them_with_soft_edges(kind):
    rng = np.random.default_rng(7)
    texture = np.ones((50, 50, 3), np.float32)
    thing = make_thing(rng, kind, height_px=60, light=100.0, cut_from=texture)
    canvas = np.ones((90, 90, 3), np.float32)
    draw(canvas, thing, x=45, y=45, phase=1.0)
    covered = (canvas[..., 1] > 1.5).mean()
    assert 0.04 < covered < 0.6
    assert ((canvas > 1.01) & (canvas < 0.3 * canvas.max())).any(), "edges are soft"
    assert (canvas[0] == 1).all()
    again = np.ones((90, 90, 3), np.float32)
    draw(again, thing, x=45, y=45, phase=2.5)
    assert (kind == "vehicle") or not np.array_equal(again, canvas), "limbs move"
    draw(again, thing, x=-500, y=45, phase=0.0)  # out of sight


def test_the_scan_finds_an_archive_as_kalantaris(tmp_path):
    files = tmp_path / "hdr"
    files.mkdir()
    for k in range(2):
        (files / f"{k}.exr").write_bytes(encode_exr(Ramps().picture(k), 32))
    out = str(tmp_path / "out")
    made = make_dynamic_archive(out, PLAN, pictures=str(files))
    assert (made.scenes, made.kept, made.frames) == (3, 0, 9)
    brackets = find_brackets(out, ScanOptions()).brackets
    assert [bracket.layout for bracket in brackets] == ["kalantari"] * 3
    scene = make_scene(PLAN, 0, PictureBackdrops(files=tuple(list_files(str(files)))))
    first = next(b for b in brackets if scene_folder(PLAN, 0) in b.frames[0].uri)
    assert tuple(frame.ev for frame in first.frames) == scene.evs
    assert first.label_kind == "radiance"
    truth = read_radiance(first.label_uri)
    off = np.abs(truth - scene.radiance)
    assert (off <= scene.radiance.max(2, keepdims=True) / 255).all()
    assert abs((truth - scene.radiance).mean()) < 1e-3 * scene.radiance.mean()
    np.testing.assert_array_equal(read_photo(first.frames[2].uri).pixels, scene.frames[2])


def test_the_same_request_goes_on_and_another_is_refused(tmp_path):
    files = tmp_path / "hdr"
    files.mkdir()
    (files / "0.exr").write_bytes(encode_exr(Ramps().picture(0), 32))
    out = tmp_path / "out"
    make_dynamic_archive(str(out), PLAN, pictures=str(files))
    truth = out / scene_folder(PLAN, 1) / "HDRImg.hdr"
    before = truth.read_bytes()
    truth.unlink()
    assert make_dynamic_archive(str(out), PLAN, pictures=str(files)).kept == 2
    assert truth.read_bytes() == before
    with pytest.raises(UsageError) as caught:
        make_dynamic_archive(str(out), replace(PLAN, seed=1), pictures=str(files))
    assert caught.value.code == "destination-invalid"


def test_rgbe_keeps_bright_and_dark_together(tmp_path):
    radiance = np.array([[[1000.0, 900.0, 0.0], [1e-5, 2e-5, 3e-5], [1, 1, 1]]] * 9, np.float32)
    (tmp_path / "a.hdr").write_bytes(encode_rgbe(radiance))
    found = read_radiance(str(tmp_path / "a.hdr"))
    assert (np.abs(found - radiance) <= radiance.max(2, keepdims=True) / 255).all()
    assert not found[:, 0, 2].any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scenes": 0},
        {"seed": -1},
        {"height": 8},
        {"frames": 1},
        {"steps_ev": ()},
        {"steps_ev": (9.0,)},
        {"kinds": ("jump",)},
        {"motion_px": (0.0, 4.0)},
        {"motion_px": (4.0, 1000.0)},
        {"shake": -1.0},
        {"split": "validation"},
    ],
)
def test_impossible_plans_are_refused_by_name(wrong):
    with pytest.raises(UsageError) as caught:
        DynamicPlan(**wrong)
    assert caught.value.code == "option-invalid"
    assert all(name in caught.value.message for name in wrong)
