# SPDX-License-Identifier: Apache-2.0
"""Each layout of the published data sets, with its paths to the letter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.archive.trees import (
    assert_nothing_lost,
    brackets_of,
    found,
    names,
    picture,
)

EVS = (-2.0, 0.0, 2.0)


def write(
    root: Path, files: dict[str, float], exposures: str | None = None, text: str = ""
) -> None:
    for name, ev in files.items():
        picture(root / name, ev)
    if exposures is not None:
        (root / exposures).write_text(text)


@pytest.mark.parametrize("root_name", ["", "Dataset_Part1", "anything"])
def test_sice_with_labels_of_any_case_and_extension(tmp_path: Path, root_name: str) -> None:
    part = tmp_path / "Dataset_Part1"
    for scene, label in (("1", "Label/1.JPG"), ("10", "Label/10.png")):
        write(part, {f"{scene}/{k}.JPG": ev for k, ev in zip((1, 2, 10), (-2, 0, 2), strict=True)})
        picture(part / label, 0)
    if root_name == "anything":
        part = part.rename(tmp_path / "anything")
    root = part if root_name else tmp_path

    result = found(root)

    assert [names(b) for b in brackets_of(result)] == [["1.JPG", "2.JPG", "10.JPG"]] * 2
    assert [Path(b.label_uri or "").name for b in result.brackets] == ["1.JPG", "10.png"]
    assert {b.label_kind for b in result.brackets} == {"display"}
    assert result.summary.labels == 2
    assert result.summary.singles == 0
    assert_nothing_lost(root, result)


def test_sice_parts_side_by_side_do_not_mix_their_labels(tmp_path: Path) -> None:
    for part, folder in (("Dataset_Part1", "Label"), ("Dataset_Part2", "label")):
        write(tmp_path / part, {"7/1.JPG": -2, "7/2.JPG": 0, f"{folder}/7.JPG": 0})
    picture(tmp_path / "Dataset_Part2/label/8.JPG", 0)
    result = found(tmp_path)
    labels = [b.label_uri for b in brackets_of(result)]
    assert labels == [
        str(tmp_path / "Dataset_Part1/Label/7.JPG"),
        str(tmp_path / "Dataset_Part2/label/7.JPG"),
    ]
    assert result.summary.singles == 1, "the label of no sequence"
    assert_nothing_lost(tmp_path, result)


def test_sice_labels_do_not_come_from_outside_the_archive(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    write(root / "Dataset_Part1", {"7/1.JPG": -2, "7/2.JPG": 0})
    picture(tmp_path / "elsewhere/7.JPG", 0)
    (root / "Dataset_Part1/Label").symlink_to(tmp_path / "elsewhere")
    (bracket,) = brackets_of(found(root))
    assert bracket.label_uri is None


def test_sice_frames_are_ordered_by_brightness_not_by_number(tmp_path: Path) -> None:
    write(tmp_path, {"train_7/1.JPG": 0, "train_7/2.JPG": 2, "train_7/3.JPG": -2})
    picture(tmp_path / "train_7/Label_7.JPG", 0)
    (bracket,) = found(tmp_path).brackets
    assert names(bracket) == ["3.JPG", "1.JPG", "2.JPG"]
    assert Path(bracket.label_uri or "").name == "Label_7.JPG"


def test_mefb_pairs_in_any_case_with_other_files_about(tmp_path: Path) -> None:
    root = tmp_path / "input"
    write(root / "Arno", {"Arno_A.png": -1, "Arno_B.PNG": 1})
    write(root / "Farmhouse", {"Farmhouse_A.png": 1, "FarmHouse_B.png": -1})
    write(root / "Sky", {"sKY_a.jpg": -1, "Sky_B.tif": 1, "Sky_under.jpg": -1}, "ev.txt", "1 2")
    result = found(tmp_path)
    assert [(b.layout, names(b)) for b in brackets_of(result)] == [
        ("mefb", ["Arno_A.png", "Arno_B.PNG"]),
        ("mefb", ["FarmHouse_B.png", "Farmhouse_A.png"]),
        ("mefb", ["sKY_a.jpg", "Sky_B.tif"]),
    ]
    assert result.summary.singles == 1
    assert_nothing_lost(tmp_path, result)


KALANTARI = {
    "original": (
        "Training/001",
        ("262A0898.tif", "262A0899.tif", "262A0900.tif"),
        ("exposure.txt", "-2\n0\n2\n"),
        "HDRImg.hdr",
        (),
    ),
    "test set": (
        "Test/Test-set/001",
        ("262A2629.tif", "262A2630.tif", "262A2631.tif"),
        ("exposure.txt", "0.00\n2.00\n4.00"),
        "HDRImg.hdr",
        (),
    ),
    "original test download": (
        "Test/PAPER/BarbequeDay",
        ("a1.tif", "a2.tif", "a3.tif"),
        ("exposure.txt", "-3 0 3"),
        "HDRImg.hdr",
        (),
    ),
    "mirror": (
        "train/12",
        ("input_1_aligned.tif", "input_2_aligned.tif", "input_3_aligned.tif"),
        ("input_exp.txt", "0\n2\n4\n"),
        "ref_hdr_aligned.hdr",
        ("ref_1_aligned.tif", "ref_2_aligned.tif", "ref_3_aligned.tif"),
    ),
    "crops": (
        "sig17_training_crop128_stride64/000000",
        ("0.tif", "1.tif", "2.tif"),
        ("exposure.txt", "0 2 4"),
        "label.hdr",
        (),
    ),
    "Tel": (
        "Training/scene_0001_1",
        ("input_1.tif", "input_2.tif", "input_3.tif"),
        ("exposure.txt", "-2.0\n0.0\n2.0\n"),
        "HDRImg.hdr",
        (),
    ),
    "Hu": (
        "Training/001",
        ("input_1_aligned.tif", "input_2_aligned.tif", "input_3_aligned.tif"),
        ("input_exp.txt", "-3\n0\n3"),
        "ref_hdr_aligned_linear.hdr",
        (),
    ),
    "Prabhakar": (
        "Training/Train_set_001",
        ("input_ghosted_1.tif", "input_ghosted_2.tif", "input_ghosted_3.tif"),
        ("exposure.txt", "-2\r\n0\r\n2\r\n"),
        "HDRImg.hdr",
        (),
    ),
    "Sen": (
        "Scenes/Santas Little Helper",
        ("IMG_5.tif", "IMG_6.tif", "IMG_7.tif"),
        ("exposures.txt", "0\n1.32\n2.64"),
        None,
        (),
    ),
}


@pytest.mark.parametrize("variant", KALANTARI)
def test_hdr_data_sets(tmp_path: Path, variant: str) -> None:
    folder, frames, (exposures, text), label, companions = KALANTARI[variant]
    scene = tmp_path / folder
    write(scene, dict(zip(frames, EVS, strict=True)), exposures, text)
    for name in (label, *companions):
        if name:
            picture(scene / name, 0)

    result = found(tmp_path)

    (bracket,) = result.brackets
    assert (bracket.layout, bracket.kind, names(bracket)) == ("kalantari", "bracket", list(frames))
    evs = [float(number) for number in text.split()]
    assert [frame.ev for frame in bracket.frames] == evs
    assert [frame.exposure_time_s for frame in bracket.frames] == [2.0**ev for ev in evs]
    assert bracket.label_uri == (str(scene / label) if label else None)
    assert bracket.label_kind == ("radiance" if label else None)
    assert_nothing_lost(tmp_path, result)


def test_tursun_gives_times(tmp_path: Path) -> None:
    scene = tmp_path / "dataset/Fastcars"
    times = [0.001 * 2**k for k in range(9)]
    write(scene, {f"{k}.tiff": k - 5 for k in range(9)}, "exposure.txt", "\n".join(map(str, times)))
    (bracket,) = found(tmp_path).brackets
    assert [frame.exposure_time_s for frame in bracket.frames] == pytest.approx(times)


def test_selfhdr_finds_the_exposures_of_the_unaligned_copy(tmp_path: Path) -> None:
    frames = dict(zip(("a.tif", "b.tif", "c.tif"), EVS, strict=True))
    write(tmp_path / "Training/001", frames, "exposure.txt", "-2 0 2")
    write(tmp_path / "Training_align/001", {**frames, "HDRImg.hdr": 0})
    original, aligned = found(tmp_path).brackets
    assert original.label_uri is None
    assert [frame.ev for frame in aligned.frames] == [-2, 0, 2]
    assert Path(aligned.label_uri or "").name == "HDRImg.hdr"
    assert "pseudo" in " ".join(aligned.notes)


def test_ntire_ground_truth_is_a_label(tmp_path: Path) -> None:
    scene = tmp_path / "000000"
    write(scene, {"0.png": -3, "1.png": -1, "2.png": 1, "gt.png": 0})
    np.save(scene / "exposures.npy", np.array([-3, -1, 1]))
    np.save(scene / "alignratio.npy", np.array(6806.4))
    (bracket,) = found(tmp_path).brackets
    assert names(bracket) == ["0.png", "1.png", "2.png"]
    assert [frame.ev for frame in bracket.frames] == [-3, -1, 1]
    assert Path(bracket.label_uri or "").name == "gt.png"


def test_realhdrv_video_pairs_frames_across_folders(tmp_path: Path) -> None:
    scene = tmp_path / "Test_Compack_8frames_50scenes/scene_1"
    for k in range(3):
        picture(scene / f"Input_0/frame_0{k}.tif", -3, seed=k)
        picture(scene / f"Input_1/frame_0{k}.tif", 0, seed=k)
        picture(scene / f"GT/GT_frame_0{k}.hdr", 0, seed=k)
    result = found(tmp_path)
    assert [[frame.path.split("/", 2)[2] for frame in b.frames] for b in result.brackets] == [
        [f"Input_0/frame_0{k}.tif", f"Input_1/frame_0{k}.tif"] for k in range(3)
    ]
    assert [Path(b.label_uri or "").name for b in result.brackets] == [
        f"GT_frame_0{k}.hdr" for k in range(3)
    ]
    assert_nothing_lost(tmp_path, result)


def test_realhdrv_deghosting_pair_with_radiance(tmp_path: Path) -> None:
    scene = tmp_path / "Real-HDRV-Deghosting-sRGB-Testing/scene_1"
    write(scene, {"001_ue.png": -3, "001_oe.png": 0, "001.hdr": 0})
    (bracket,) = found(tmp_path).brackets
    assert names(bracket) == ["001_ue.png", "001_oe.png"]
    assert bracket.label_kind == "radiance"


def test_pickled_exposures_are_not_loaded(tmp_path: Path) -> None:
    write(tmp_path / "s", {"0.png": -3, "1.png": -1, "gt.png": 0})
    np.save(tmp_path / "s/exposures.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    result = found(tmp_path)
    assert all(frame.ev is None for b in result.brackets for frame in b.frames)
    assert_nothing_lost(tmp_path, result)


def test_a_folder_of_one_view_is_a_bracket_dark_to_bright(tmp_path: Path) -> None:
    write(tmp_path / "room", {"room_bright.png": 2, "room_dark.png": -2, "room_normal.png": 0})
    (bracket,) = found(tmp_path).brackets
    assert names(bracket) == ["room_dark.png", "room_normal.png", "room_bright.png"]
    assert bracket.layout == "folder"
    assert bracket.confidence < 0.9


def test_a_folder_of_many_views_is_singles(tmp_path: Path) -> None:
    for k in range(4):
        picture(tmp_path / f"holiday/{k}.png", k - 2, seed=k)
    result = found(tmp_path)
    assert result.summary.singles == 4
    (whole,) = found(tmp_path, layout="folder").brackets
    assert len(whole.frames) == 4, "the user's word counts"


def test_brackets_side_by_side_in_one_folder_are_told_apart_by_name(tmp_path: Path) -> None:
    for seed, room in enumerate(("bath", "hall")):
        for k, ev in enumerate(EVS):
            picture(tmp_path / f"house/{room}_{k}.png", ev, seed=seed)
    assert [names(b) for b in found(tmp_path).brackets] == [
        [f"{room}_{k}.png" for k in range(3)] for room in ("bath", "hall")
    ]


def test_a_broken_frame_stays_in_its_bracket(tmp_path: Path) -> None:
    write(tmp_path / "room", {"img1.png": -2, "img3.png": 2})
    (tmp_path / "room/img2.png").write_bytes(b"")
    (tmp_path / "room/notes.png").write_text("no image")
    result = found(tmp_path)
    bracket = brackets_of(result)[0]
    assert sorted(names(bracket)) == ["img1.png", "img2.png", "img3.png"]
    assert "img2.png cannot be read" in bracket.notes
    assert [b.error_code for b in result.brackets if b.kind == "single"] == ["format-unsupported"]


def test_a_picture_whose_pixels_are_damaged_is_told_by_its_code(tmp_path: Path) -> None:
    write(tmp_path / "room", {"dark.png": -2, "bright.png": 2, "middle.png": 0})
    path = tmp_path / "room/middle.png"
    path.write_bytes(path.read_bytes()[:-300])  # its header is whole
    result = found(tmp_path)
    assert sorted(names(brackets_of(result)[0])) == ["bright.png", "dark.png"]
    (single,) = (bracket for bracket in result.brackets if bracket.kind == "single")
    assert single.error_code == "decode-truncated"
    assert single.error_message is not None
    assert "middle.png" in single.error_message
