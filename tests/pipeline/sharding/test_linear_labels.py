# SPDX-License-Identifier: Apache-2.0
"""Ground truth of every kind comes out in one scale: 1 is the middle frame's white."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.bracket import Bracket, Frame, Stack
from pipeline.demo.dynamic import encode_rgbe
from pipeline.errors import PhotoError
from pipeline.images.radiance import encode_exr
from pipeline.images.reading import Limits
from pipeline.images.writing import write_photo
from pipeline.sharding.linear_labels import read_label

TIMES = (0.5, 2.0, 8.0)


@pytest.fixture
def light():
    """Light in which 1 is the middle frame's white."""
    return (np.random.default_rng(0).random((40, 60, 3)) ** 2).astype(np.float32)


def stack_of(light, times=TIMES):
    frames = tuple(
        np.round(np.clip(light * t / TIMES[1], 0, 1) ** (1 / 2.2) * 65535).astype(np.uint16)
        for t in TIMES
    )
    return Stack(frames=frames, exposure_times_s=times)


def bracket_of(path, layout="kalantari"):
    frames = tuple(Frame(uri=f"/{k}.tif", path=f"{k}.tif") for k in range(3))
    return Bracket(
        frames=frames, source="/", layout=layout, label_uri=str(path), label_kind="radiance"
    )


def test_kalantaris_labels_are_divided_by_no_time_any_more(light, tmp_path):
    path = tmp_path / "HDRImg.hdr"
    path.write_bytes(encode_rgbe(light / np.float32(TIMES[1])))
    found, notes = read_label(bracket_of(path), stack_of(light), Limits())
    assert found.dtype == np.float32
    assert np.abs(found - light).max() < 1 / 128
    assert notes == []


@pytest.mark.parametrize("unit", [1e-3, 1.0, 700.0])
def test_any_other_unit_is_told_from_the_pixels_and_said(light, tmp_path, unit):
    path = tmp_path / "0.exr"
    path.write_bytes(encode_exr(light * np.float32(unit), 32))
    found, notes = read_label(bracket_of(path, "rendered"), stack_of(light, None), Limits())
    np.testing.assert_allclose(found, light, rtol=0.01, atol=1e-5)
    assert "told from the pixels" in notes[0]


def test_ntires_labels_are_divided_and_raised(light, tmp_path):
    ratio, code = 7000.0, light ** (1 / 2.24)
    write_photo(
        np.round(code * ratio).astype(np.uint16), str(tmp_path / "gt.png"), format="png", bits=16
    )
    np.save(tmp_path / "alignratio.npy", np.float64(ratio))
    found, notes = read_label(bracket_of(tmp_path / "gt.png"), stack_of(light), Limits())
    np.testing.assert_allclose(found, light, atol=1e-3)
    assert notes == []


def test_what_is_no_light_counts_as_black(light, tmp_path):
    path = tmp_path / "0.exr"
    light[0, 0, 0], light[1, 1, 1] = np.nan, -3.0
    path.write_bytes(encode_exr(light, 32))
    found, _ = read_label(bracket_of(path, "rendered"), stack_of(np.nan_to_num(light)), Limits())
    assert found[0, 0, 0] == found[1, 1, 1] == 0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("trouble", ["no ratio", "pickled ratio", "black"])
def test_a_label_that_is_none_is_refused(light, tmp_path, trouble):
    path = tmp_path / ("0.exr" if trouble == "black" else "gt.png")
    if trouble == "black":
        path.write_bytes(encode_exr(np.zeros((40, 60, 3), np.float32), 32))
    else:
        write_photo(np.full((40, 60, 3), 900, np.uint16), str(path), format="png", bits=16)
    if trouble == "pickled ratio":
        np.save(tmp_path / "alignratio.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(PhotoError) as caught:
        read_label(bracket_of(path), stack_of(light), Limits())
    assert caught.value.code == ("radiance-unusable" if trouble == "black" else "decode-failed")
