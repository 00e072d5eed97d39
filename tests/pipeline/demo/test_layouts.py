# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import tifffile
from PIL import Image

from pipeline.demo.layouts import tone_mapped, write_kalantari, write_mefb, write_sice
from pipeline.demo.scenes import render

SIZE = (32, 48)


def mean_of(path):
    with Image.open(path) as image:
        return np.asarray(image).mean()


def test_sice_paths_and_order(tmp_path):
    folders = write_sice(tmp_path, size=SIZE)
    assert folders == [
        "Dataset_Part1/28",
        "Dataset_Part1/4",
        "Dataset_Part2/126",
        "Dataset_Part2/7",
    ]
    labels = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/Label/*"))
    assert labels == [
        "Dataset_Part1/Label/28.JPG",
        "Dataset_Part1/Label/4.JPG",
        "Dataset_Part2/Label/126.PNG",
        "Dataset_Part2/Label/7.JPG",
    ]
    for folder in folders:
        means = [mean_of(tmp_path / folder / f"{k}.JPG") for k in range(1, 8)]
        assert means == sorted(means)


def test_mefb_paths_and_order(tmp_path):
    folders = write_mefb(tmp_path, size=SIZE)
    assert "input/Lighthouse" in folders
    names = {p.name for p in tmp_path.glob("input/*/*")}
    assert {
        "Farmhouse_A.png",
        "FarmHouse_B.png",
        "Lighthouse_a.JPG",
        "sKY_a.tif",
        "ev.txt",
    } <= names
    for folder in folders:
        pair = [p for p in (tmp_path / folder).iterdir() if p.suffix != ".txt"]
        dark, bright = sorted(pair, key=lambda p: p.stem.lower())
        assert dark.stem.lower().endswith("_a")
        assert mean_of(dark) < mean_of(bright)


def test_kalantari_frames_are_the_label_seen_through_the_exposure(tmp_path):
    folders = write_kalantari(tmp_path, size=SIZE)
    assert folders == ["Test/Test-set/001", "Training/001", "Training/002"]
    for folder in folders:
        place = tmp_path / folder
        assert (place / "exposure.txt").read_text().split() == ["-2.000000", "0.000000", "2.000000"]
        label = cv2.imread(str(place / "HDRImg.hdr"), cv2.IMREAD_UNCHANGED)[..., ::-1]
        frames = sorted(place.glob("*.tif"))
        assert [p.name[:4] for p in frames] == ["262A"] * 3
        for path, ev in zip(frames, (-2, 0, 2), strict=True):
            z = tifffile.imread(path)
            assert z.dtype == np.uint16
            z = z / 65535
            good = (z > 0.2) & (z < 0.99)
            seen = z[good] ** 2.2 / 2.0**ev
            # Radiance RGBE shares one exponent among the channels: 1/128 of the largest.
            assert np.median(np.abs(seen / label[good] - 1)) < 0.01


def test_tone_mapping_keeps_both_ends():
    picture = tone_mapped(render("living_room", 0, 64, 96))
    assert picture.dtype == np.uint8
    assert ((picture.max(2) > 8) & (picture.min(2) < 250)).mean() > 0.9
