# SPDX-License-Identifier: Apache-2.0
"""Models of the zoo and weights files of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model import zoo
from model.networks import build_network
from model.weights_file import pack_weights
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.fusing import FuseRecipe
from pipeline.models import ChosenModel, find_model, model_source, read_file
from pipeline.settings import FuseSettings, KeyMaker
from tests.pipeline.conftest import textured

OPTIONS = {"ufm": {"width": 0.05}, "ufm_k": {"widths": [3, 4, 5, 6]}}


@pytest.fixture
def write_weights(tmp_path):
    """Write weights (random by a seed) and, unless None, a card; returns the path."""

    def write(network: str = "ufm_k", *, seed: int = 0, card: dict | None = None, about=None):
        torch.manual_seed(seed)
        state = build_network(network, OPTIONS[network]).state_dict()
        metadata = {"network": network, "options": json.dumps(OPTIONS[network])} | (about or {})
        data = pack_weights(state, metadata)
        path = tmp_path / "made" / "weights.safetensors"
        storage.write_atomic(str(path), data)
        if card is not None:
            facts = {"weights_sha256": storage.sha256_of(data)} | card
            path.with_name("card.json").write_text(json.dumps(facts))
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        find_model(str(path))
    assert caught.value.code == "weights-invalid"
    assert str(path.parent) in caught.value.message
    return caught.value.message


def test_the_zoo_comes_by_name():
    for name in zoo.names():
        chosen = find_model(name)
        assert chosen == ChosenModel(source=name, card=zoo.card(name))
        assert chosen.load().name == name


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(UsageError, match=r"mertens.*safetensors") as caught:
        FuseSettings(model="ufo")
    assert caught.value.code == "model-unknown"


def test_a_weights_file_comes_with_its_card(write_weights):
    card = {"name": "mine", "notes": ["a", "b"], "scores": {"validation": 0.9}, "min_frames": 7}
    path = write_weights(card=card)
    chosen = find_model(str(path))
    assert (chosen.name, chosen.card.notes) == ("mine", ("a", "b"))
    assert chosen.weights_sha256 == storage.sha256_of(path.read_bytes())
    assert (chosen.card.min_frames, chosen.card.max_frames) == (2, None)  # the network's own
    model = chosen.load()
    assert isinstance(model, torch.nn.Module)
    assert not model.training
    assert chosen.card.parameters == sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("card", [None, {}])
def test_without_a_name_the_file_gives_it(write_weights, card):
    assert find_model(str(write_weights(card=card))).name == "weights"


def test_relative_paths_become_absolute(write_weights, monkeypatch):
    path = write_weights()
    monkeypatch.chdir(path.parent)
    assert FuseSettings(model="weights.safetensors").model == str(path)
    assert model_source("memory://x/y.safetensors") == "memory://x/y.safetensors"


def test_weights_are_read_from_any_storage(write_weights):
    uri = "memory://bracketflow-models/w.safetensors"
    storage.write_atomic(uri, write_weights().read_bytes())
    try:
        assert find_model(uri).load().name == "ufm_k"
    finally:
        storage.delete(uri)


def test_a_tampered_file_is_told_by_its_card(write_weights):
    path = write_weights(card={})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "other weights" in refused(path)


@pytest.mark.parametrize("keep", [0, 6, 40, 2000])
def test_a_damaged_file_is_refused(write_weights, keep):
    path = write_weights()
    path.write_bytes(path.read_bytes()[:keep])
    assert "no whole safetensors file" in refused(path)


@pytest.mark.parametrize(
    "about",
    [
        {"network": "nope"},
        {"network": "ufm"},
        {"options": "5"},
        {"options": "{"},
        {"options": "[" * 100_000},
        {"options": '{"widths": 5}'},
        {"options": '{"widths": [1e400, 1, 1, 1]}'},
        {"options": '{"widths": [3, 4, 5, 7]}'},
        {"options": '{"widths": [90000, 90000, 90000, 90000]}'},  # would not fit into memory
    ],
)
def test_weights_of_no_network_of_ours_are_refused(write_weights, about):
    assert "cannot be used" in refused(write_weights(about=about))


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    state = build_network("ufm_k", OPTIONS["ufm_k"]).state_dict()
    state["strictness"] = torch.full((4,), float("nan"))
    about = {"network": "ufm_k", "options": json.dumps(OPTIONS["ufm_k"])}
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack_weights(state, about))
    assert "not finite" in refused(path)


@pytest.mark.parametrize(
    "card", [{"name": 5}, {"notes": "text"}, {"notes": [1]}, {"scores": {"a": "b"}}]
)
def test_a_card_of_wrong_types_is_refused(write_weights, card):
    assert "wrong type" in refused(write_weights(card=card))


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff"])
def test_a_card_that_is_none_is_refused(write_weights, text):
    path = write_weights()
    path.with_name("card.json").write_text(text, encoding="latin-1")
    assert "card" in refused(path)


def test_a_missing_file_is_told(tmp_path):
    assert "is not there" in refused(tmp_path / "no.safetensors")


def test_caps_hold_before_reading(write_weights):
    with pytest.raises(UsageError, match="more than the cap"):
        read_file(str(write_weights()), max_bytes=10)


def test_the_key_follows_the_weights_and_not_their_place(write_weights, make_bracket, tmp_path):
    bracket = make_bracket(textured(0.5), textured(2.0))

    def key(path: Path) -> str:
        settings = FuseSettings(model=str(path))
        return KeyMaker(settings, find_model(settings.model).weights_sha256).key(bracket)

    one = write_weights(seed=1)
    moved = tmp_path / "elsewhere" / "other.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(one.read_bytes())
    assert key(one) == key(moved)
    assert key(write_weights(seed=2)) != key(moved)
    assert FuseSettings(model=str(one)).sha256 != FuseSettings().sha256


def test_own_weights_fuse_and_stand_in_the_row(write_weights, make_bracket, fuse_one):
    path = write_weights(card={"name": "mine"})
    settings = FuseSettings(model=str(path), format="png", name="{stem}_{model}")
    row = fuse_one(make_bracket(*(textured(light) for light in (0.4, 1.0, 2.5))), settings)
    assert row["status"] == "fused", row["error_message"]
    assert row["model"] == "mine"
    assert row["weights_sha256"] == storage.sha256_of(path.read_bytes())
    assert row["result_path"].endswith("/0_mine.png")


def test_a_file_that_changes_during_a_run_is_an_error(write_weights, tmp_path):
    settings = FuseSettings(model=str(write_weights(seed=1)))
    recipe = FuseRecipe(
        settings=settings, model=find_model(settings.model), destination="/out", run_id="r"
    )
    write_weights(seed=2)
    with pytest.raises(UsageError, match="changed since the run began") as caught:
        recipe.build(device="cpu", worker="w", intend=lambda uri, sha256: None)
    assert caught.value.code == "weights-invalid"


def test_a_pair_network_fuses_a_longer_bracket(write_weights, make_bracket, fuse_one):
    lights = (0.2, 0.5, 1.0, 2.0, 4.0)
    settings = FuseSettings(model=str(write_weights("ufm")), format="png", align="off")
    row = fuse_one(make_bracket(*(textured(light) for light in lights)), settings)
    assert row["status"] == "fused", row["error_message"]
    assert row["notes"] == ["weights fuses 2 frames: used 2nd and 4th of 5"]
    assert row["frame_count"] == 5
    two = [textured(light) for light in (0.5, 2.0)]
    pair = fuse_one(make_bracket(*two), settings, out=Path(row["result_uri"]).parents[3] / "pair")
    assert pair["notes"] == []
    assert pair["result_sha256"] == row["result_sha256"]
    assert pair["mef_ssim"] != row["mef_ssim"]  # each against all of its own frames
