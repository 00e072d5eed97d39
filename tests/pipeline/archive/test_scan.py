# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive.check import check_pixels
from pipeline.archive.find import find_brackets
from pipeline.archive.folders import folders_of
from pipeline.archive.scan import ScanOptions, scan, scan_iter, summarize
from pipeline.archive.twins import pair_twins
from pipeline.errors import UsageError
from pipeline.listing import FileInfo
from tests.pipeline.archive.trees import (
    assert_nothing_lost,
    brackets_of,
    camera_tags,
    found,
    names,
    picture,
)


def camera_folder(
    root: Path, *, folder: str = "100CANON", first: int = 1, start_s: float = 0
) -> None:
    """Two brackets and a single, as from the card."""
    evs = (0, -2, 2, 0, -2, 2)
    for k, ev in enumerate(evs):
        second = k * 0.3 + (10 if k >= 3 else 0)
        tags = camera_tags(1 / 60 * 2.0**ev, second, bias_ev=float(ev))
        picture(root / folder / f"IMG_{1 + k:04d}.JPG", ev, exif=tags)
    tags = camera_tags(1 / 60, 40)
    picture(root / folder / "IMG_0007.JPG", 0, seed=9, exif=tags)


def test_a_camera_folder(tmp_path: Path) -> None:
    camera_folder(tmp_path)
    (tmp_path / "100CANON/IMG_0001.xmp").write_text("<x/>")
    (tmp_path / "100CANON/.hidden.jpg").write_text("no")
    calls: list[int] = []
    result = scan(str(tmp_path), options=ScanOptions(), progress=calls.append)
    assert [names(b) for b in brackets_of(result)] == [
        ["IMG_0002.JPG", "IMG_0001.JPG", "IMG_0003.JPG"],
        ["IMG_0005.JPG", "IMG_0004.JPG", "IMG_0006.JPG"],
    ]
    assert result.summary.singles == 1
    assert result.summary.ignored == {".xmp": 1}
    assert sum(calls) == 8
    assert {b.layout for b in result.brackets} == {"exif"}
    assert summarize(result.brackets).frames == result.summary.frames == 6


def test_a_bracket_runs_on_into_the_next_camera_folder(tmp_path: Path) -> None:
    for k, (name, ev) in enumerate(
        [("100CANON/IMG_9998", -2), ("100CANON/IMG_9999", 0), ("101CANON/IMG_0001", 2)]
    ):
        tags = camera_tags(1 / 60 * 2.0**ev, k * 0.3)
        picture(tmp_path / f"DCIM/{name}.JPG", ev, exif=tags)
    (bracket,) = found(tmp_path).brackets
    assert names(bracket) == ["IMG_9998.JPG", "IMG_9999.JPG", "IMG_0001.JPG"]


@pytest.mark.parametrize("choice", ["jpeg", "raw"])
def test_raw_twins_are_accounted_for(tmp_path: Path, choice: str) -> None:
    camera_folder(tmp_path)
    for k in range(1, 8):
        (tmp_path / f"100CANON/img_{k:04d}.cr2").write_bytes(b"II*\0 not a real raw file")
    result = found(tmp_path, twins=choice)
    assert_nothing_lost(tmp_path, result)
    assert result.summary.twins == 7
    if choice == "jpeg":
        frame = brackets_of(result)[0].frames[0]
        assert (frame.twin_uri or "").endswith("img_0002.cr2")


def test_a_raw_and_an_export_beside_a_jpeg() -> None:
    files = [
        FileInfo(uri=name, path=name, size_bytes=1, mtime_ns=0)
        for name in ("a.JPG", "a.NEF", "a.tif", "b.NEF", "c.tif", "c.NEF")
    ]
    rest, twins = pair_twins(files)
    assert [file.path for file in rest] == ["a.JPG", "a.tif", "b.NEF", "c.tif", "c.NEF"]
    assert {uri: twin.path for uri, twin in twins.items()} == {"a.JPG": "a.NEF"}


def test_bad_files_are_singles_with_a_code(tmp_path: Path) -> None:
    camera_folder(tmp_path)
    folder = tmp_path / "100CANON"
    (folder / "IMG_0100.JPG").write_bytes(b"")
    (folder / "IMG_0101.JPG").write_text("this is no image")
    (folder / "IMG_0102.JPG").symlink_to(folder / "nothing.JPG")
    (folder / "loop").symlink_to(folder)
    (folder / 'it\'s "a"\n<b>.JPG').write_bytes((folder / "IMG_0001.JPG").read_bytes()[:300])
    result = found(tmp_path)
    codes = {b.frames[0].path.rpartition("/")[2]: b.error_code for b in result.brackets}
    assert codes["IMG_0100.JPG"] == "file-empty"
    assert codes["IMG_0101.JPG"] == "format-unsupported"
    assert codes["IMG_0102.JPG"] == "file-link"
    assert codes["loop"] == "file-link"
    assert len(brackets_of(result)) == 2
    assert result.summary.unreadable >= 4


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    camera_folder(tmp_path)
    source = os.fsencode(tmp_path / "100CANON")
    os.rename(source, os.fsencode(tmp_path) + b"/caf\xe9")
    result = found(tmp_path)
    assert len(brackets_of(result)) == 2
    assert all(f.uri.startswith("file://") for b in result.brackets for f in b.frames)


def test_a_destination_inside_is_left_out(tmp_path: Path) -> None:
    camera_folder(tmp_path)
    picture(tmp_path / "out/results/x.png", 0)
    skipped = scan(str(tmp_path), options=ScanOptions(), skip=str(tmp_path / "out"))
    assert skipped.summary.photographs == 7


def test_ids_do_not_depend_on_the_mount(tmp_path: Path) -> None:
    camera_folder(tmp_path / "a")
    (tmp_path / "b").mkdir()
    before = [b.id for b in found(tmp_path / "a").brackets]
    (tmp_path / "a").rename(tmp_path / "b/c")
    assert [b.id for b in found(tmp_path / "b/c").brackets] == before


def test_a_remote_archive(tmp_path: Path) -> None:
    camera_folder(tmp_path)
    for k in range(2):
        picture(tmp_path / f"Dataset_Part1/1/{k}.JPG", k * 2)
    picture(tmp_path / "Dataset_Part1/Label/1.PNG", 0)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/archive", recursive=True)
    try:
        remote = scan("memory://archive", options=ScanOptions())
    finally:
        memory.rm("/archive", recursive=True)
    local = found(tmp_path)
    assert [b.id for b in remote.brackets] == [b.id for b in local.brackets]
    assert remote.summary == local.summary
    assert remote.summary.labels == 1


def test_the_stream_gives_the_same_rows(tmp_path: Path) -> None:
    camera_folder(tmp_path / "x")
    camera_folder(tmp_path / "y", folder="deep/er")
    stream = list(scan_iter(str(tmp_path), options=ScanOptions()))
    assert {b.id for b in stream} == {b.id for b in found(tmp_path).brackets}


def test_pixels_that_contradict_exif_lower_confidence(tmp_path: Path) -> None:
    for k, ev in enumerate((-2, 0, 2)):
        tags = camera_tags(1 / 60 * 2.0**ev, k * 0.3)
        picture(tmp_path / f"good/IMG_{k:04d}.JPG", ev, exif=tags)
        picture(tmp_path / f"stale/IMG_{k:04d}.JPG", -ev, exif=tags)
    good, stale = found(tmp_path).brackets
    assert check_pixels(good) == good
    checked = check_pixels(stale)
    assert checked.confidence <= 0.5 < stale.confidence
    assert "contradict" in checked.notes[-1]
    assert check_pixels(checked) == checked


def test_copied_exif_does_not_hide_a_bracket(tmp_path: Path) -> None:
    for k, ev in enumerate((-2, 0, 2)):
        picture(tmp_path / f"arch/A_{k}.jpg", ev, exif=camera_tags(1 / 60, 5))
    (bracket,) = found(tmp_path).brackets
    assert bracket.layout == "folder"
    assert len(bracket.frames) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"layout": "x"}, {"twins": "both"}, {"max_gap_s": -1}, {"min_frames": 1}, {"threads": 0}],
)
def test_wrong_options(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        ScanOptions(**wrong)  # type: ignore[arg-type]
    assert caught.value.code == "option-invalid"


def test_a_missing_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        found(tmp_path / "nothing")
    assert caught.value.code == "source-missing"


paths = st.lists(
    st.lists(st.sampled_from(["a", "b", "100CANON", "101CANON", "Input_0", "GT"]), max_size=3).map(
        lambda parts: "/".join([*parts, "f.jpg"])
    ),
    unique=True,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(paths)
def test_every_file_of_a_listing_is_in_one_folder(listed: list[str]) -> None:
    files = [FileInfo(uri=f"/s/{p}", path=p, size_bytes=1, mtime_ns=0) for p in sorted(listed)]
    folders = list(folders_of(files, "/s"))
    got = [f.path for one in folders for part in (one, *one.children) for f in part.files]
    assert sorted(got) == sorted(listed)


def test_folders_that_still_change_are_left_for_later(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        picture(tmp_path / folder / "1.png", -1)
        picture(tmp_path / folder / "2.png", 1)
    for file in (tmp_path / "old").iterdir():
        os.utime(file, (1_000_000, 1_000_000))
    result = scan(str(tmp_path), options=ScanOptions(settle_s=600))
    assert [frame.path for one in result.brackets for frame in one.frames] == [
        "old/1.png",
        "old/2.png",
    ]
    assert result.summary.unsettled == 2
    assert scan(str(tmp_path), options=ScanOptions()).summary.photographs == 4


def test_a_camera_whose_clock_is_ahead_is_not_waited_for(tmp_path: Path) -> None:
    for number, seconds in enumerate((1_000_000, 4_000_000_000)):
        picture(tmp_path / f"{number}.png", 0)
        os.utime(tmp_path / f"{number}.png", (seconds, seconds))
    summary = scan(str(tmp_path), options=ScanOptions(settle_s=600)).summary
    assert (summary.photographs, summary.unsettled) == (2, 0)


def test_all_still_on_their_way(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 0)
    with pytest.raises(UsageError, match="--settle") as caught:
        find_brackets(str(tmp_path), ScanOptions(settle_s=600))
    assert caught.value.code == "archive-empty"
