# SPDX-License-Identifier: Apache-2.0
"""One visit: a bracket becomes a file of patches, or a row that says why not. No Ray."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.networks import build_network
from model.weights_file import pack_weights
from pipeline.errors import InfrastructureError, UsageError
from pipeline.images.radiance import encode_exr
from pipeline.images.writing import write_photo
from pipeline.patches import PatchRef, patches_path, read_patch
from pipeline.pseudo_labels import check_stage_one, load_stage_one, structure_label
from pipeline.sharding.settings import ShardSettings, shard_key
from pipeline.sharding.visiting import TOO_SMALL, ShardJob, ShardRecipe
from tests.pipeline.conftest import textured

SETTINGS = ShardSettings(patch_px=32, min_contrast=0.0)


@pytest.fixture
def cut(tmp_path):
    """Cut one bracket into ``tmp_path/shards`` and return its row and its patches."""

    def visit(bracket, settings=SETTINGS, stage_one=None):
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
        recipe = ShardRecipe(
            settings=settings, destination=destination, run_id="r", stage_one=stage_one
        )
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


@pytest.mark.parametrize("kind", ["display", "radiance"])
@pytest.mark.parametrize("trouble", ["another size", "missing"])
def test_a_label_that_does_not_serve_costs_no_bracket(cut, make_bracket, tmp_path, trouble, kind):
    uri = str(tmp_path / ("label.exr" if kind == "radiance" else "label.png"))
    if trouble == "another size":
        write_photo(
            textured(1.0, height=40),
            uri,
            format="exr" if kind == "radiance" else "png",
            bits=16 if kind == "radiance" else 8,
        )
    row, patches = cut(make_bracket(textured(1.0), textured(2.0), label_uri=uri, label_kind=kind))
    assert row["status"] == "fused"
    assert row["reference_uri"] is None
    assert all(patch.label is None for patch in patches)
    told = [note for note in row["notes"] if note.startswith("no label:") and uri in note]
    assert len(told) == 1


def exposed(light, times):
    return [
        np.round(np.clip(light * t, 0, 1) ** (1 / 2.2) * 65535).astype(np.uint16) for t in times
    ]


def timed(bracket, times):
    frames = zip(bracket.frames, times, strict=True)
    return replace(
        bracket,
        frames=tuple(replace(f, exposure_time_s=t, ev=float(np.log2(t))) for f, t in frames),
    )


def test_a_linear_label_is_kept_in_the_scale_of_the_middle_frame(cut, make_bracket, tmp_path):
    light = (textured(1.0, bits=16) / 65535.0) ** 2
    times = (1.0, 4.0, 16.0)
    (tmp_path / "HDRImg.exr").write_bytes(encode_exr((light / 16).astype(np.float32), 32))
    bracket = make_bracket(
        *exposed(light / 16, times),
        suffix="tif",
        label_uri=str(tmp_path / "HDRImg.exr"),
        label_kind="radiance",
        layout="kalantari",
    )
    row, patches = cut(timed(bracket, times), replace(SETTINGS, align="off"))
    assert (row["reference_uri"], row["reference_kind"]) == (bracket.label_uri, "radiance")
    for patch in patches:
        rows, cols = slice(patch.top, patch.top + 32), slice(patch.left, patch.left + 32)
        assert patch.label.dtype == np.float32
        expected = light[rows, cols].transpose(2, 0, 1) / 4
        np.testing.assert_allclose(patch.label, expected, rtol=1e-5, atol=1e-7)
        assert (patch.aligned, patch.mask) == (None, None)


@pytest.mark.parametrize("known", [True, False])
def test_frames_are_followed_by_flow_where_it_is_asked_for(cut, make_bracket, known):
    times = (0.25, 1.0, 4.0)
    light = (textured(1.0, bits=16) / 65535.0) ** 2
    dark, middle, bright = exposed(light, times)
    dark = np.roll(dark, 3, axis=1)
    bracket = make_bracket(dark, middle, bright, suffix="tif")
    settings = replace(SETTINGS, align="off", aligned="flow")
    row, patches = cut(timed(bracket, times) if known else bracket, settings)
    assert any(note.startswith("optical flow followed") for note in row["notes"])
    assert any("estimated from the pixels" in note for note in row["notes"]) != known
    for patch in patches:
        assert patch.times_s == pytest.approx(times, rel=1e-9 if known else 0.2)
        assert patch.aligned.shape == patch.frames.shape
        np.testing.assert_array_equal(patch.aligned[1], patch.frames[1])
        assert patch.mask.shape == (3, 32, 32)
        assert patch.mask[1].min() == 255
    inner = [patch for patch in patches if patch.left > 0 and patch.left + 35 < light.shape[1]]
    before, after = (
        np.median(
            [
                np.abs(getattr(p, name)[0] / 65535.0 - p.frames[1] / 65535.0 * 0.25 ** (1 / 2.2))
                for p in inner
            ]
        )
        for name in ("frames", "aligned")
    )
    assert after < before / 2


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


@pytest.fixture
def stage_one(tmp_path):
    """A first stage of random weights."""
    options = {"width": 4, "growth": 2, "layers": 1}
    torch.manual_seed(0)
    state = build_network("ahdrnet", options).state_dict()
    path = tmp_path / "stage-one.safetensors"
    metadata = {"network": "ahdrnet", "options": json.dumps(options)}
    path.write_bytes(pack_weights(state, metadata))
    return path


def test_a_first_stage_makes_structure_labels_of_what_was_followed(cut, make_bracket, stage_one):
    settings = replace(SETTINGS, align="off", aligned="flow", patches_per_bracket=2)
    frames = [textured(light) for light in (0.3, 1.0, 3.0)]
    chosen = check_stage_one(str(stage_one), settings)
    bracket = make_bracket(*frames)
    _, patches = cut(bracket, settings, chosen)
    for patch in patches:
        expected = structure_label(patch, load_stage_one(chosen))
        np.testing.assert_array_equal(patch.structure, expected)
    row, patches = cut(make_bracket(*frames[:2]), settings, chosen)
    assert row["status"] == "fused"
    assert any(note.startswith("no structure label: ") for note in row["notes"])
    assert all(patch.structure is None for patch in patches)
    keys = {shard_key(bracket, settings, "p", sha256) for sha256 in (None, chosen.weights_sha256)}
    assert len(keys) == 2


def test_a_first_stage_needs_followed_frames_and_must_make_radiance(stage_one):
    with pytest.raises(UsageError) as caught:
        check_stage_one(str(stage_one), SETTINGS)
    assert caught.value.code == "option-invalid"
    with pytest.raises(UsageError) as caught:
        check_stage_one("mertens", replace(SETTINGS, aligned="flow"))
    assert caught.value.code == "weights-invalid"
