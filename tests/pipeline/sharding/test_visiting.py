# SPDX-License-Identifier: Apache-2.0
"""One visit: a bracket becomes a file of patches, or a row that says why not. No Ray."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import InfrastructureError
from pipeline.images.writing import write_photo
from pipeline.patches import PatchRef, patches_path, read_patch
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.visiting import TOO_SMALL, ShardJob, ShardRecipe
from tests.pipeline.conftest import textured

SETTINGS = ShardSettings(patch_px=32, min_contrast=0.0)


@pytest.fixture
def cut(tmp_path):
    """Cut one bracket into ``tmp_path/shards`` and return its row and its patches."""

    def visit(bracket, settings=SETTINGS):
        destination = str(tmp_path / "shards")
        path = patches_path("train", bracket.id)
        job = ShardJob(
            bracket=bracket,
            scene="scene",
            split="train",
            key="k",
            result_uri=f"{destination}/{path}",
            result_path=path,
        )
        recipe = ShardRecipe(settings=settings, destination=destination, run_id="r")
        intended = []
        visitor = recipe.build(device="cpu", worker="w", intend=lambda *what: intended.append(what))
        row = visitor.visit(job)
        if row["status"] != "fused":
            assert not (tmp_path / "shards").exists()
            return row, []
        assert intended == [(path, row["result_sha256"])]
        count = int(row["notes"][-1].split()[0])
        refs = [PatchRef(job.result_uri, k, f"{bracket.id}/{k:05d}", 0) for k in range(count)]
        return row, [read_patch(ref) for ref in refs]

    return visit


@pytest.mark.parametrize("bits", [8, 16])
def test_a_bracket_becomes_patches(cut, make_bracket, bits):
    frames = [textured(light, bits=bits) for light in (0.4, 1.0, 2.5)]
    row, patches = cut(make_bracket(*frames, suffix="tif" if bits == 16 else "png"))
    assert row["status"] == "fused"
    assert (row["key"], row["settings_sha256"]) == ("k", SETTINGS.sha256)
    assert (row["width"], row["height"], row["source_bits"]) == (120, 96, bits)
    assert len(patches) == 9
    for patch in patches:
        rows, cols = slice(patch.top, patch.top + 32), slice(patch.left, patch.left + 32)
        for plane, frame in zip(patch.frames, frames, strict=True):
            np.testing.assert_array_equal(plane, frame[rows, cols].transpose(2, 0, 1))
        assert patch.frames.dtype == (np.uint16 if bits == 16 else np.uint8)
        assert (patch.times_s, patch.evs, patch.label) == (None, None, None)


def test_exposures_are_kept_where_all_are_known(cut, make_bracket):
    bracket = make_bracket(textured(0.4), textured(2.5))
    frames = tuple(
        replace(frame, exposure_time_s=time, ev=ev)
        for frame, time, ev in zip(bracket.frames, (0.01, 0.08), (-7.0, -4.0), strict=True)
    )
    _, patches = cut(replace(bracket, frames=frames))
    assert {(patch.times_s, patch.evs) for patch in patches} == {((0.01, 0.08), (-7.0, -4.0))}


def test_frames_and_label_are_reduced_alike(cut, make_bracket, tmp_path):
    label = textured(1.0)
    write_photo(label, str(tmp_path / "label.png"), format="png", bits=8)
    bracket = make_bracket(
        textured(1.0), textured(2.0), label_uri=str(tmp_path / "label.png"), label_kind="display"
    )
    row, patches = cut(bracket, replace(SETTINGS, max_side_px=60))
    assert (row["width"], row["height"]) == (60, 48)
    assert row["reference_uri"] == bracket.label_uri
    (patch,) = patches
    np.testing.assert_array_equal(patch.label, patch.frames[0])


@pytest.mark.parametrize("trouble", ["another size", "missing", "linear"])
def test_a_label_that_does_not_serve_costs_no_bracket(cut, make_bracket, tmp_path, trouble):
    uri = str(tmp_path / "label.png")
    if trouble == "another size":
        write_photo(textured(1.0, height=40), uri, format="png", bits=8)
    kind = "radiance" if trouble == "linear" else "display"
    row, patches = cut(make_bracket(textured(1.0), textured(2.0), label_uri=uri, label_kind=kind))
    assert row["status"] == "fused"
    assert row["reference_uri"] is None
    assert all(patch.label is None for patch in patches)
    told = [note for note in row["notes"] if note.startswith("no label:") and uri in note]
    assert len(told) == (trouble != "linear")


def test_a_bad_bracket_is_quarantined_with_the_code_of_its_photograph(cut, make_bracket, tmp_path):
    bracket = make_bracket(textured(0.5), textured(2.0))
    file = tmp_path / "in" / "scene" / "1.png"
    file.write_bytes(file.read_bytes()[:2000])
    row, _ = cut(bracket)
    assert (row["status"], row["error_code"]) == ("quarantined", "decode-truncated")
    assert row["error_stage"] == "read"
    assert str(file) in row["error_message"]


def test_what_nobody_foresaw_costs_one_row(cut, make_bracket, monkeypatch):
    def fail(*args, **options):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("pipeline.sharding.visiting.cut_patches", fail)
    row, _ = cut(make_bracket(textured(0.5), textured(2.0)))
    assert (row["status"], row["error_code"]) == ("quarantined", "unexpected")


def test_a_bracket_smaller_than_a_patch_is_skipped_and_said(cut, make_bracket):
    row, _ = cut(make_bracket(textured(0.5), textured(2.0)), replace(SETTINGS, patch_px=100))
    assert row["status"] == "skipped"
    assert row["notes"][-1] == TOO_SMALL


def test_a_full_disk_blames_no_photograph(cut, make_bracket, monkeypatch):
    bracket = make_bracket(textured(0.5), textured(2.0))

    def full(uri, data):
        raise InfrastructureError("disk-full", "full")

    monkeypatch.setattr("pipeline.storage.write_atomic", full)
    with pytest.raises(InfrastructureError):
        cut(bracket)
