# SPDX-License-Identifier: Apache-2.0
"""The measure of ghosts sees ghosts, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from model.merge import Merge
from pipeline.auto import choose
from pipeline.bracket import Stack
from pipeline.demo.dynamic_plan import DynamicPlan
from pipeline.demo.dynamic_scenes import make_scene
from pipeline.fusion_visit import follow
from pipeline.ghosts import ghost_share, moved_share
from pipeline.light import Light
from pipeline.merging import Exposures
from pipeline.radiance_visit import fuse_radiance
from tests.pipeline.demo.test_dynamic import Ramps

PLAN = DynamicPlan(
    height=160, width=200, motion_px=(5.0, 12.0), scenes=4, kinds=("objects",), shake=0.0
)


def bracket(index: int, plan: DynamicPlan = PLAN) -> tuple[Stack, Light]:
    scene = make_scene(plan, index, Ramps())
    ratios = tuple(2.0 ** (ev - scene.evs[1]) for ev in scene.evs)
    exposures = Exposures(times_s=ratios, estimated=False)
    light = Light(ratios=ratios, order=(0, 1, 2), reference=1, exposures=exposures)
    return Stack(frames=tuple(scene.frames), exposure_times_s=ratios), light


def ghosts(stack: Stack, light: Light) -> float:
    found = ghost_share(fuse_radiance(Merge(), stack, 1), stack.frames[1])
    assert found is not None
    return found


def test_a_ghosted_merge_scores_worse_than_one_of_followed_frames():
    plain, followed = [], []
    for index in range(4):
        stack, light = bracket(index)
        plain.append(ghosts(stack, light))
        followed.append(ghosts(Stack(**vars(follow(stack, light).stack)), light))
    assert np.mean(followed) < 0.3 * np.mean(plain)
    assert np.mean(plain) > 0.02
    assert np.mean(followed) < 0.02


def still(gain: float, *, gamma: float = 2.2, noise: float = 0.0):
    rng = np.random.default_rng(1)
    rows, cols = np.mgrid[0:120, 0:160] / 40
    light = np.stack([0.3 + 0.25 * np.sin(rows + k) * np.cos(cols) for k in range(3)], 2)
    display = np.clip(light * gain, 0, 1) ** (1 / gamma)
    noisy = np.clip(display + noise * rng.standard_normal(display.shape), 0, 1)
    return np.floor(noisy * 65535 + 0.5).astype(np.uint16), light


def test_neither_noise_nor_a_cameras_own_curve_is_a_ghost():
    frame, light = still(1.0, gamma=1.9, noise=0.02)
    radiance = light.transpose(2, 0, 1).astype(np.float32)
    assert ghost_share(radiance, frame) < 0.01
    radiance[:, 30:60, 40:80] *= 0.4  # something that the frame does not show
    assert ghost_share(radiance, frame) > 0.05


def test_tall_pictures_give_the_same_in_strips(monkeypatch):
    frame, light = still(1.0, noise=0.01)
    radiance = light.transpose(2, 0, 1).astype(np.float32)
    radiance[:, 30:60, 40:80] *= 0.4
    whole = ghost_share(radiance, frame)
    monkeypatch.setattr("pipeline.ghosts._ROWS", 16)
    assert ghost_share(radiance, frame) == whole


def test_where_the_reference_shows_nothing_nothing_is_claimed():
    white = np.full((40, 40, 3), 255, np.uint8)
    assert ghost_share(np.ones((3, 40, 40), np.float32), white) is None
    assert moved_share(white, white, 2.0) is None


@pytest.mark.parametrize("gain", [0.25, 2.0])
def test_frames_of_another_exposure_show_the_same_unless_something_moved(gain):
    reference, _ = still(1.0, noise=0.004)
    other, _ = still(gain, noise=0.004)
    assert moved_share(other, reference, gain) < 0.005
    other[20:60, 30:70] = other[60:100, 90:130]
    assert moved_share(other, reference, gain) > 0.03


def test_auto_follows_what_moved_and_leaves_alone_what_did_not():
    stack, light = bracket(0)
    moved = choose(stack.frames, light, radiance=False)
    assert (moved.model, moved.follow) == ("ufm_k", True)
    assert "% of the pixels moved" in moved.reason
    frames = [still(gain)[0] for gain in (0.25, 1.0, 4.0)]
    rest = choose(frames, light, radiance=False)
    assert (rest.model, rest.follow) == ("ufm_k", False)
    assert "nothing moved" in rest.reason
    assert choose(frames, light, radiance=True).model == "merge"
    white = [np.full((40, 40, 3), 255, np.uint8)] * 3
    assert "cannot be told" in choose(white, light, radiance=False).reason
    unknown = choose(frames, "no exposures", radiance=False)
    assert (unknown.follow, "no exposures" in unknown.reason) == (False, True)
