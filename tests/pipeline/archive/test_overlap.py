# SPDX-License-Identifier: Apache-2.0
"""The same scene is known again whatever became of its pictures; another is not taken for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.archive import overlap as overlap_module
from pipeline.archive.overlap import (
    SAME_SCENE_INLIERS,
    compare,
    count_inliers,
    features_of,
    look_at,
    same_scene_pairs,
)
from pipeline.bracket import Bracket, Frame
from pipeline.demo.scenes import render
from pipeline.errors import InfrastructureError
from pipeline.images.radiance import encode_exr
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
    (overlap,) = compare(look_at([again]).seen, look_at(scenes).seen)
    assert overlap.bracket_id == again.id
    assert (overlap.scene, overlap.other_scene) == ("again", "desk")
    assert overlap.other_source == again.source
    assert overlap.inliers >= SAME_SCENE_INLIERS


def test_within_an_archive_pairs_are_found_once(archive):
    calls = []
    seen = look_at(archive, progress=lambda: calls.append(1)).seen
    (desk,) = (one for one in archive if one.frames[0].path.startswith("desk"))
    assert same_scene_pairs(seen) == [(desk.id, archive[-1].id)]
    assert len(calls) == len(archive)
    assert compare(seen[:1], seen[1:2]) == []


def single(path: Path, folder: str) -> Bracket:
    return Bracket(frames=(Frame(uri=str(path), path=path.name),), source=folder, kind="single")


def test_one_frame_is_enough_to_be_known_by(archive, radiance, tmp_path):
    """A single photograph or a linear picture, of which the scan makes no bracket."""
    desk = next(one for one in archive if one.frames[0].path.startswith("desk"))
    whole = tmp_path / "whole.exr"
    whole.write_bytes(encode_exr(radiance["desk"].astype(np.float32), 32))
    singles = [replace(desk, frames=desk.frames[1:2], kind="single", id=""), single(whole, "x")]
    looked = look_at(singles)
    assert looked.failed == ()
    for seen in looked.seen:
        assert seen.telling
        scenes = {one.bracket_id for one in compare(look_at(archive).seen, [seen])}
        assert desk.id in scenes
        assert scenes <= {desk.id, archive[-1].id}


def test_frames_that_do_not_fit_each_other_are_looked_at_one_by_one(archive):
    frames = archive[0].frames[:1] + archive[-1].frames[:1]
    (one, other) = look_at([Bracket(frames=frames, source="x")]).seen
    known = look_at([archive[0], archive[-1]]).seen
    for seen, its in ((one, archive[0]), (other, archive[-1])):
        assert {o.bracket_id for o in compare(known, [seen])} == {its.id}


def test_what_cannot_be_read_is_named(archive):
    gone = tuple(Frame(uri=f"/nowhere/{k}.png", path=f"{k}.png") for k in range(2))
    lost = Bracket(frames=gone, source="/nowhere")
    looked = look_at([lost, archive[0], single(Path("/nowhere/0.png"), "/nowhere")])
    assert [seen.bracket for seen in looked.seen] == [archive[0]]
    assert [error.code for _, error in looked.failed] == ["file-missing"] * 2
    assert looked.failed[0][0] is lost


@pytest.mark.parametrize(
    ("raised", "code"), [(MemoryError(), "out-of-memory"), (cv2.error("a bug"), "unexpected")]
)
def test_trouble_with_one_photograph_costs_that_one(archive, monkeypatch, raised, code):
    def failing(frames):
        if frames is pictures[0]:
            raise raised
        return features_of(frames)

    pictures = [overlap_module._views(bracket)[0] for bracket in archive[:2]]
    monkeypatch.setattr(overlap_module, "_views", lambda b: [pictures[archive.index(b)]])
    monkeypatch.setattr(overlap_module, "features_of", failing)
    looked = look_at(archive[:2])
    assert [(bracket.id, error.code) for bracket, error in looked.failed] == [(archive[0].id, code)]
    assert [seen.bracket.id for seen in looked.seen] == [archive[1].id]


def test_a_broken_disk_is_no_fault_of_the_photograph(archive, monkeypatch):
    def broken(bracket):
        raise InfrastructureError("storage-failed", "gone")

    monkeypatch.setattr(overlap_module, "_views", broken)
    with pytest.raises(InfrastructureError):
        look_at(archive)


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
    others = [bracket(f"mefb/ICCV_{number}") for number in (10, 11, 15)]
    found = compare(look_at(known).seen, look_at(others).seen)
    assert {(one.scene, one.other_scene) for one in found} == {
        ("deepfuse_iccv17/Seq_37", "mefb/ICCV_10"),
        ("deepfuse_iccv17/Seq_38", "mefb/ICCV_11"),
        ("deepfuse_iccv17/Seq_80", "mefb/ICCV_15"),
    }
