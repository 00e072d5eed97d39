# SPDX-License-Identifier: Apache-2.0
"""Training end to end: rendered brackets, real Prefect, real Ray, real files."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from flows.train import train_model
from model.networks import build_network
from pipeline.errors import UsageError
from pipeline.patches import open_patches

RECIPE = """
summary = "for tests"

[network]
name = "ufm"
width = 0.0625

[loss]
name = "mef_ssim"
color = 0.1

[data]
frames = 2
crop_px = 48
[data.generate]
brackets = 5
megapixels = 0.03
[data.shard]
patch_px = 64
patches_per_bracket = 3
pair = "extreme"
align = "off"
validation_share = 0.4
test_share = 0.0

[augment]
noise_probability = 0.5
jpeg_probability = 0.5

[training]
steps = 4
batch = 2
lr = 1e-3
validate_every = 2
validation_patches = 4
"""


def test_nothing_is_rendered_into_somebody_elses_folder(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("rendered")

    monkeypatch.setattr("flows.train.generated_shards", never)
    (tmp_path / "card.json").write_text("mine")
    with pytest.raises(UsageError, match=r"card\.json") as error:
        train_model.fn("ufm", str(tmp_path))
    assert error.value.code == "destination-invalid"
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.ray
@pytest.mark.prefect
@pytest.mark.filterwarnings("ignore:.use_push_based_shuffle:DeprecationWarning")  # Ray's own
def test_from_nothing_to_weights_that_load(prefect_server, tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(RECIPE, "utf-8")
    out = tmp_path / "out"
    outcome = train_model(str(file), str(out), overrides={"data.generate.seed": 4})
    assert outcome.step == 4
    assert outcome.stopped == "steps"
    assert 0 < outcome.best["gray_ms3"] <= 1
    assert {"color", "gray_ms3_mertens", "color_mertens", "chroma_shift"} <= set(outcome.best)

    with safetensors.safe_open(outcome.weights_path, "np") as weights:
        facts = weights.metadata()
    network = build_network(facts["network"], json.loads(facts["options"]))
    state = safetensors.numpy.load_file(outcome.weights_path)
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        name: tuple(value.shape) for name, value in network.state_dict().items()
    }
    curve = pq.read_table(out / "curve.parquet").to_pylist()
    assert {(row["step"], row["split"]) for row in curve if row["name"] == "gray_ms3"} == {
        (step, "validation") for step in (0, 2, 4)
    }
    assert len(list((out / "pictures").glob("*.png"))) == 3
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["recipe"]["data"]["generate"]["seed"] == 4
    assert manifest["best"] == outcome.best
    assert open_patches(str(out / "shards"), "train")

    # Another recipe does not go on from this one.
    with pytest.raises(UsageError) as error:
        train_model(
            str(file),
            str(out),
            shards=(str(out / "shards"),),
            overrides={"data.generate.seed": 4, "loss.color": 0.2},
        )
    assert error.value.code == "checkpoint-invalid"
