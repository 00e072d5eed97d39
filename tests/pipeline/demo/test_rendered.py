# SPDX-License-Identifier: Apache-2.0
"""A folder of linear pictures becomes an archive that a scan understands."""

from __future__ import annotations

import hashlib
import os

import cv2
import numpy as np
import pytest

from pipeline.archive.catalog import read_brackets
from pipeline.archive.scan import ScanOptions, scan
from pipeline.archive.scenes import scenes_of
from pipeline.demo.from_radiance import RenderSettings
from pipeline.demo.rendered import render_pictures
from pipeline.errors import CODES, UsageError
from pipeline.images.radiance import encode_exr
from pipeline.images.reading import read_photo, read_radiance
from tests.pipeline.demo.test_from_radiance import light

SETTINGS = RenderSettings(brackets_per_picture=3, megapixels=0.01)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two good pictures that share a stem, a panorama below, and three bad ones."""
    folder = tmp_path_factory.mktemp("hdr")
    (folder / "Label" / "deep").mkdir(parents=True)
    (folder / "room.exr").write_bytes(encode_exr(light(64, 96), 32))
    _, data = cv2.imencode(".hdr", light(96, 64, seed=1))
    (folder / "room.hdr").write_bytes(data.tobytes())
    (folder / "Label" / "deep" / "1.EXR").write_bytes(encode_exr(light(128, 256, seed=2), 16))
    (folder / "bad.exr").write_bytes(encode_exr(light(64, 96), 32)[:300])
    (folder / "black.exr").write_bytes(encode_exr(np.zeros((64, 64, 3), np.float32), 32))
    (folder / "gone.hdr").symlink_to(folder / "nowhere")
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture(scope="module")
def made(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "rendered"
    calls: list[tuple[int, int]] = []
    rendered = render_pictures(
        str(pictures), str(out), SETTINGS, progress=lambda done, of: calls.append((done, of))
    )
    assert calls == [(k + 1, 6) for k in range(6)]
    return out, rendered


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_one_bad_file_costs_one_message(made):
    _, rendered = made
    assert [failure.path for failure in rendered.failures] == ["bad.exr", "black.exr", "gone.hdr"]
    assert all(failure.code in CODES for failure in rendered.failures)
    assert all(failure.path in failure.message for failure in rendered.failures)
    assert (rendered.pictures, rendered.kept, rendered.brackets) == (6, 0, 9)


def test_a_scan_finds_exactly_the_brackets_written(made):
    out, rendered = made
    found = scan(str(out / "archive"), options=ScanOptions()).brackets
    assert {bracket.kind for bracket in found} == {"bracket"}
    assert len(found) == rendered.brackets
    assert sum(len(bracket.frames) for bracket in found) == rendered.frames
    files = [path for path in (out / "archive").rglob("*") if path.is_file()]
    assert len(files) == rendered.frames
    listed = list(read_brackets(rendered.catalog))
    assert {b.id for b in listed} == {b.id for b in found}
    assert {b.layout for b in listed} == {"rendered"}


def test_the_catalog_names_the_radiance_of_each_bracket(made):
    _, rendered = made
    for bracket in read_brackets(rendered.catalog):
        assert bracket.label_kind == "radiance"
        assert bracket.label_uri is not None
        truth = read_radiance(bracket.label_uri)
        frames = [read_photo(frame.uri).pixels for frame in bracket.frames]
        assert {frame.shape for frame in frames} == {truth.shape}
        # What is brighter in the truth is brighter in the frames, wherever they are not clipped.
        grey = np.mean(frames, axis=(0, 3)).ravel()
        order = np.argsort(truth.mean(2).ravel())
        quarter = len(order) // 4
        assert grey[order[:quarter]].mean() < grey[order[-quarter:]].mean() - 20


def test_views_of_one_picture_are_one_scene(made):
    _, rendered = made
    scenes = scenes_of(read_brackets(rendered.catalog))
    assert len(scenes) == 9
    assert set(scenes.values()) == {"room_exr", "room_hdr", "Label/deep/1_exr"}


def test_the_same_request_makes_the_same_bytes(made, pictures, tmp_path):
    out, _ = made
    render_pictures(str(pictures), str(tmp_path / "again"), SETTINGS)
    ours = contents(tmp_path / "again")
    theirs = contents(out)
    del ours["catalog.parquet"], theirs["catalog.parquet"]  # knows where it is
    assert ours == theirs


def test_the_same_request_goes_on_where_it_was(made, pictures):
    out, rendered = made
    before = contents(out)
    mended = out / "archive" / "room_exr" / "IMG_0001.JPG"
    (out / "truth" / "room_exr.json").unlink()  # as if it had been killed there
    mended.unlink()
    again = render_pictures(str(pictures), str(out), SETTINGS)
    assert (again.kept, again.brackets, again.frames) == (2, 9, rendered.frames)
    after = contents(out)
    del after["catalog.parquet"], before["catalog.parquet"]  # knows the files' times
    assert after == before


def test_a_changed_picture_is_rendered_again(pictures, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    file = source / "a.exr"
    file.write_bytes((pictures / "room.exr").read_bytes())
    render_pictures(str(source), str(tmp_path / "out"), SETTINGS)
    file.write_bytes(encode_exr(light(64, 96, seed=9), 32))
    os.utime(file, (1, 1))
    again = render_pictures(str(source), str(tmp_path / "out"), SETTINGS)
    assert (again.kept, again.brackets) == (0, 3)


def test_nothing_of_somebody_else_is_touched(made, pictures, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out, settings in ((tmp_path, SETTINGS), (made[0], RenderSettings(seed=1))):
        before = contents(out)
        with pytest.raises(UsageError) as caught:
            render_pictures(str(pictures), str(out), settings)
        assert caught.value.code == "destination-invalid"
        assert contents(out) == before


def test_wrong_sources_are_told(pictures, tmp_path):
    (tmp_path / "none").mkdir()
    for source, out, code in (
        (tmp_path / "none", tmp_path / "out", "archive-empty"),
        (tmp_path / "nowhere", tmp_path / "out", "source-missing"),
        (pictures, pictures / "out", "destination-invalid"),
    ):
        with pytest.raises(UsageError) as caught:
            render_pictures(str(source), str(out), SETTINGS)
        assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_remote_folders_will_do(pictures, tmp_path):
    from pipeline import storage

    data = (pictures / "room.exr").read_bytes()
    storage.write_atomic("memory://bracketflow-hdr/a.exr", data)
    out = str(tmp_path / "out")
    rendered = render_pictures("memory://bracketflow-hdr", out, SETTINGS)
    storage.delete("memory://bracketflow-hdr/a.exr")
    assert (rendered.brackets, rendered.failures) == (3, ())
