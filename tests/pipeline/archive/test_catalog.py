# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive.catalog import (
    CATALOG_SCHEMA,
    is_bracket_list,
    read_brackets,
    read_catalog,
    write_catalog,
)
from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from tests.pipeline.archive.trees import found, picture

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
numbers = st.none() | st.floats(1e-6, 1e6)
frames = st.builds(
    Frame,
    uri=texts,
    path=texts,
    size_bytes=st.integers(0, 2**40),
    mtime_ns=st.none() | st.integers(0, 2**62),
    width=st.none() | st.integers(1, 2**20),
    exposure_time_s=numbers,
    ev=numbers,
    camera=st.none() | texts,
    twin_uri=st.none() | texts,
)
brackets = st.builds(
    Bracket,
    frames=st.lists(frames, min_size=1, max_size=4).map(tuple),
    source=texts,
    kind=st.sampled_from(["bracket", "single"]),
    reason=texts,
    confidence=st.floats(0, 1),
    notes=st.lists(texts, max_size=2).map(tuple),
    label_uri=st.none() | texts,
    label_kind=st.sampled_from([None, "display", "radiance"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(brackets, max_size=6))
def test_a_catalog_comes_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Bracket]
) -> None:
    uri = str(tmp_path_factory.mktemp("catalog") / "c.parquet")
    assert write_catalog(iter(rows), uri) == len(rows)
    assert list(read_catalog(uri)) == rows
    assert list(read_brackets(uri)) == rows


def test_many_rows_make_row_groups(tmp_path: Path) -> None:
    uri = str(tmp_path / "new/c.parquet")
    rows = (
        Bracket(frames=(Frame(uri=f"/{k}", path=str(k)),), source="/", kind="single")
        for k in range(9000)
    )
    assert write_catalog(rows, uri) == 9000
    assert pq.ParquetFile(uri).num_row_groups == 3
    assert sum(1 for _ in read_catalog(uri)) == 9000


def test_nothing_is_left_behind_by_a_failure(tmp_path: Path) -> None:
    def rows() -> object:
        yield Bracket(frames=(Frame(uri="/a", path="a"),), source="/")
        raise RuntimeError("scan died")

    with pytest.raises(RuntimeError):
        write_catalog(rows(), str(tmp_path / "c.parquet"))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "c.parquet"
    mine.write_text("precious")
    with pytest.raises(UsageError) as caught:
        write_catalog([], str(mine))
    assert caught.value.code == "destination-invalid"
    assert mine.read_text() == "precious"


def test_remote_catalogs() -> None:
    row = Bracket(frames=(Frame(uri="/a", path="a"),), source="/")
    try:
        write_catalog([row], "memory://c/catalog.parquet")
        assert list(read_brackets("memory://c/catalog.parquet")) == [row]
    finally:
        fsspec.filesystem("memory").rm("/c", recursive=True)


def test_every_column_says_what_it_is() -> None:
    for field in [*CATALOG_SCHEMA, *CATALOG_SCHEMA.field("frames").type.value_type]:
        assert field.metadata[b"description"]
    assert CATALOG_SCHEMA.field("frames").type.value_type.field("iso").nullable


def test_names_of_lists(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert is_bracket_list(str(tmp_path / "a.CSV"))
    assert is_bracket_list(str(tmp_path / "a.parquet"))
    assert not is_bracket_list(str(tmp_path / "folder.csv"))
    assert not is_bracket_list(str(tmp_path))


def listed(path: Path, text: str) -> list[Bracket]:
    path.write_text(text, encoding="utf-8")
    return list(read_brackets(str(path)))


def test_a_csv_list(tmp_path: Path) -> None:
    text = "\ufeffbracket,path,exposure_time_s\nhall,a/2.jpg,0.5\nbath,b.jpg,\nhall,a/1.jpg,0.1\n"
    hall, bath = listed(tmp_path / "list.csv", text)
    assert [f.path for f in hall.frames] == ["a/1.jpg", "a/2.jpg"], "dark to bright"
    assert hall.frames[0].uri == str(tmp_path / "a/1.jpg")
    assert hall.frames[0].exposure_time_s == 0.1
    assert (bath.kind, len(bath.frames)) == ("bracket", 1), "what is listed is not dropped"
    assert hall.layout == "list"


def test_a_listed_frame_is_known_by_size_and_time(tmp_path: Path) -> None:
    picture(tmp_path / "x/1.png", -1)
    picture(tmp_path / "x/2.png", 1)
    (scanned,) = found(tmp_path).brackets
    (bracket,) = listed(tmp_path / "list.csv", "bracket,path\nx,x/1.png\nx,x/2.png\n")
    assert bracket.id == scanned.id
    assert bracket.fingerprint == scanned.fingerprint


def test_a_parquet_list(tmp_path: Path) -> None:
    rows = [
        {"bracket_id": "0123456789abcdef", "frames": [{"uri": "a.jpg"}, {"uri": "/abs/b.jpg"}]},
        {"bracket_id": None, "frames": [{"uri": "memory://bucket/c.jpg"}]},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet")
    first, second = read_brackets(str(tmp_path / "list.parquet"))
    assert first.id == "0123456789abcdef"
    assert [f.path for f in first.frames] == ["a.jpg", "abs/b.jpg"]
    assert second.frames[0].uri == "memory://bucket/c.jpg"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "bracket and path"),
        ("a,b\n1,2\n", "bracket,path"),
        ("bracket,path\n", "lists no bracket"),
        ("bracket,path\nx,\n", "line 2"),
        ("bracket,path\nx,../y.jpg\n", "leaves the folder"),
        ("bracket,path\nx,a/../../y.jpg\n", "leaves the folder"),
        ("bracket,path,exposure_time_s\nx,y.jpg,fast\n", "no number"),
        ("bracket,path\nx,y.jpg\nz,y.jpg\n", "twice"),
    ],
)
def test_bad_csv_lists_say_what_to_do(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        listed(tmp_path / "list.csv", text)
    assert caught.value.code == "catalog-invalid"


def test_bad_parquet_lists(tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    tables = [
        pa.table({"x": [1]}),
        pa.table({"frames": pa.array([[]], pa.list_(pa.string()))}),
        pa.table({"frames": [[{"path": "a"}]]}),
        pa.table({"frames": [[1, 2]]}),
    ]
    for table in tables:
        pq.write_table(table, bad)
        with pytest.raises(UsageError) as caught:
            list(read_brackets(str(bad)))
        assert caught.value.code == "catalog-invalid"
    bad.write_bytes(b"PAR1 no more")
    with pytest.raises(UsageError) as caught:
        list(read_brackets(str(bad)))
    assert caught.value.code == "catalog-invalid"
    with pytest.raises(UsageError) as caught:
        list(read_brackets(str(tmp_path / "none.parquet")))
    assert caught.value.code == "source-missing"


@pytest.mark.parametrize("hostile", ["/tmp/victim", "../../victim", "0123456789ABCDEF", ""])
def test_an_id_that_is_no_hash_is_refused(tmp_path: Path, hostile: str) -> None:
    uri = str(tmp_path / "c.parquet")
    frame = Frame(uri="/in/1.jpg", path="1.jpg")
    write_catalog([Bracket(frames=(frame,), source="/in")], uri)
    table = pq.read_table(uri)
    at = table.schema.get_field_index("bracket_id")
    forged = table.set_column(at, table.schema.field(at), pa.array([hostile]))
    pq.write_table(forged, uri)
    with pytest.raises(UsageError) as caught:
        list(read_brackets(uri))
    assert caught.value.code == "catalog-invalid"
