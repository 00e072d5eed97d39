# SPDX-License-Identifier: Apache-2.0
"""Weights are measured on every patch, and once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.fusion_scores import FusionScores, to_8bit_rgb
from model.fusion_terms import fuse_mertens
from model.networks import build_network
from model.weights_file import pack_weights
from pipeline import evaluation
from pipeline.augment import plain
from pipeline.errors import UsageError
from pipeline.evaluation import evaluate, evaluation_of, load_network
from pipeline.patches import Patch, open_patches, patches_path, write_patches
from pipeline.recipe import DataSettings
from pipeline.robustness import PLAIN, Condition, stack_under
from pipeline.sharding.split_table import write_split

DATA = DataSettings(crop_px=48)
CONDITIONS = (PLAIN, Condition(name="near", stops=1), Condition(name="noisy", noise=8))
CPU = torch.device("cpu")
COLUMNS = {
    "gray_ms3": "gray_ms3",
    "color_8x8_adaptive_lum": "color",
    "chroma_shift": "chroma_shift",
    "gray_ms3_mertens": "gray_ms3_mertens",
    "color_8x8_adaptive_lum_mertens": "color_mertens",
}
"""Of the table -> what FusionScores calls them."""


@pytest.fixture
def patches():
    """Five patches of three frames; exposures of the last one are unknown."""
    rng = np.random.default_rng(5)
    found = []
    for index in range(5):
        scene = rng.uniform(0, 2, (3, 14, 14)).repeat(4, 1).repeat(4, 2)
        exposed = np.stack([(scene * 2.0**ev).clip(0, 1) ** (1 / 2.2) for ev in (-3, -1, 0)])
        found.append(
            Patch(
                bracket_id="c",
                scene="c",
                index=index,
                top=0,
                left=0,
                frames=(exposed * 255).round().astype(np.uint8),
                times_s=(0.125, 0.5, 1) if index < 4 else None,
            )
        )
    return found


@pytest.fixture
def refs(patches, tmp_path):
    write_patches(patches, str(tmp_path / patches_path("validation", "c")))
    row = {"scene": "c", "bracket_id": "c", "split": "validation", "reason": "test"}
    write_split(str(tmp_path), [row])
    return open_patches(str(tmp_path), "validation")


@pytest.fixture
def network():
    torch.manual_seed(1)
    return build_network("ufm", {"width": 0.05}).eval()


def rows_under(table, condition, against):
    rows = table.to_pylist()
    return [r for r in rows if (r["condition"], r["against"]) == (condition, against)]


def test_figures_are_those_of_the_scores(network, refs, patches):
    found = rows_under(evaluate(network, refs, DATA, CONDITIONS), "plain", "clean")
    assert [row["patch"] for row in found] == [patch.key for patch in patches]
    assert [row["stops"] for row in found] == [3, 3, 3, 3, None]
    for row, patch in zip(found, patches, strict=True):
        frames = torch.from_numpy(plain(patch.frames, 2, crop_px=48))[None]
        with torch.no_grad():
            wanted = FusionScores()(network(frames).fused, frames)
        for name, theirs in COLUMNS.items():
            assert row[name] == pytest.approx(float(wanted[theirs]), abs=1e-5)


def test_a_distance_leaves_out_unknown_exposures(network, refs):
    near = rows_under(evaluate(network, refs, DATA, CONDITIONS), "near", "clean")
    assert [row["stops"] for row in near] == [1, 1, 1, 1]


def test_noise_is_fused_by_both_and_measured_against_both(network, refs, patches):
    table = evaluate(network, refs, DATA, CONDITIONS)
    clean, noisy = (rows_under(table, "noisy", against) for against in ("clean", "noisy"))
    assert len(clean) == len(noisy) == len(patches)
    scores = FusionScores()
    for patch, *rows in zip(patches, clean, noisy, strict=True):
        stack = stack_under(patch, CONDITIONS[2], 2, crop_px=48)
        inputs, frames = (torch.from_numpy(x)[None] for x in (stack.inputs, stack.clean))
        mertens = fuse_mertens(to_8bit_rgb(inputs))
        with torch.no_grad():
            fusions = {"": network(inputs).fused, "_mertens": mertens}
        for row, reference in zip(rows, (frames, inputs), strict=True):
            for suffix, fused in fusions.items():
                wanted = float(scores(fused, reference)["gray_ms3"])
                assert row[f"gray_ms3{suffix}"] == pytest.approx(wanted, abs=1e-5)
        assert rows[0]["chroma_shift"] == pytest.approx(rows[1]["chroma_shift"], abs=1e-4)


def write_weights(folder, network):
    folder.mkdir(exist_ok=True)
    facts = {"network": "ufm", "options": '{"width": 0.05}'}
    (folder / "weights.safetensors").write_bytes(pack_weights(network.state_dict(), facts))


def test_what_is_known_is_not_measured_again(network, refs, tmp_path, monkeypatch):
    out = tmp_path / "run"
    write_weights(out, network)
    first = evaluation_of(str(out), refs, DATA, CONDITIONS[:1], CPU)
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return evaluate(*arguments)

    monkeypatch.setattr(evaluation, "evaluate", counted)
    assert evaluation_of(str(out), refs, DATA, CONDITIONS[:1], CPU) == first
    assert not calls
    evaluation_of(str(out), refs, DATA, CONDITIONS[:2], CPU)
    evaluation_of(str(out), refs[:3], DATA, CONDITIONS[:2], CPU)
    evaluation_of(str(out), refs[:3], replace(DATA, crop_px=44), CONDITIONS[:2], CPU)
    torch.nn.init.constant_(network.head.bias, 0.5)
    write_weights(out, network)
    evaluation_of(str(out), refs[:3], replace(DATA, crop_px=44), CONDITIONS[:2], CPU)
    assert len(calls) == 4
    (out / "evaluation.parquet").write_bytes(b"broken")
    evaluation_of(str(out), refs[:1], DATA, CONDITIONS[:1], CPU)
    assert len(calls) == 5


def test_weights_of_nothing_known_are_refused(tmp_path, network):
    file = tmp_path / "weights.safetensors"
    for facts in ({}, {"network": "ufm", "options": "{}"}, {"network": "x", "options": "{}"}):
        file.write_bytes(pack_weights(network.state_dict(), facts))
        with pytest.raises(UsageError) as error:
            load_network(str(file), CPU)
        assert error.value.code == "weights-invalid"


@pytest.fixture
def light_refs(patches, tmp_path):
    """The same scenes as exposures with their light; frames that were followed, as they are."""
    made = []
    for patch in patches[:4]:
        label = (patch.frames[0] / np.float32(255)) ** 2.2 * 4
        made.append(replace(patch, label=label.astype(np.float32), aligned=patch.frames))
    write_patches(made, str(tmp_path / patches_path("validation", "c")))
    row = {"scene": "c", "bracket_id": "c", "split": "validation", "reason": "test"}
    write_split(str(tmp_path), [row])
    return open_patches(str(tmp_path), "validation")


@pytest.mark.parametrize("start", ["nothing", "followed"])
def test_radiance_is_measured_beside_both_merges(light_refs, start):
    torch.manual_seed(1)
    options = {"width": 4, "growth": 2, "layers": 1, "start": start}
    network = build_network("ahdrnet", options).eval()
    data = DataSettings(frames=(3, 3), crop_px=32)
    table = evaluate(network, light_refs, data, (PLAIN, Condition(name="noisy", noise=8)))
    plain_rows, noisy = (rows_under(table, name, "truth") for name in ("plain", "noisy"))
    assert len(table) == 8
    assert {row["stops"] for row in plain_rows} == {3}
    for row, worse in zip(plain_rows, noisy, strict=True):
        assert row["patch"] == worse["patch"]
        assert row["psnr_mu_db_flow"] == row["psnr_mu_db_merge"] > worse["psnr_mu_db_flow"]
        if start == "followed":  # not trained: what it begins with
            assert row["psnr_mu_db"] > row["psnr_mu_db_flow"] - 0.5


def test_patches_without_a_truth_cannot_judge_radiance(refs):
    network = build_network("ahdrnet", {"width": 4, "growth": 2, "layers": 1}).eval()
    with pytest.raises(UsageError) as error:
        evaluate(network, refs[:4], DataSettings(frames=(3, 3)), (PLAIN,))
    assert error.value.code == "shards-invalid"
