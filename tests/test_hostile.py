# SPDX-License-Identifier: Apache-2.0
"""Hostile input is harmless: a selection; `make chaos` runs a thousand files end to end."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive.lists import read_list
from pipeline.errors import CODES, PhotoError, UsageError
from pipeline.images.reading import read_header, read_photo
from pipeline.naming import Names
from pipeline.weights import read_weights
from tests.hostile.child import readings
from tests.hostile.files import hostile_files, plant
from tests.hostile.impostors import Calling
from tests.hostile.names import NAMES, plant_no_files
from tests.hostile.seeds import seeds
from tests.pipeline.archive.trees import assert_nothing_lost, found, picture

_PART = 14  # of the thousand files: one in so many, and what once took minutes or gigabytes
_WORST = (
    "scan after scan",
    "tiles of 1",
    "endless note of Canon",
    "4,000 fields on one another",
    "hdr 17,000 wide",
    "a gigabyte of zeros",
    "a gigabyte behind a PNG's head",
    "an EXIF chunk of a gigabyte",
)
_LIMIT_S = 10.0
_LIMIT_BYTES = 1 << 30  # far below what the bombs ask for
GOOD = {"ok"} | {code for code in CODES if code.startswith(("decode", "file", "format", "image"))}
GOOD |= {"color-unsupported"}


def test_every_hostile_file_is_read_or_gets_its_code(tmp_path):
    chosen = [
        file
        for number, file in enumerate(hostile_files(1000))
        if number % _PART == 0 or file.kind.endswith(_WORST)
    ]
    kinds = {str(plant(file, tmp_path)): file.kind for file in chosen}
    read = list(readings([Path(path) for path in kinds]))
    assert len(read) == 5 * len(kinds)
    wrong = [
        (kinds[one.path], one)
        for one in read
        if one.outcome not in GOOD or one.seconds > _LIMIT_S or one.grown_bytes > _LIMIT_BYTES
    ]
    assert wrong == []
    said = [one for one in read if one.outcome != "ok"]
    assert all(one.path in one.message and one.message.endswith(".") for one in said)
    assert len({one.outcome for one in said}) >= 5


def test_what_is_no_file_neither_hangs_nor_leads_outside(tmp_path):
    picture(tmp_path / "outside.jpg", 0.0)
    picture(tmp_path / "in" / "good.jpg", 0.0)
    planted = plant_no_files(tmp_path / "in" / "trap", tmp_path / "outside.jpg")
    codes = {}
    for path in planted:
        if path.name != "outside.jpg":  # named by its own address it may be read
            with pytest.raises(PhotoError) as caught:
                read_header(str(path))
            codes[path.name] = caught.value.code
    assert codes == {
        "circle.jpg": "file-link",
        "device.jpg": "format-unsupported",
        "folder.jpg": "format-unsupported",
        "nothing.jpg": "file-link",
        "pipe.jpg": "format-unsupported",
        "process.jpg": "format-unsupported",
        "socket.jpg": "format-unsupported",
    }
    result = found(tmp_path / "in")
    listed = {
        frame.path: bracket.error_code for bracket in result.brackets for frame in bracket.frames
    }
    assert listed.pop("good.jpg") is None
    assert listed["trap/outside.jpg"] == "file-link"
    assert set(listed.values()) <= {"file-link"}


def test_names_of_any_kind_are_found_once_and_give_one_safe_place_each(tmp_path):
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    whole = tmp_path / "whole.jpg"
    picture(whole, 0.0)
    for name in NAMES:
        with open(os.path.join(folder, name), "wb") as handle:
            handle.write(whole.read_bytes())
    result = found(tmp_path / "in")
    assert_nothing_lost(tmp_path / "in", result)
    assert sum(len(bracket.frames) for bracket in result.brackets) == len(NAMES)
    names = Names(result.brackets, template="{stem}_{model}", model="m")
    places = [names.path(bracket, "jpg") for bracket in result.brackets]
    assert len({place.casefold() for place in places}) == len(result.brackets)
    for place in places:
        assert ".." not in place.split("/")
        assert not place.startswith("/")
        assert all(len(part.encode()) <= 255 for part in place.split("/"))
        assert not any(ord(letter) < 32 for letter in place)


_WORDS = st.sampled_from(
    ("1", "2", "Label", "SICE", "exposure.txt", "ev.txt", "input", "x_-2", "x_+0", "IMG_0001")
)
_LETTERS = st.characters(codec="utf-8", exclude_characters="/\0.")
_PARTS = st.one_of(_WORDS, st.text(_LETTERS, min_size=1, max_size=9))
_ENDINGS = st.sampled_from((".jpg", ".JPG", ".tif", ".hdr", ".png", ".txt", ".nef", ""))


@settings(max_examples=25, deadline=None)
@given(
    paths=st.sets(
        st.tuples(st.lists(_PARTS, min_size=1, max_size=3).map("/".join), _ENDINGS), max_size=12
    ),
    data=st.sampled_from((b"", b"no picture", b"1 2 4", b"\xff\xd8\xff", seeds()["jpeg grey"])),
)
def test_no_tree_of_names_stops_a_scan_or_loses_a_file(tmp_path_factory, paths, data):
    root = tmp_path_factory.mktemp("tree")
    for path, ending in paths:
        place = root / f"{path}{ending}"
        # What stands in the way of another name: a file of a folder's name, and a name too long.
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    result = found(root)
    assert_nothing_lost(root, result)
    ids = [bracket.id for bracket in result.brackets]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "a/../../../etc/passwd", "..", "a\0b.jpg"],
    ids=repr,
)
def test_a_list_does_not_climb_out_of_its_folder(tmp_path, path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"bracket,path\nx,{path}\n")
    with pytest.raises(UsageError) as caught:
        list(read_list(str(listed)))
    assert caught.value.code == "catalog-invalid"


@pytest.mark.parametrize("path", ["/etc/../etc/passwd", "file:///etc/passwd", "file:///../../x"])
def test_what_a_list_names_elsewhere_is_mirrored_inside(tmp_path, path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"bracket,path\nx,{path}\n")
    (bracket,) = read_list(str(listed))
    assert bracket.frames[0].path in ("etc/passwd", "etc/etc/passwd", "x")
    with pytest.raises(PhotoError):
        read_photo(bracket.frames[0].uri)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(pickle.dumps(Calling())),
        lambda path: torch.save({"w": Calling()}, path),
        lambda path: path.write_bytes(struct.pack("<Q", 2**63) + b"{}"),
        lambda path: path.write_bytes(struct.pack("<Q", 2) + b"[]" + bytes(8)),
        lambda path: path.write_bytes(struct.pack("<Q", 9) + b'{"w":[[[' + bytes(8)),
        lambda path: path.write_bytes(b""),
    ],
    ids=["pickle", "checkpoint", "huge header", "list", "damaged", "empty"],
)
def test_weights_are_no_program(tmp_path, make):
    path = tmp_path / "w.safetensors"
    make(path)
    with pytest.raises(UsageError) as caught:
        read_weights(str(path))
    assert caught.value.code == "weights-invalid"
