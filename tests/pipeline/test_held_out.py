# SPDX-License-Identifier: Apache-2.0
"""The list of scenes that training left out says of each why, and ships."""

from __future__ import annotations

import csv
import tomllib

from pipeline.archive.overlap import SAME_SCENE_INLIERS


def test_every_scene_left_out_was_matched_or_seen(repository):
    with (repository / "pipeline" / "recipes" / "held-out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    keys = [(row["set"], row["scene"], row["occurs_in"], row["occurs_as"]) for row in rows]
    assert keys == sorted(set(keys))
    for row in rows:
        matched = int(row["inliers"]) >= SAME_SCENE_INLIERS
        assert row["verdict"] == ("matched" if matched else "by eye")
        assert row["occurs_in"] in ("mefb", "empa", "hdrps", "sice_1024")


def test_the_list_is_part_of_the_package(repository):
    settings = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))
    assert "recipes/*.csv" in settings["tool"]["setuptools"]["package-data"]["pipeline"]
