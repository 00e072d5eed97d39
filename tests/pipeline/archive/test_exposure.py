# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.exposure import exposure_contradiction
from pipeline.archive.exposure_files import parse_exposures, read_exposures
from pipeline.listing import FileInfo


@given(
    st.lists(st.floats(-8, 8), min_size=2, max_size=9, unique=True),
    st.sampled_from([1.0, 255.0, 65535.0]),
)
def test_brightness_that_follows_exposure_is_no_contradiction(
    evs: list[float], peak: float
) -> None:
    means = [peak * 2.0**ev / 512 for ev in evs]
    if max(evs) - min(evs) > 0.4:
        assert exposure_contradiction(evs, means) is None
        flipped = exposure_contradiction(evs, [peak / m for m in means])
        assert flipped is not None
        assert "contradict" in flipped


@pytest.mark.parametrize("means", [(0.1, 0.2, 0.4), (0.4, 0.2, 0.1)])
def test_stale_exif_is_found(means: tuple[float, ...]) -> None:
    assert "all the same" in (exposure_contradiction((0.0, 0.0, 0.0), means) or "")


def test_small_differences_and_clipping_pass() -> None:
    assert exposure_contradiction((0.0, 0.2), (0.5, 0.4)) is None
    assert exposure_contradiction((0.0, 0.0), (0.50, 0.52)) is None
    assert exposure_contradiction((0.0, 2.0), (0.999, 0.998)) is None
    assert exposure_contradiction((0.0,), (0.5,)) is None


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("-2\n0\n2", (0.25, 1, 4)),
        ("0 2 4", (1, 4, 16)),
        ("0,1,2\n", (1, 2, 4)),
        ("0.001\n0.004\n0.016\n", (0.001, 0.004, 0.016)),
        ("1/1000 1/250 1/60", (0.001, 0.004, 1 / 60)),
        ("1000,250,60\n-2,0,2", (0.001, 0.004, 1 / 60)),
        ("# name 1/t\nb.tif 4 8 0\na.tif 8 8 0\nc.tif 2 8\nz.tif 1 8", (0.125, 0.25, 0.5)),
        ("# Filename exposure 1/t\nb.tif 4 .25\na.tif 1 1\nc.tif 16 .06", (1, 4, 16)),
    ],
)
def test_exposure_files(text: str, times: tuple[float, ...]) -> None:
    found = parse_exposures(text, ["a.tif", "b.tif", "c.tif"])
    assert found is not None
    assert found.times_s == pytest.approx(times)


@pytest.mark.parametrize(
    "text",
    ["", "1 2", "1 2 3 4", "a b c", "nan 0 1", "0 0 1e9", "-1000,250,60\n-2,0,2", "1e308 1e-300 1"],
)
def test_exposure_files_that_do_not_fit(text: str) -> None:
    assert parse_exposures(text, ["a.tif", "b.tif", "c.tif"]) is None


@given(st.text(max_size=60), st.lists(st.sampled_from(["a.tif", "b.png"]), max_size=3))
def test_any_text_is_survived(text: str, names: list[str]) -> None:
    found = parse_exposures(text, names)
    assert found is None or len(found.evs) == len(found.times_s) == len(names)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\3\4xxxx",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (35184372088832,), }".ljust(117)
        + b"\n",
        b"\x80\x04K\x01.",
    ],
    ids=["an archive", "no header", "an array of 2^45 numbers", "a pickle"],
)
def test_a_damaged_array_of_exposures_gives_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "exposures.npy"
    path.write_bytes(data)
    file = FileInfo(uri=str(path), path=path.name, size_bytes=len(data), mtime_ns=0)
    assert read_exposures(file, ["a.tif", "b.tif", "c.tif"]) is None
