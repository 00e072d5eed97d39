# SPDX-License-Identifier: Apache-2.0
"""Brackets of one view are one scene, however many there are of it."""

from __future__ import annotations

import pytest

from pipeline.archive.scenes import scene_name, scenes_of
from pipeline.bracket import Bracket, Frame


def bracket(*paths: str, layout: str = "folder", label: str | None = None) -> Bracket:
    frames = tuple(Frame(uri=f"/in/{path}", path=path) for path in paths)
    return Bracket(frames=frames, source="/in", layout=layout, label_uri=label)


@pytest.mark.parametrize(
    ("layout", "paths", "scene"),
    [
        ("sice", ("train/12/1.JPG", "train/12/2.JPG"), "train/12"),
        ("kalantari", ("001/a.tif", "001/b.tif"), "001"),
        ("folder", ("a.jpg", "b.jpg"), "a"),
        ("mefb", ("Door/Door_A.png", "Door/Door_B.png"), "Door"),
        ("mefb", ("input/Door_A.png", "input/Door_B.png"), "input/Door"),
        ("exif", ("day/IMG_2.jpg", "day/IMG_1.jpg"), "day/IMG_1"),
        ("list", ("day/IMG_2.jpg", "day/IMG_1.jpg"), "day/IMG_1"),
    ],
)
def test_a_scene_is_called_after_its_place(layout, paths, scene):
    assert scene_name(bracket(*paths, layout=layout)) == scene


def test_brackets_of_a_folder_are_one_scene_those_of_a_camera_roll_are_not():
    for layout, count in (("folder", 1), ("exif", 2)):
        pair = [bracket(f"d/{k}.jpg", f"d/{k + 1}.jpg", layout=layout) for k in (1, 3)]
        assert len(set(scenes_of(pair).values())) == count


def test_pairs_of_a_list_that_share_a_frame_or_a_label_are_one_scene():
    chain = [
        bracket("d/1.jpg", "d/5.jpg", layout="list"),
        bracket("d/2.jpg", "d/5.jpg", layout="list", label="/in/label.jpg"),
        bracket("d/3.jpg", "d/4.jpg", layout="list", label="/in/label.jpg"),
        bracket("d/7.jpg", "d/8.jpg", layout="list"),
    ]
    for order in (chain, chain[::-1]):
        scenes = scenes_of(order)
        assert [scenes[one.id] for one in chain] == ["d/1", "d/1", "d/1", "d/7"]


def test_what_is_said_to_be_alike_is_one_scene():
    three = [bracket(f"{name}/1.jpg", f"{name}/2.jpg") for name in "abc"]
    scenes = scenes_of(three, [(three[2].id, three[0].id)])
    assert [scenes[one.id] for one in three] == ["a", "b", "a"]
