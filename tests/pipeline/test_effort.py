# SPDX-License-Identifier: Apache-2.0
"""Fast and full: which models have both, and what it means for a result's key."""

from __future__ import annotations

import pytest

from model.fusion_model import FusionModel
from model.ufm_k import UfmK
from model.ufm_k_fast import FastUfmK
from pipeline.errors import UsageError
from pipeline.models import AUTO, find_model
from pipeline.settings import FuseSettings


def loaded(model: str, effort: str) -> FusionModel:
    return find_model(model).load(effort=effort)  # type: ignore[arg-type]


def test_effort_chooses_the_form_of_a_model():
    for model in ("ufm_k", AUTO):
        assert isinstance(loaded(model, "full"), UfmK)
        assert isinstance(loaded(model, "fast"), FastUfmK)
    assert type(loaded("mertens", "fast")) is type(loaded("mertens", "full"))


def test_fast_and_full_results_have_keys_of_their_own():
    for model in ("ufm_k", AUTO, "weights.safetensors"):
        fast, full = (FuseSettings(model=model, effort=effort) for effort in ("fast", "full"))
        assert fast.sha256 != full.sha256


def test_models_of_one_form_do_not_care():
    for model in ("mertens", "merge"):
        fast, full = (FuseSettings(model=model, effort=effort) for effort in ("fast", "full"))
        assert fast.sha256 == full.sha256


def test_what_was_fused_in_full_before_there_was_a_choice_stands():
    known = "797c31f0fb6099058d03c915a8188dccba793c623e7cfb768e1b749ff5c48f7e"
    assert FuseSettings(effort="full").sha256 == known


def test_other_words_are_refused():
    with pytest.raises(UsageError, match=r"--effort 'best' is not one of fast, full"):
        FuseSettings(effort="best")  # type: ignore[arg-type]
