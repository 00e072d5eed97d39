# SPDX-License-Identifier: Apache-2.0
"""The same scene is known again whatever became of its pictures; another is not taken for it."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from pipeline.archive.overlap import (
    SAME_SCENE_INLIERS,
    compare,
    count_inliers,
    features_of,
    find_overlaps,
    look_at,
    same_scene_pairs,
)
from pipeline.bracket import Bracket, Frame
from pipeline.demo.scenes import render
from pipeline.errors import PhotoError
from pipeline.images.writing import write_photo

NAMES = ("sunset", "museum", "night_street", "desk")


def exposures(radiance, *lights: float, curve: float = 1 / 2.2, bits: int = 8):
    peak = 2**bits - 1
    middle = np.median(radiance)
    pictures = [np.clip(radiance * light / middle * 0.2, 0, 1) ** curve for light in lights]
    return [
        np.floor(p * peak + 0.5).astype(np.uint16 if bits == 16 else np.uint8) for p in pictures
    ]


@pytest.fixture(scope="module")
def radiance():
    return {name: np.asarray(render(name, 1, 256, 384)) for name in NAMES}


def jpeg(frames, quality=40):
    coded = [cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for f in frames]
    return [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in coded]


CHANGES = {
    "other exposures": lambda r: exposures(r, 0.5, 8.0),
    "one stop apart": lambda r: exposures(r, 0.7, 1.4),
    "other response": lambda r: exposures(r, 0.25, 1, 4, curve=1 / 1.6),
    "sixteen bits": lambda r: exposures(r, 0.25, 1, 4, bits=16),
    "JPEG": lambda r: jpeg(exposures(r, 0.25, 1, 4)),
    "half size": lambda r: exposures(cv2.resize(r, None, fx=0.5, fy=0.5, interpolation=3), 0.25, 4),
    "crop": lambda r: exposures(r[40:220, 60:330], 0.25, 1, 4),
    "other order": lambda r: exposures(r, 4, 0.25, 1),
    "noise": lambda r: [
        np.clip(f + np.random.default_rng(0).normal(0, 4, f.shape), 0, 255).astype(np.uint8)
        for f in exposures(r, 0.25, 4)
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_scene_is_known_again(radiance, change):
    for name, light in radiance.items():
        known = features_of(exposures(light, 0.25, 1, 4))
        inliers = count_inliers(features_of(CHANGES[change](light)), known)
        assert inliers >= SAME_SCENE_INLIERS, name


@pytest.fixture(scope="module")
def archive(radiance, tmp_path_factory) -> list[Bracket]:
    """Brackets on disk: every scene, and one of them again, smaller, under another name."""
    folder = tmp_path_factory.mktemp("overlap")
    stacks = {name: exposures(light, 0.25, 1, 4) for name, light in radiance.items()}
    stacks["again"] = exposures(radiance["desk"][:200, :300], 0.5, 3)
    found = []
    for name, frames in stacks.items():
        for number, pixels in enumerate(frames):
            write_photo(pixels, str(folder / name / f"{number}.png"), format="png", bits=8)
        paths = [f"{name}/{number}.png" for number in range(len(frames))]
        found.append(
            Bracket(
                frames=tuple(Frame(uri=str(folder / path), path=path) for path in paths),
                source=str(folder),
            )
        )
    return found


def test_other_scenes_are_not_taken_for_it(radiance):
    known = [features_of(exposures(light, 0.25, 1, 4)) for light in radiance.values()]
    for one, other in combinations(known, 2):
        assert count_inliers(one, other) < SAME_SCENE_INLIERS


def test_a_picture_of_nothing_matches_nothing():
    nothing = features_of([np.full((64, 64, 3), level, np.uint8) for level in (0, 99)])
    assert nothing.points.shape == (0, 2)
    assert count_inliers(nothing, nothing) == 0


def test_overlaps_name_both_sides(archive):
    *scenes, again = archive
    (overlap,) = find_overlaps([again], scenes)
    assert overlap.bracket_id == again.id
    assert (overlap.scene, overlap.other_scene) == ("again", "desk")
    assert overlap.other_source == again.source
    assert overlap.inliers >= SAME_SCENE_INLIERS
    assert find_overlaps(scenes[:2], scenes[2:]) == []


def test_within_an_archive_pairs_are_found_once(archive):
    calls = []
    seen = look_at(archive, progress=lambda: calls.append(1))
    (desk,) = (one for one in archive if one.frames[0].path.startswith("desk"))
    assert same_scene_pairs(seen) == [(desk.id, archive[-1].id)]
    assert len(calls) == len(archive)
    assert compare(seen[:1], seen[1:2]) == []


def test_what_cannot_be_read_is_passed_over_only_where_it_may(archive):
    gone = tuple(Frame(uri=f"/nowhere/{k}.png", path=f"{k}.png") for k in range(2))
    lost = Bracket(frames=gone, source="/nowhere")
    single = Bracket(frames=gone[:1], source="/nowhere", kind="single")
    assert look_at([lost, single], must=False) == []
    assert look_at([single]) == []
    assert find_overlaps([lost], archive[:1]) == []
    with pytest.raises(PhotoError) as caught:
        find_overlaps(archive[:1], [lost])
    assert caught.value.code == "file-missing"


@pytest.mark.shared
def test_real_scenes_are_found_under_other_names(shared):
    """The weakest of the benchmark scenes that occur in another set, and scenes that do not."""
    root = shared / "data"

    def bracket(scene: str) -> Bracket:
        files = sorted((root / scene).iterdir())
        frames = tuple(
            Frame(uri=str(file), path=file.relative_to(root).as_posix()) for file in files
        )
        return Bracket(frames=frames, source=str(root))

    known = [bracket(f"deepfuse_iccv17/Seq_{number}") for number in (37, 38, 80, 76)]
    known.append(bracket("sice_mefgan/4"))
    found = find_overlaps(known, [bracket(f"mefb/ICCV_{number}") for number in (10, 11, 15)])
    assert {(one.scene, one.other_scene) for one in found} == {
        ("deepfuse_iccv17/Seq_37", "mefb/ICCV_10"),
        ("deepfuse_iccv17/Seq_38", "mefb/ICCV_11"),
        ("deepfuse_iccv17/Seq_80", "mefb/ICCV_15"),
    }
