# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path

import exifread
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image, ImageOps

from pipeline.demo.archive import _moment, _name, make_archive, make_bracket
from pipeline.demo.truth import ArchivePlan
from pipeline.errors import UsageError

PLAN = ArchivePlan(seed=5, size=(64, 96))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "archive"
    calls: list[tuple[int, int]] = []
    truth = make_archive(
        folder,
        plan=PLAN,
        truth_path=folder.parent / "truth.json",
        progress=lambda done, of: calls.append((done, of)),
    )
    assert calls == [(k + 1, 12) for k in range(12)]
    return folder, truth


def tags_of(path: Path):
    with path.open("rb") as handle:
        return exifread.process_file(handle, details=False)


def pixels_of(path: Path) -> np.ndarray:
    if path.suffix == ".TIF":
        return tifffile.imread(path).astype(np.float32) / 65535
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image), np.float32) / 255


def test_the_truth_lists_exactly_the_files(made):
    folder, truth = made
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == list(truth.paths)
    assert len(set(files)) == len(files)


def test_the_mix_is_the_promised_one(made):
    _, truth = made
    assert len(truth.brackets) == 12
    assert {len(b.frames) for b in truth.brackets} == {2, 3, 4, 5, 6, 7}
    assert sum(b.handheld for b in truth.brackets) == 2
    assert sum(b.broken for b in truth.brackets) == 1
    assert {b.format for b in truth.brackets} == {"jpeg", "tiff"}
    assert len({b.camera.serial for b in truth.brackets}) == 2
    assert len({b.scene for b in truth.brackets}) == 12
    days = {f.path.split("/")[0] for b in truth.brackets for f in b.frames}
    assert len(days) == len(truth.singles) == 3
    assert all(b.width < b.height for b in truth.brackets if b.orientation == 6)


def test_exif_is_what_the_truth_says(made):
    folder, truth = made
    for bracket in truth.brackets:
        for frame in bracket.frames:
            tags = tags_of(folder / frame.path)
            time = tags["EXIF ExposureTime"].values[0]
            assert time.num / time.den == pytest.approx(frame.exposure_time_s)
            assert float(tags["EXIF FNumber"].values[0]) == frame.f_number
            assert tags["EXIF ISOSpeedRatings"].values[0] == frame.iso
            bias = tags["EXIF ExposureBiasValue"].values[0]
            assert bias.num / bias.den == pytest.approx(frame.bias_ev, abs=0.01)
            assert str(tags["Image Make"]) == bracket.camera.make
            assert str(tags["Image Model"]) == bracket.camera.model
            assert str(tags["EXIF BodySerialNumber"]) == bracket.camera.serial
            assert tags["Image Orientation"].values[0] == bracket.orientation
            assert tags["EXIF ExposureMode"].values[0] == 2
            taken = datetime.strptime(str(tags["EXIF DateTimeOriginal"]), "%Y:%m:%d %H:%M:%S")
            part = int(str(tags["EXIF SubSecTimeOriginal"])) / 100
            assert (frame.captured - taken).total_seconds() == pytest.approx(part, abs=0.011)
    for single in truth.singles:
        assert tags_of(folder / single.path)["EXIF ExposureMode"].values[0] == 0


def test_frames_of_a_bracket_follow_each_other_and_sessions_are_minutes_apart(made):
    _, truth = made
    ends = {}
    for bracket in truth.brackets:
        for a, b in itertools.pairwise(bracket.frames):
            gap = (b.captured - a.captured).total_seconds() - a.exposure_time_s
            assert 0 < gap < 2
        day = bracket.frames[0].captured.date()
        if day in ends:
            assert (bracket.frames[0].captured - ends[day]).total_seconds() > 120
        ends[day] = bracket.frames[-1].captured


def test_exposure_ratios_are_pixel_ratios(made):
    folder, truth = made
    checked = 0
    for bracket in truth.brackets:
        if bracket.handheld:
            continue
        frames = [f for f in bracket.frames if not f.broken]
        frames = sorted(frames, key=lambda f: f.exposure_time_s)
        for dark, bright in itertools.pairwise(frames):
            a, b = pixels_of(folder / dark.path), pixels_of(folder / bright.path)
            both = (a > 0.15) & (a < 0.9) & (b > 0.15) & (b < 0.9)
            if both.sum() < 300:
                continue
            ratio = np.median(bracket.camera.invert(b[both]) / bracket.camera.invert(a[both]))
            # JPEG smears colour over the few pixels there are; 16-bit TIFF does not.
            rel = 0.015 if bracket.format == "tiff" else 0.1
            assert ratio == pytest.approx(bright.exposure_time_s / dark.exposure_time_s, rel=rel)
            checked += 1
    assert checked > 15


def test_sizes_and_depth_of_the_files(made):
    folder, truth = made
    for bracket in truth.brackets:
        for frame in bracket.frames:
            if frame.broken:
                continue
            image = pixels_of(folder / frame.path)
            assert image.shape == (bracket.height, bracket.width, 3)
            if bracket.format == "tiff":
                raw = tifffile.imread(folder / frame.path)
                assert raw.dtype == np.uint16
                assert len(np.unique(raw)) > 256
                assert (raw[raw < 65535] % 257 != 0).mean() > 0.9


def test_the_broken_frame_ends_early_and_the_others_decode(made):
    folder, truth = made
    broken = [f for b in truth.brackets for f in b.frames if f.broken]
    assert len(broken) == 1
    with (
        Image.open(folder / broken[0].path) as image,
        pytest.raises(OSError, match="truncated"),
    ):
        image.load()


def test_the_truth_is_readable_json(made):
    folder, truth = made
    read = json.loads((folder.parent / "truth.json").read_text())
    assert len(read["brackets"]) == 12
    assert read["brackets"][2]["frames"][0]["path"] == truth.brackets[2].frames[0].path


def test_same_plan_same_bytes_in_any_order(made, tmp_path):
    folder, truth = made
    for index in (9, 1):
        assert make_bracket(tmp_path, index, PLAN) == truth.brackets[index]
        for frame in truth.brackets[index].frames:
            assert (tmp_path / frame.path).read_bytes() == (folder / frame.path).read_bytes()


def test_handheld_frames_move_and_tripod_frames_do_not(made):
    _, truth = made
    for bracket in truth.brackets:
        moves = [not np.allclose(f.motion.homography(64, 96), np.eye(3)) for f in bracket.frames]
        assert sum(moves) == (len(moves) - 1 if bracket.handheld else 0)


def test_options_of_the_plan(tmp_path):
    plan = ArchivePlan(
        size=(24, 36), frames=2, format="tiff", per_day=2, radiance=True, broken_index=None
    )
    truth = make_archive(tmp_path / "archive", brackets=3, plan=plan)
    assert all(len(b.frames) == 2 and b.format == "tiff" for b in truth.brackets)
    assert len(truth.singles) == 2
    assert not any(b.broken for b in truth.brackets)
    stored = truth.brackets[0].radiance_path
    assert stored is not None
    with OpenEXR.File(str(tmp_path / stored)) as file:
        assert file.channels()["RGB"].pixels.shape == (24, 36, 3)


def test_names_stay_unique_in_long_archives():
    plan = ArchivePlan(per_day=300)
    names = {_name(d, s * 10 + k, "jpeg", second=False) for d in (0, 99) for s in range(300)
             for k in range(9)}  # fmt: skip
    assert len(names) == 2 * 300 * 9
    assert _moment(plan, 0, 299).date() == _moment(plan, 0, 0).date()


def test_wrong_use_is_told(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        make_archive(tmp_path, plan=PLAN)
    assert caught.value.code == "destination-invalid"
    with pytest.raises(UsageError):
        make_archive(tmp_path / "a", brackets=0)
    with pytest.raises(UsageError):
        make_archive(tmp_path / "a", plan=PLAN, truth_path=tmp_path / "a" / "truth.json")
    for options in ({"megapixels": 0}, {"frames": 1}, {"per_day": 0}):
        with pytest.raises(UsageError):
            ArchivePlan(**options)
    assert (tmp_path / "note.txt").read_text() == "mine"
