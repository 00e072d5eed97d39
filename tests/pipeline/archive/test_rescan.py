# SPDX-License-Identifier: Apache-2.0
"""A scan beside an older catalog: quick where nothing changed, and the same rows as a fresh one."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.archive import looking
from pipeline.archive.catalog import read_catalog, write_catalog
from pipeline.archive.find import write_found
from pipeline.archive.scan import ScanOptions
from pipeline.errors import UsageError
from tests.pipeline.archive.again import (
    LONG_AGO,
    age,
    assert_as_fresh,
    scan_into,
    sequence,
    shoot,
)
from tests.pipeline.archive.trees import camera_tags, picture


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photographs that were opened, in the order in which they were."""
    seen: list[str] = []

    def watch(name: str) -> None:
        real = getattr(looking, name)

        def reader(uri: str) -> object:
            seen.append(uri)
            return real(uri)

        monkeypatch.setattr(looking, name, reader)

    watch("read_header")
    watch("thumbnail")
    return seen


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    shoot(root / "a/day1")
    shoot(root / "a/day2", first=4)
    shoot(root / "DCIM/100CANON", first=9998, count=2)
    shoot(root / "DCIM/101CANON", first=1)
    for name in ("7", "8"):
        sequence(root / "Dataset_Part1", name)
    (root / "a/day1/notes.txt").write_text("sunny")
    age(root / "a/day1/notes.txt")
    return root


def test_nothing_is_opened_again(tree: Path, tmp_path: Path, opened: list[str]) -> None:
    catalog = tmp_path / "c.parquet"
    first = scan_into(tree, catalog)
    assert opened
    before = catalog.read_bytes()
    opened.clear()
    seen: list[int] = []
    assert scan_into(tree, catalog, progress=seen.append) == first
    assert opened == []
    assert catalog.read_bytes() == before
    assert sum(seen) == 18
    scan_into(tree, catalog, rescan=True)
    assert opened
    assert catalog.read_bytes() == before


def test_only_the_folder_that_changed_is_opened(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    catalog = tmp_path / "c.parquet"
    scan_into(tree, catalog)
    opened.clear()
    age(tree / "a/day2/IMG_0004.JPG", LONG_AGO + 1)
    summary = scan_into(tree, catalog)
    assert {os.path.dirname(uri) for uri in opened} == {str(tree / "a/day2")}
    assert_as_fresh(tree, catalog, summary)


def test_a_label_beside_the_folder_counts_too(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    catalog = tmp_path / "c.parquet"
    scan_into(tree, catalog)
    opened.clear()
    (tree / "Dataset_Part1/Label/7.JPG").rename(tree / "Dataset_Part1/Label/9.JPG")
    summary = scan_into(tree, catalog)
    assert {os.path.relpath(uri, tree).split("/")[0] for uri in opened} == {"Dataset_Part1"}
    assert_as_fresh(tree, catalog, summary)
    labels = {b.label_uri is None for b in read_catalog(str(catalog)) if b.layout == "sice"}
    assert labels == {True, False}


@pytest.mark.parametrize("seconds", [None, 4e9, 1e10])
def test_files_of_the_last_seconds_may_change_unseen(
    tree: Path, tmp_path: Path, opened: list[str], seconds: float | None
) -> None:
    young = tree / "a/day1/IMG_0001.JPG"
    os.utime(young, None if seconds is None else (seconds, seconds))
    catalog = tmp_path / "c.parquet"
    scan_into(tree, catalog)
    opened.clear()
    scan_into(tree, catalog)
    assert {os.path.dirname(uri) for uri in opened} == {str(young.parent)}


def test_what_cannot_be_read_is_tried_again(tree: Path, tmp_path: Path) -> None:
    broken = tree / "a/day2/IMG_0004.JPG"
    good = broken.read_bytes()
    broken.write_bytes(b"?" * len(good))
    age(broken)
    catalog = tmp_path / "c.parquet"
    assert scan_into(tree, catalog).unreadable == 1
    broken.write_bytes(good)
    age(broken)
    summary = scan_into(tree, catalog)
    assert summary.unreadable == 0
    assert_as_fresh(tree, catalog, summary)


def test_other_options_find_other_brackets(tree: Path, tmp_path: Path, opened: list[str]) -> None:
    catalog = tmp_path / "c.parquet"
    scan_into(tree, catalog)
    for options, check in ((ScanOptions(layout="folder"), False), (ScanOptions(), True)):
        opened.clear()
        write_found(str(tree), str(catalog), options, check=check)
        assert opened
    opened.clear()
    write_found(str(tree), str(catalog), ScanOptions(threads=2, settle_s=1), check=True)
    assert opened == []


def test_a_catalog_that_no_scan_wrote_is_not_believed(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    catalog = tmp_path / "c.parquet"
    scan_into(tree, catalog)
    write_catalog(list(read_catalog(str(catalog))), str(catalog))
    opened.clear()
    scan_into(tree, catalog)
    assert opened


def test_the_catalogs_of_earlier_runs_serve_as_well(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    folder = tmp_path / "out/catalog"
    scan_into(tree, folder / "run=20260101T000000Z-000000.parquet")
    (folder / "run=20260102T000000Z-000000.parquet").write_bytes(b"PAR1 damaged")
    opened.clear()
    last = folder / "run=20260103T000000Z-000000.parquet"
    assert_as_fresh(tree, last, scan_into(tree, last))
    assert len(list(folder.iterdir())) == 4
    opened.clear()
    scan_into(tree, folder / "run=20260104T000000Z-000000.parquet")
    assert opened == []


def test_an_older_catalog_stays_where_a_scan_fails(tree: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "c.parquet"
    scan_into(tree, catalog)
    before = catalog.read_bytes()
    empty = tmp_path / "empty"
    empty.mkdir()
    for target in (catalog, tmp_path / "new.parquet"):
        with pytest.raises(UsageError) as caught:
            scan_into(empty, target)
        assert caught.value.code == "archive-empty"
    assert catalog.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "c.parquet", "empty"}


def test_catalogs_of_the_first_version_can_be_read(tree: Path, tmp_path: Path) -> None:
    new, old = tmp_path / "new.parquet", tmp_path / "old.parquet"
    scan_into(tree, new)
    table = pq.read_table(new).drop_columns(["listing", "beside"])
    pq.write_table(table.replace_schema_metadata({b"bracketflow.catalog": b"1"}), old)
    assert list(read_catalog(str(old))) == list(read_catalog(str(new)))
    assert scan_into(tree, old)
    assert old.read_bytes() == new.read_bytes()


folders = st.sampled_from(
    ["a", "a/b", "100CANON", "101CANON", "P/1", "P/2", "P/Label", "Q_align/1"]
)
names = st.sampled_from(
    [
        "1.JPG",
        "2.JPG",
        "IMG_0001.JPG",
        "IMG_0002.JPG",
        "x.png",
        "exposure.txt",
        "x_A.jpg",
        "x_B.jpg",
    ]
)
changes = st.tuples(
    st.sampled_from(["write", "write", "write", "remove", "touch", "damage", "move"]),
    folders,
    names,
    st.integers(0, 3),
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(changes, min_size=3, max_size=12),
    st.lists(st.lists(changes, max_size=3), min_size=1, max_size=3),
)
def test_whatever_changes_the_rows_are_those_of_a_fresh_scan(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[str, str, str, int]],
    later: list[list[tuple[str, str, str, int]]],
) -> None:
    base = tmp_path_factory.mktemp("again")
    root, catalog = base / "archive", base / "c.parquet"
    picture(root / "always.png", 0)
    age(root / "always.png")
    moment = LONG_AGO
    for step in (first, *later):
        for what, folder, name, number in step:
            moment += 1
            change(root, what, folder, name, number, moment)
        assert_as_fresh(root, catalog, scan_into(root, catalog))


def change(root: Path, what: str, folder: str, name: str, number: int, moment: int) -> None:
    """One change to a tree, at some moment long ago."""
    path = root / folder / name
    if what == "write" or not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".txt"):
            path.write_text(f"-{number}\n0\n")
        else:
            tags = camera_tags(1 / 60 * 2.0**number, number * 0.3, bias_ev=number)
            picture(path, number, exif=tags if number and not name.endswith("png") else None)
    elif what == "remove":
        path.unlink()
        return
    elif what == "damage":
        path.write_bytes(b"\xff\xd8\xff broken")
    elif what == "move":
        target = path.with_name(f"m_{name}")
        path.rename(target)
        path = target
    age(path, moment)


def test_a_damaged_older_catalog_costs_time_and_nothing_else(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = tmp_path / "catalog.parquet"
    scan_into(tree, catalog)
    data = bytearray(catalog.read_bytes())
    paths = pq.read_metadata(catalog).row_group(0).column(0)  # ids: a find reads whole rows
    start = paths.dictionary_page_offset or paths.data_page_offset
    data[start : start + paths.total_compressed_size] = bytes(paths.total_compressed_size)
    catalog.write_bytes(bytes(data))
    summary = scan_into(tree, catalog)
    assert "looked into again" in caplog.text
    assert_as_fresh(tree, catalog, summary)
