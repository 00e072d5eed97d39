# SPDX-License-Identifier: Apache-2.0
"""Folders of shards that are trained on together must agree on the splits."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.sharding.split_table import check_one_split, write_split

AGREED = {"a": ("desk", "train"), "b": ("street", "validation"), "c": ("tower", None)}


@pytest.fixture
def folder(tmp_path):
    """Write a split, bracket -> (scene, split), and return its folder."""

    def write(name, places):
        rows = [
            {"scene": scene, "bracket_id": bracket, "split": split, "reason": "test"}
            for bracket, (scene, split) in places.items()
        ]
        write_split(str(tmp_path / name), rows)
        return str(tmp_path / name)

    return write


def test_folders_that_agree_go_together(folder):
    other = {"a": ("desk", "train"), "d": ("street", "validation"), "c": ("tower", "train")}
    check_one_split([folder("one", AGREED), folder("other", other)])


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ({"x": ("desk", "validation")}, "The scene desk is for train"),
        ({"x": ("street", "train")}, "The scene street is for validation"),
        ({"x": ("street", "test")}, "The scene street is for validation"),
        ({"a": ("other", "validation")}, "The bracket a is for train"),
    ],
)
def test_what_is_trained_on_and_validated_with_is_named(folder, places, named):
    one, other = folder("one", AGREED), folder("other", places)
    with pytest.raises(UsageError, match=named) as caught:
        check_one_split([one, other])
    assert caught.value.code == "shards-invalid"
    assert one in caught.value.message
    assert other in caught.value.message
    assert "Shard the archives together" in caught.value.message
