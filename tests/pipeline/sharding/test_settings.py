# SPDX-License-Identifier: Apache-2.0
"""Settings refuse what is impossible, and decide the key."""

from __future__ import annotations

import math
from dataclasses import asdict, fields, replace

import pytest

from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from pipeline.settings import hash_of
from pipeline.sharding.settings import ShardSettings, shard_key

BRACKET = Bracket(frames=tuple(Frame(uri=f"/{k}.png", path=f"{k}.png") for k in "ab"), source="/")
OTHER = {
    "patch_px": 128,
    "patches_per_bracket": 5,
    "overlap": 0.5,
    "pair": "extreme",
    "min_contrast": 0.1,
    "validation_share": 0.3,
    "test_share": 0.3,
    "scenes": "content",
    "seed": 1,
    "align": "off",
    "max_side_px": 1000,
    "aligned": "flow",
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_px": 0},
        {"patch_px": 64.0},
        {"patch_px": True},
        {"patches_per_bracket": 0},
        {"overlap": 0.95},
        {"overlap": math.nan},
        {"min_contrast": -0.1},
        {"validation_share": -0.1},
        {"validation_share": 0.5, "test_share": 0.5},
        {"seed": -1},
        {"max_side_px": 100},
        {"pair": "middle"},
        {"aligned": "homography"},
        {"align": "on"},
        {"scenes": "guess"},
    ],
)
def test_what_is_impossible_is_refused_by_name(wrong):
    with pytest.raises(UsageError) as caught:
        ShardSettings(**wrong)
    assert caught.value.code == "option-invalid"
    assert all(name in caught.value.message for name in wrong)


@pytest.mark.parametrize("name", [item.name for item in fields(ShardSettings)])
def test_every_setting_that_changes_pixels_changes_the_key(name):
    one = ShardSettings()
    other = replace(one, **{name: OTHER[name]})
    decides_split = name in ("validation_share", "test_share", "scenes")
    assert (shard_key(BRACKET, one, "p") == shard_key(BRACKET, other, "p")) == decides_split
    assert one.sha256 != other.sha256


def test_the_key_knows_frames_place_and_label():
    labelled = replace(BRACKET, label_uri="/label.png", label_kind="display")
    touched = replace(BRACKET, frames=(replace(BRACKET.frames[0], size_bytes=5), BRACKET.frames[1]))
    keys = {shard_key(one, ShardSettings(), "p") for one in (BRACKET, labelled, touched)}
    assert len(keys | {shard_key(BRACKET, ShardSettings(), "q")}) == 4


def test_what_was_cut_before_frames_could_be_followed_keeps_its_key():
    settings = ShardSettings()
    assert settings.sha256 != replace(settings, aligned="flow").sha256
    assert settings.sha256 == hash_of({k: v for k, v in asdict(settings).items() if k != "aligned"})
