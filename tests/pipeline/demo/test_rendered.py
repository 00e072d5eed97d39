# SPDX-License-Identifier: Apache-2.0
"""A folder of linear pictures becomes an archive that a scan understands."""

from __future__ import annotations

import hashlib
import os
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.archive.catalog import read_brackets
from pipeline.archive.scan import ScanOptions, scan
from pipeline.archive.scenes import scenes_of
from pipeline.demo import rendered as rendered_module
from pipeline.demo.from_radiance import RenderSettings
from pipeline.demo.rendered import render_pictures
from pipeline.errors import CODES, UsageError
from pipeline.images.radiance import encode_exr
from pipeline.images.reading import read_photo, read_radiance
from tests.pipeline.demo.test_from_radiance import light

SETTINGS = RenderSettings(brackets_per_picture=3, megapixels=0.01)
CHANGING = replace(SETTINGS, seed=3)  # of a.exr as a panorama, fewer frames are taken


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
    assert set(scenes.values()) == {"room_exr", "room_hdr", "Label/deep/1_EXR"}


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


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.exr", "a.EXR", "b.exr")):
        (folder / name).write_bytes(encode_exr(light(64, 96, seed=number), 32))
    return folder


def catalogued(rendered):
    """Paths of the frames in the catalog."""
    brackets = read_brackets(rendered.catalog)
    return {frame.path for bracket in brackets for frame in bracket.frames}


def test_names_that_differ_in_case_get_along(source, tmp_path):
    rendered = render_pictures(str(source), str(tmp_path / "out"), SETTINGS)
    assert rendered.brackets == 9
    assert len(catalogued(rendered)) == rendered.frames
    truths = {bracket.label_uri for bracket in read_brackets(rendered.catalog)}
    assert len({hashlib.sha256(read_radiance(uri).tobytes()).digest() for uri in truths}) == 9


def test_what_was_made_of_a_changed_picture_gives_way(source, tmp_path):
    out = tmp_path / "out"
    one = render_pictures(str(source), str(out), CHANGING)
    before = contents(out)
    mine = out / "archive" / "a_exr" / "mine.txt"
    mine.write_text("mine")
    file = source / "a.exr"
    file.write_bytes(encode_exr(light(128, 256, seed=9), 32))
    os.utime(file, (1, 1))
    again = render_pictures(str(source), str(out), CHANGING)
    assert (again.kept, again.brackets) == (2, 9)
    assert again.frames < one.frames  # else nothing could be left over
    frames = {str(p.relative_to(out / "archive")) for p in out.glob("archive/**/*.JPG")}
    assert frames == catalogued(again)
    assert len(frames) == again.frames
    assert mine.read_text() == "mine"
    after = contents(out)
    others = [path for path in before if "a_exr" not in path and path != "catalog.parquet"]
    assert {path: after[path] for path in others} == {path: before[path] for path in others}


def test_a_picture_that_turns_bad_leaves_nothing(source, tmp_path):
    out = tmp_path / "out"
    render_pictures(str(source), str(out), SETTINGS)
    (source / "a.exr").write_bytes(b"no picture")
    again = render_pictures(str(source), str(out), SETTINGS)
    assert (again.kept, again.brackets, len(again.failures)) == (2, 6, 1)
    assert not [path for path in out.rglob("*") if path.is_file() and "a_exr" in str(path)]
    assert {path.split("/")[0] for path in catalogued(again)} == {"a_EXR", "b_exr"}


def test_what_was_made_of_a_picture_that_is_gone_is_in_the_catalog_no_more(source, tmp_path):
    out = tmp_path / "out"
    render_pictures(str(source), str(out), SETTINGS)
    (source / "a.exr").unlink()
    (source / "a.EXR").unlink()
    again = render_pictures(str(source), str(out), SETTINGS)
    assert {path.split("/")[0] for path in catalogued(again)} == {"b_exr"}
    assert len(catalogued(again)) == again.frames
    (source / "b.exr").write_bytes(b"no picture")
    assert catalogued(render_pictures(str(source), str(out), SETTINGS)) == set()


def test_a_rendering_that_was_broken_off_leaves_nothing_behind(source, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed_late(*arguments):
        bracket = write(*arguments)
        if arguments[1] == "a_exr" and arguments[2].index == 2:
            raise Killed
        return bracket

    out = tmp_path / "out"
    write = rendered_module._write_bracket
    monkeypatch.setattr(rendered_module, "_write_bracket", killed_late)
    with pytest.raises(Killed):
        render_pictures(str(source), str(out), CHANGING)
    monkeypatch.undo()
    # Until the next time, another picture has taken its place.
    (source / "a.exr").write_bytes(encode_exr(light(128, 256, seed=9), 32))
    again = render_pictures(str(source), str(out), CHANGING)
    frames = {str(p.relative_to(out / "archive")) for p in out.glob("archive/**/*.JPG")}
    assert frames == catalogued(again)
    assert len(frames) == again.frames


def test_views_are_made_one_at_a_time(source, tmp_path, monkeypatch):
    alive: list[weakref.ref] = []

    def watched(*arguments):
        for viewed in views(*arguments):
            alive.append(weakref.ref(viewed.radiance))
            yield viewed
            del viewed

    def write(*arguments):
        held.append(sum(reference() is not None for reference in alive))
        return written(*arguments)

    held: list[int] = []
    views, written = rendered_module.views, rendered_module._write_bracket
    monkeypatch.setattr(rendered_module, "views", watched)
    monkeypatch.setattr(rendered_module, "_write_bracket", write)
    many = RenderSettings(brackets_per_picture=6, megapixels=0.01)
    render_pictures(str(source), str(tmp_path / "out"), many)
    assert len(held) == 18
    assert max(held) <= 2  # the one at hand, and one that a loop has not let go yet


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
