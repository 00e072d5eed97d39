# SPDX-License-Identifier: Apache-2.0
"""Names of results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from pipeline.naming import Names, check_template


def bracket(*paths: str) -> Bracket:
    frames = tuple(Frame(uri=f"/a/{path}", path=path) for path in paths)
    return Bracket(frames=frames, source="/a")


def names(brackets, template="{stem}_fused"):
    return Names(brackets, template=template, model="mertens")


def test_the_source_tree_is_mirrored():
    one = bracket("2024/kitchen/IMG_2.jpg", "2024/kitchen/IMG_1.jpg")
    assert names([one]).path(one, "jpg") == "2024/kitchen/IMG_1_fused.jpg"


def test_same_names_in_two_folders_stay_as_they_are():
    one, two = bracket("a/IMG_1.jpg", "a/IMG_2.jpg"), bracket("b/IMG_1.jpg", "b/IMG_2.jpg")
    found = names([one, two])
    assert found.path(one, "jpg") == "a/IMG_1_fused.jpg"
    assert found.path(two, "jpg") == "b/IMG_1_fused.jpg"


@pytest.mark.parametrize("twin", ["a/IMG_1.tif", "a/img_1.JPG"])
def test_same_names_in_one_folder_get_their_ids_in_any_order(twin):
    one, two = bracket("a/IMG_1.jpg", "a/IMG_2.jpg"), bracket(twin, "a/zzz.tif")
    forth, back = names([one, two]), names([two, one])
    assert forth.path(one, "jpg") == back.path(one, "jpg") == f"a/IMG_1_fused_{one.id[:8]}.jpg"
    assert forth.path(one, "jpg") != forth.path(two, "jpg")


@pytest.mark.parametrize(
    "template", ["", "plain", "{nope}", "{stem", "{stem}/x", "{0}", "{stem.a}"]
)
def test_bad_templates_are_refused_with_the_fields(template):
    with pytest.raises(UsageError) as caught:
        check_template(template)
    assert caught.value.code == "option-invalid"
    assert "{stem}" in caught.value.message


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=6, unique=True))
def test_no_name_leaves_its_folder_or_is_too_long_or_doubled(texts):
    brackets = {b.id: b for b in (bracket(f"{text}.jpg", "x.jpg") for text in texts)}.values()
    found = names(list(brackets))
    paths = [found.path(b, "jpg") for b in brackets]
    assert len({path.casefold() for path in paths}) == len(paths)
    for path in paths:
        parts = path.split("/")
        assert ".." not in parts
        assert not path.startswith("/")
        assert all(len(part.encode("utf-8", "surrogateescape")) <= 255 for part in parts[-1:])
        assert "\0" not in parts[-1]
        assert "\n" not in parts[-1]
