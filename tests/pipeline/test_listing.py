# SPDX-License-Identifier: Apache-2.0
"""What lies in an archive: everything, once, with what is wrong with it."""

from __future__ import annotations

import os

import fsspec
import pytest

from pipeline.listing import list_files, list_folder


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "in"
    for name in (
        "b/2.jpg",
        "b/1.jpg",
        "b/deep/3.jpg",
        "b-c/4.jpg",
        "ä/ü.jpg",
        ".hid/5.jpg",
        "6.jpg",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "b/to6.jpg").symlink_to(root / "6.jpg")
    (root / "b/to1.jpg").symlink_to("1.jpg")
    (root / "b/nothing.jpg").symlink_to(root / "none")
    (root / "b/up").symlink_to(root)
    os.mkfifo(root / "b/pipe.jpg")
    return root


def test_all_files_in_the_order_of_their_folders(tree):
    found = {file.path: file for file in list_files(str(tree))}
    assert list(found) == [
        "6.jpg",
        "b/1.jpg",
        "b/2.jpg",
        "b/deep/3.jpg",
        "b/nothing.jpg",
        "b/to1.jpg",
        "b/to6.jpg",
        "b/up",
        "b-c/4.jpg",
        "ä/ü.jpg",
    ]
    assert {path for path, file in found.items() if file.error_code} == {"b/nothing.jpg", "b/up"}
    assert found["ä/ü.jpg"].uri == str(tree / "ä/ü.jpg")
    for path in ("6.jpg", "b/to1.jpg", "ä/ü.jpg"):
        facts = (tree / path).stat()
        assert (found[path].size_bytes, found[path].mtime_ns) == (facts.st_size, facts.st_mtime_ns)


def test_one_folder_alone_is_as_in_a_listing_of_it(tree):
    for folder in (tree / "b", tree / "ä", tree):
        alone = list(list_folder(str(folder)))
        assert alone == [file for file in list_files(str(folder)) if "/" not in file.path]
    assert list(list_folder(str(tree / "none"))) == list(list_folder(str(tree / "6.jpg"))) == []


def test_one_folder_of_a_store():
    memory = fsspec.filesystem("memory")
    memory.pipe({"/listed/a.jpg": b"1", "/listed/b/c.jpg": b"2"})
    try:
        assert [file.path for file in list_folder("memory://listed")] == ["a.jpg"]
        assert list(list_folder("memory://listed/a.jpg/none")) == []
    finally:
        memory.rm("/listed", recursive=True)


def test_a_time_that_no_table_holds_is_no_time(tree):
    os.utime(tree / "6.jpg", (1e10, 1e10))
    first = next(list_files(str(tree)))
    assert (first.path, first.mtime_ns) == ("6.jpg", None)
