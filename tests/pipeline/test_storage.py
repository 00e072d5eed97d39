# SPDX-License-Identifier: Apache-2.0
"""Files behind URIs: odd names, links, pipes, atomic writes."""

from __future__ import annotations

import errno
import inspect
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import retrying, storage, stores
from pipeline.errors import InfrastructureError, PhotoError, UsageError
from pipeline.listing import list_files


def read(uri):
    with storage.open_read(uri) as handle:
        return handle.read()


def code_of(uri):
    with pytest.raises(PhotoError) as caught:
        read(uri)
    return caught.value.code


@pytest.mark.parametrize(
    "name", [b"plain.jpg", b"caf\xe9.jpg", b"a%41 #?.jpg", b"quote'\".jpg", b"line\nbreak.jpg"]
)
def test_any_name_survives_the_way_through_a_uri(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    uri = storage.to_uri(os.fsdecode(path))
    uri.encode("utf-8")
    storage.write_atomic(uri, b"pixels")
    assert os.path.exists(path)
    assert read(uri) == b"pixels"
    (listed,) = list_files(str(tmp_path))
    assert listed.uri == uri
    listed.path.encode("utf-8")


def test_join_keeps_the_form_of_the_uri(tmp_path):
    assert storage.join("s3://bucket/a", "b", "c.png") == "s3://bucket/a/b/c.png"
    assert storage.join("/a", "b/c.png") == "/a/b/c.png"
    strange = storage.to_uri(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert strange.startswith("file://")
    assert storage.local_path(storage.join(strange, "a b.png")).name == "a b.png"
    assert storage.local_path(storage.join(strange, "a b.png")).parent == storage.local_path(
        strange
    )


def test_what_cannot_be_opened_says_why(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "circle").symlink_to("circle")
    assert code_of(str(tmp_path / "nothing")) == "file-missing"
    assert code_of(str(tmp_path / "file" / "below")) == "file-missing"
    assert code_of(str(tmp_path / ("x" * 300))) == "file-missing"
    assert code_of(str(tmp_path / "nul\0byte")) == "file-missing"
    assert code_of(str(tmp_path / "dangling")) == "file-link"
    assert code_of(str(tmp_path / "circle")) == "file-link"
    assert code_of(str(tmp_path / "pipe")) == "format-unsupported"
    assert code_of(str(tmp_path)) == "format-unsupported"
    assert code_of("/dev/zero") == "format-unsupported"


def test_permissions(tmp_path, monkeypatch):
    """The suite may run as root, whom no mode stops; so the system's answer is put in."""

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", forbidden)
    assert code_of(str(tmp_path / "secret.jpg")) == "file-unreadable"


def test_no_descriptor_is_left_open(tmp_path):
    for _ in range(3):
        code_of(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        code_of(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_unknown_scheme_is_wrong_use():
    with pytest.raises(UsageError) as caught:
        read("nowhere://bucket/a.jpg")
    assert caught.value.code == "option-invalid"


def test_writing_creates_folders_and_replaces_whole(tmp_path):
    uri = str(tmp_path / "a" / "b" / "out.png")
    storage.write_atomic(uri, b"first, longer")
    storage.write_atomic(uri, memoryview(b"second"))
    assert read(uri) == b"second"
    assert [path.name for path in Path(uri).parent.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("number", "code"), [(28, "disk-full"), (122, "disk-full"), (5, "storage-failed")]
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, number, code):
    target = tmp_path / "out.png"
    target.write_bytes(b"old")

    def fail(*_):
        raise OSError(number, "no")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InfrastructureError) as caught:
        storage.write_atomic(str(target), b"new")
    assert caught.value.code == code
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.png"]


def test_a_folder_in_the_way_is_reported(tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(PhotoError) as caught:
        storage.write_atomic(str(tmp_path / "out.png"), b"x")
    assert caught.value.code == "result-unwritable"
    with pytest.raises(PhotoError):
        storage.write_atomic(str(tmp_path / ("x" * 300) / "out.png"), b"x")
    assert os.listdir(tmp_path) == ["out.png"]


@pytest.fixture
def bucket():
    fs = fsspec.filesystem("memory")
    yield "memory://bucket"
    if fs.exists("/bucket"):
        fs.rm("/bucket", recursive=True)


def test_remote_storage(bucket):
    storage.write_atomic(f"{bucket}/a/one.png", b"1")
    storage.write_atomic(f"{bucket}/b/two.png", memoryview(b"22"))
    storage.write_atomic(f"{bucket}/b/.hidden.png", b"3")
    listed = list(list_files(bucket, skip=f"{bucket}/a"))
    assert [(info.path, info.size_bytes) for info in listed] == [("b/two.png", 2)]
    assert read(listed[0].uri) == b"22"
    assert code_of(f"{bucket}/a/none.png") == "file-missing"
    assert storage.is_file(f"{bucket}/a/one.png")
    assert not storage.is_file(f"{bucket}/a")


def test_a_failed_remote_write_publishes_nothing(bucket, monkeypatch):
    fs = fsspec.filesystem("memory")

    def fail(*_, **__):
        raise OSError(5, "connection lost")

    monkeypatch.setattr(retrying, "DELAYS_S", (0.001, 0.001))
    monkeypatch.setattr(type(fs), "pipe_file", fail)
    with pytest.raises(InfrastructureError):
        storage.write_atomic(f"{bucket}/out.png", b"x" * 1000)
    assert not fs.exists("/bucket/out.png")


def test_a_file_system_with_folders_gets_files_whole(tmp_path, monkeypatch):
    """Not an object store: sftp, say. A file grows there while it is written, so not in place."""
    monkeypatch.setitem(
        fsspec.config.conf, "dir", {"path": str(tmp_path), "target_protocol": "file"}
    )
    monkeypatch.setattr(retrying, "DELAYS_S", ())
    uri = "dir://a/b/out.png"
    storage.write_atomic(uri, b"old")
    with pytest.raises(TypeError), storage.open_atomic(uri) as handle:
        handle.writelines([b"half", None])
    assert read(uri) == b"old"
    storage.write_atomic(uri, b"new")
    assert (tmp_path / "a" / "b" / "out.png").read_bytes() == b"new"
    assert os.listdir(tmp_path / "a" / "b") == ["out.png"]


@pytest.mark.parametrize("place", ["local", "memory"])
def test_what_lies_in_a_folder(tmp_path, bucket, place):
    root = str(tmp_path) if place == "local" else bucket
    assert list(storage.files_below(f"{root}/none")) == storage.names_in(f"{root}/none") == []
    for name in ("b/2", "a/x/1", "c"):
        storage.write_atomic(f"{root}/day/{name}", b"x")
    assert storage.names_in(f"{root}/day") == ["a", "b", "c"]
    assert list(storage.files_below(f"{root}/day")) == ["a/x/1", "b/2", "c"]
    assert storage.is_folder(f"{root}/day/a")
    assert not storage.is_folder(f"{root}/day/c")
    assert storage.info(f"{root}/day/c")["size"] == 1
    assert storage.info(f"{root}/day/d") is None


@pytest.mark.parametrize("place", ["local", "memory", "unconditional"])
def test_of_many_that_create_the_same_file_one_succeeds(tmp_path, bucket, monkeypatch, place):
    uri = str(tmp_path / "new" / "one") if place == "local" else f"{bucket}/one"
    if place == "unconditional":
        whole = MemoryFileSystem.pipe_file

        def overwrite_only(self, path, value, mode="overwrite", **options):
            if mode == "create":
                raise NotImplementedError
            whole(self, path, value, **options)

        monkeypatch.setattr(MemoryFileSystem, "pipe_file", overwrite_only)
        monkeypatch.setattr(stores, "SETTLE_S", (0.1, 0.2))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: storage.create_exclusive(uri, b"%d" % n), range(8)))
    assert sum(made) == 1
    assert storage.read_bytes(uri) == b"%d" % made.index(True)
    assert not storage.create_exclusive(uri, b"later")
    if place == "local":
        assert os.listdir(tmp_path / "new") == ["one"]


def test_a_folder_without_hard_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    assert storage.create_exclusive(str(tmp_path / "one"), b"1")
    assert not storage.create_exclusive(str(tmp_path / "one"), b"2")
    assert (tmp_path / "one").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["one"]


def entries(root, **options):
    return {info.path: info.error_code for info in list_files(str(root), **options)}


def test_listing_follows_good_links_and_names_bad_ones(tmp_path):
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    for folder in (archive / "day1", archive / ".store", outside):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"x")
    (archive / "day1" / "link.jpg").symlink_to("../.store/a.jpg")
    (archive / "day1" / "circle").symlink_to("..")
    (archive / "day1" / "dangling.jpg").symlink_to("nothing.jpg")
    (archive / "day1" / "self.jpg").symlink_to("self.jpg")
    (archive / "out").symlink_to(outside)
    assert entries(archive) == {
        "day1/a.jpg": None,
        "day1/circle": "file-link",
        "day1/dangling.jpg": "file-link",
        "day1/link.jpg": None,
        "day1/self.jpg": "file-link",
        "out": "file-link",
    }


def test_listing_is_sorted_and_leaves_out_the_destination(tmp_path):
    for name in ("b/2.jpg", "a/1.jpg", "results/r.jpg", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(entries(tmp_path, skip=str(tmp_path / "results"))) == [
        "a/1.jpg",
        "b/2.jpg",
        "c.jpg",
    ]


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(UsageError) as caught:
        list(list_files(str(tmp_path / "nowhere")))
    assert caught.value.code == "source-missing"


def test_the_same_folder_through_many_links_is_listed_boundedly(tmp_path):
    """Each level links twice to the next: 2^20 paths, if every one were walked."""
    for level in range(20):
        folder = tmp_path / f"level{level:02}"
        folder.mkdir()
        for name in ("x", "y"):
            (folder / name).symlink_to(f"../level{level + 1:02}")
    (tmp_path / "level20").mkdir()
    (tmp_path / "level20" / "a.jpg").write_bytes(b"x")
    found = []
    for info in list_files(str(tmp_path)):
        found.append(info)
        assert len(found) < 5000
    assert sum(info.error_code is None for info in found) >= 1


def test_folders_deeper_than_python_recurses(tmp_path):
    depth = 150
    deep = tmp_path.joinpath(*["d"] * depth)
    deep.mkdir(parents=True)
    (deep / "a.jpg").write_bytes(b"x")
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 100)
        (info,) = list_files(str(tmp_path))
    finally:
        sys.setrecursionlimit(limit)
    assert info.path.count("/") == depth
