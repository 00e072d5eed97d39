# SPDX-License-Identifier: Apache-2.0
"""What an older catalog says is taken over only where it is beyond doubt."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.archive import exposure_files
from pipeline.archive.catalog import CATALOG_SCHEMA
from pipeline.archive.scan import ScanOptions
from pipeline.errors import PhotoError
from tests.pipeline.archive.again import age, assert_as_fresh, scan_into, sequence, shoot
from tests.pipeline.archive.trees import picture


def put(path: Path, ev: float) -> None:
    picture(path, ev)
    age(path)


def scene(folder: Path, name: str = "input_{}.tif") -> None:
    for k in (1, 2, 3):
        put(folder / name.format(k), k - 2)


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        (("input_1", "gt"), ScanOptions()),
        (("input_1", "input_2"), ScanOptions(layout="sice")),
    ],
)
def test_a_label_beside_the_parts_of_a_scene(
    tmp_path: Path, parts: tuple[str, ...], options: ScanOptions
) -> None:
    root, catalog = tmp_path / "archive", tmp_path / "c.parquet"
    for part in parts:
        put(root / f"scene/{part}/1.JPG", -1)
        put(root / f"scene/{part}/2.JPG", 1)
    scan_into(root, catalog, options)
    put(root / "scene/Label/input_1.JPG", 0)
    summary = scan_into(root, catalog, options)
    assert_as_fresh(root, catalog, summary, options)


def test_a_folder_names_what_it_looked_at_once(tmp_path: Path) -> None:
    root, catalog = tmp_path / "archive", tmp_path / "c.parquet"
    for number in range(20):
        put(root / f"Part/Label/scene{number}.png", 0)
    summary = scan_into(root, catalog)
    assert summary.singles == 20
    named = [places for places in pq.read_table(catalog)["beside"].to_pylist() if places]
    assert [len(places) for places in named] == [20]
    sequence(root / "Part", "scene3")
    assert_as_fresh(root, catalog, scan_into(root, catalog))


def test_exposures_that_could_not_be_read_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, catalog = tmp_path / "archive", tmp_path / "c.parquet"
    scene(root / "s")
    (root / "s/exposure.txt").write_text("-2\n0\n2\n")
    age(root / "s/exposure.txt")

    def refuse(uri: str) -> object:
        raise PhotoError("file-unreadable", f"{uri} cannot be read.")

    with monkeypatch.context() as patch:
        patch.setattr(exposure_files, "open_read", refuse)
        assert not scan_into(root, catalog).by_layout.get("kalantari")
    summary = scan_into(root, catalog)
    assert summary.by_layout == {"kalantari": 1}
    assert_as_fresh(root, catalog, summary)


def test_exposures_that_do_not_fit_are_no_doubt(tmp_path: Path) -> None:
    root, catalog = tmp_path / "archive", tmp_path / "c.parquet"
    scene(root / "s")
    (root / "s/exposure.txt").write_text("-2\n0\n")
    age(root / "s/exposure.txt")
    scan_into(root, catalog)
    assert None not in pq.read_table(catalog)["listing"].to_pylist()
    (root / "s/exposure.txt").write_text("-2\n0\n2\n")
    age(root / "s/exposure.txt")
    summary = scan_into(root, catalog)
    assert summary.by_layout == {"kalantari": 1}
    assert_as_fresh(root, catalog, summary)


def test_exposures_of_the_last_seconds_beside_the_folder_may_change_unseen(tmp_path: Path) -> None:
    root, catalog = tmp_path / "archive", tmp_path / "c.parquet"
    scene(root / "Training_align/001", "input_{}_aligned.tif")
    exposures = root / "Training/001/exposure.txt"
    exposures.parent.mkdir(parents=True)
    now_ns = time.time_ns()
    for step in (2, 3):
        exposures.write_text(f"-{step}\n0\n{step}\n")
        os.utime(exposures, ns=(now_ns, now_ns))
        summary = scan_into(root, catalog)
    assert_as_fresh(root, catalog, summary)


@pytest.fixture
def scanned(tmp_path: Path) -> tuple[Path, Path]:
    """An archive with a bracket, singles and a label, and its catalog."""
    root, catalog = tmp_path / "archive", tmp_path / "c.parquet"
    shoot(root / "a")
    put(root / "a/x.JPG", 0)
    sequence(root / "Part", "7")
    put(root / "Part/Label/none.JPG", 0)
    scan_into(root, catalog)
    return root, catalog


def without(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([name])


def instead(name: str, value: object, kind: pa.DataType | None = None) -> Callable[..., pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        kept = CATALOG_SCHEMA.field(name).with_type(kind) if kind else CATALOG_SCHEMA.field(name)
        if value is None:
            kept = kept.with_nullable(True)
        column = pa.array([value] * len(table), kept.type)
        return table.set_column(table.schema.get_field_index(name), kept, column)

    return change


def with_version(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(table.schema.metadata | {b"bracketflow.catalog": b"abc"})


def other_files(table: pa.Table) -> pa.Table:
    rows = table.to_pylist()
    for row in rows:
        for frame in row["frames"]:
            frame["uri"] = "/elsewhere/1.JPG"
    return pa.Table.from_pylist(rows, schema=table.schema)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t.filter(pc.equal(t["kind"], "bracket")), id="brackets only"),
        pytest.param(lambda t: t.filter(pc.equal(t["kind"], "single")), id="singles only"),
        pytest.param(lambda t: pa.concat_tables([t, t]).sort_by("listing"), id="all rows twice"),
        pytest.param(other_files, id="other files"),
        pytest.param(with_version, id="version abc"),
        pytest.param(without("listing"), id="no listing"),
        pytest.param(instead("listing", "zz" * 32), id="listing not hex"),
        pytest.param(instead("listing", "abcd"), id="listing short"),
        pytest.param(instead("listing", 5, pa.int64()), id="listing int"),
        pytest.param(without("reason"), id="no reason"),
        pytest.param(instead("reason", None), id="reason null"),
        pytest.param(instead("frames", "x", pa.string()), id="frames text"),
        pytest.param(instead("beside", 5, pa.int64()), id="beside int"),
        pytest.param(instead("beside", [None, "../..", "\0"]), id="beside strange"),
    ],
)
def test_a_catalog_that_somebody_changed_costs_time_and_nothing_else(
    scanned: tuple[Path, Path], change: Callable[[pa.Table], pa.Table]
) -> None:
    root, catalog = scanned
    table = pq.read_table(catalog)
    changed = change(table)
    if changed.schema.metadata.get(b"bracketflow.catalog") != b"abc":
        changed = changed.replace_schema_metadata(table.schema.metadata)
    pq.write_table(changed, catalog)
    assert_as_fresh(root, catalog, scan_into(root, catalog))
