# SPDX-License-Identifier: Apache-2.0
"""`--model auto` and frames that are followed, in the visit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.images.reading import read_photo
from pipeline.ledger import Ledger
from pipeline.models import find_model
from pipeline.score_results import find_results
from pipeline.settings import FuseSettings, KeyMaker
from tests.pipeline.test_ghosts import bracket as moving_stack

AUTO = FuseSettings(model="auto", format="png")


@pytest.fixture
def moving(make_bracket):
    """A bracket in which things moved, with its exposures."""
    stack, light = moving_stack(0)
    made = make_bracket(*stack.frames, suffix="tif")
    frames = [
        replace(frame, ev=float(np.log2(ratio)))
        for frame, ratio in zip(made.frames, light.ratios, strict=True)
    ]
    return replace(made, frames=tuple(frames))


def test_what_moved_is_followed_and_the_report_says_why(moving, fuse_one, tmp_path):
    row = fuse_one(moving, AUTO)
    assert row["status"] == "fused", row["error_message"]
    assert (row["model"], row["display_path"]) == ("ufm_k", None)
    assert "moved: the frames were followed onto frame 2" in row["model_reason"]
    assert 0.5 < row["followed_share"] < 1
    asked = replace(AUTO, model="ufm_k", align="flow")
    same = fuse_one(moving, asked, out=tmp_path / "asked")
    one, other = (read_photo(r["result_uri"]).pixels for r in (row, same))
    np.testing.assert_array_equal(one, other)
    assert row["key"] != same["key"]
    kept = fuse_one(moving, replace(AUTO, align="off"), out=tmp_path / "off")
    assert (kept["followed_share"], "--align off" in kept["model_reason"]) == (None, True)


def test_where_no_light_is_known_there_is_still_a_fusion(make_bracket, fuse_one):
    black = np.zeros((64, 64, 3), np.uint8)
    row = fuse_one(make_bracket(black, ~black), AUTO)
    assert row["status"] == "fused", row["error_message"]
    assert "nothing is known of motion" in row["model_reason"]


def test_linear_light_is_merged(moving, fuse_one):
    row = fuse_one(moving, replace(AUTO, format="exr", bits=16))
    assert (row["model"], row["result_format"]) == ("merge", "exr")
    assert "linear light is wanted" in row["model_reason"]
    assert row["followed_share"] > 0.5
    assert row["ghost_share"] < 0.05


def test_the_key_holds_the_weights_that_may_be_chosen(moving):
    chosen = find_model("auto")
    assert chosen.weights_sha256 == find_model("ufm_k").weights_sha256
    assert AUTO.output_of(chosen.card) == "fusion"
    assert replace(AUTO, format="exr", bits=16).output_of(chosen.card) == "radiance"
    with pytest.raises(UsageError, match="--reference"):
        replace(AUTO, reference=1).output_of(chosen.card)
    keys = KeyMaker(AUTO, chosen.weights_sha256)
    assert keys.key(moving) != KeyMaker(replace(AUTO, model="ufm_k"), None).key(moving)


def test_of_a_radiance_the_picture_beside_it_is_scored(moving, fuse_one, tmp_path):
    row = fuse_one(moving, FuseSettings(model="merge", align="off"))
    with Ledger(str(tmp_path / "out"), "r", "w") as ledger:
        ledger.append(row)
    assert find_results(str(tmp_path / "out")).match(moving) == row["display_uri"]
