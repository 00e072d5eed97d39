# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from importlib import resources

import pytest
import torch

from model import zoo
from model.fusion_model import TensorStack
from model.tiles import fuse

weights_folder = resources.files("model").joinpath("weights")


@pytest.mark.parametrize("name", zoo.names())
def test_card_tells_the_truth(name: str) -> None:
    card = zoo.card(name)
    model = zoo.load(name)
    assert card.name == model.name == name
    assert card.output == model.output
    assert card.parameters == zoo.parameter_count(name)
    file = weights_folder.joinpath(f"{name}.safetensors")
    assert card.weights_shipped == file.is_file()
    want = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    assert card.weights_sha256 == want
    for text in (card.title, card.summary, card.paper, card.licence, card.input, *card.notes):
        assert text.strip()
    assert all(0 <= value <= 1 for value in card.scores.values())


@pytest.mark.parametrize("name", zoo.names())
def test_model_fuses_as_many_frames_as_its_card_says(name: str) -> None:
    card = zoo.card(name)
    counts = {card.min_frames, card.max_frames or 9}
    for count in counts:
        stack = TensorStack(torch.rand(count, 3, 40, 50))
        result = fuse(zoo.load(name, "cpu"), stack)
        assert result.shape == (3, 40, 50)
        assert bool(result.isfinite().all())


def test_there_is_no_card_without_a_model() -> None:
    cards = {file.name for file in weights_folder.iterdir() if file.name.endswith(".json")}
    assert cards == {f"{name}.json" for name in zoo.names()}


def test_default_is_in_the_zoo() -> None:
    assert zoo.DEFAULT in zoo.names()


def test_mertens_has_nothing_to_train() -> None:
    assert zoo.parameter_count("mertens") == 0


@pytest.mark.parametrize("ask", [zoo.load, zoo.card, zoo.parameter_count])
def test_unknown_name_lists_the_known_ones(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(zoo.UnknownModelError, match=r"'../mertens'; choose one of: mertens"):
        ask("../mertens")
    assert issubclass(zoo.UnknownModelError, LookupError)
