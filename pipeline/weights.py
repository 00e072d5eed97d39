# SPDX-License-Identifier: Apache-2.0
"""Weights of a training: where one begins, and what it publishes, with the draft of a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from model.objectives import Objective
from model.weights_file import pack_weights, packaged_weights, unpack_weights
from model.zoo import Card
from pipeline import storage
from pipeline.errors import PhotoError, UsageError
from pipeline.models import CARD, SUFFIX, read_file
from pipeline.recipe import Recipe
from pipeline.settings import Output

__all__ = [
    "CARD",
    "WEIGHTS",
    "TrainingFacts",
    "initial_sha256",
    "is_published",
    "load_initial",
    "publish",
    "read_weights",
]

WEIGHTS = f"weights{SUFFIX}"


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a card says of the training."""

    step: int
    seconds: float
    device: str
    workers: int
    patches: int
    scores: Mapping[str, float]
    """Means over the validation patches."""


def read_weights(path_or_name: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The state (float32, CPU) and metadata of a weights file.

    Args:
        path_or_name: a path or URI that ends in ``.safetensors``, or the name of packaged ones.

    Raises:
        UsageError: ``weights-invalid``.
    """
    try:
        return unpack_weights(_content(path_or_name))
    except ValueError as error:
        raise UsageError(
            "weights-invalid", f"The weights {path_or_name} cannot be read: {error}"
        ) from error


def initial_sha256(path_or_name: str) -> str:
    """Hex SHA-256 of a weights file, as :func:`read_weights` finds it; "" for no name at all.

    Raises:
        UsageError: ``weights-invalid``.
    """
    return storage.sha256_of(_content(path_or_name)) if path_or_name else ""


def _content(path_or_name: str) -> bytes:
    try:
        if not path_or_name.endswith(SUFFIX):
            return packaged_weights(path_or_name)
        return read_file(storage.absolute(path_or_name))
    except FileNotFoundError as error:
        raise UsageError(
            "weights-invalid", f"{error}. A file of your own must end in {SUFFIX}."
        ) from error


def load_initial(objective: Objective, path_or_name: str) -> None:
    """Put weights into the network that an objective ships, in place.

    Raises:
        UsageError: ``weights-invalid``, naming what is missing, left over or of another shape.
    """
    state, _ = read_weights(path_or_name)
    wanted, _ = objective.export()
    wrong = [f"{name} is missing" for name in wanted if name not in state]
    wrong += [f"{name} is unknown" for name in state if name not in wanted]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise UsageError(
            "weights-invalid",
            f"The weights {path_or_name} (training.init) are not of this network: "
            f"{'; '.join(wrong[:4])}{more}. Use weights of the same network and options.",
        )
    _shipped(objective.network, wanted).load_state_dict(state)


def _shipped(network: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """The part of what is trained that has this state; the rest belongs to the loss."""
    for module in network.modules():
        if module.state_dict().keys() == state.keys():
            return module
    raise ValueError("an objective must export the state of a part of its network")


def publish(out: str, objective: Objective, recipe: Recipe, facts: TrainingFacts) -> str:
    """Write ``OUT/weights.safetensors`` and ``OUT/card.json``; returns the URI of the weights.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    state, network = objective.export()
    table = asdict(recipe)
    metadata = {
        "network": network["network"],
        "options": json.dumps(network["options"], sort_keys=True),
        "recipe": json.dumps(table, sort_keys=True),
        "step": str(facts.step),
    }
    data = pack_weights(state, metadata)
    uri = storage.join(out, WEIGHTS)
    storage.write_atomic(uri, data)
    card = _card(objective, network, recipe, facts, storage.sha256_of(data))
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False)
    storage.write_atomic(storage.join(out, CARD), (text + "\n").encode("utf-8"))
    return uri


def is_published(out: str, step: int) -> bool:
    """Whether weights and card of that step stand in ``out``, whole and belonging together."""
    try:
        data = read_file(storage.join(out, WEIGHTS))
        _, metadata = unpack_weights(data)
        with storage.open_read(storage.join(out, CARD)) as handle:
            card = json.loads(handle.read())
    except (UsageError, PhotoError, ValueError):
        return False
    known = isinstance(card, dict) and card.get("weights_sha256") == storage.sha256_of(data)
    return known and metadata.get("step") == str(step)


def _card(
    objective: Objective,
    network: Mapping[str, Any],
    recipe: Recipe,
    facts: TrainingFacts,
    sha256: str,
) -> Card:
    """The draft: what a training cannot know (paper, licence) is left for people to fill in."""
    least, most = objective.frames
    name = network["network"]
    shipped, _ = objective.export()
    trained = _shipped(objective.network, shipped)
    output: Output = getattr(trained, "output", "fusion")
    timed = ", with exposure times" if output == "radiance" else ""
    return Card(
        name=recipe.name,
        title=f"{name} trained by recipe {recipe.name}",
        summary=recipe.summary,
        paper="",
        output=output,
        parameters=sum(parameter.numel() for parameter in trained.parameters()),
        weights_shipped=True,
        weights_sha256=sha256,
        licence="",
        min_frames=least,
        max_frames=most,
        input=f"Aligned, display-referred sRGB frames, dark to bright{timed}.",
        notes=(
            f"Network {name}, options {json.dumps(network['options'], sort_keys=True)}.",
            f"Recipe {recipe.name} ({recipe.sha256[:12]}): {facts.step} steps of "
            f"{recipe.training.batch} patches out of {facts.patches}.",
            f"Trained in {facts.seconds / 60:.1f} min by {facts.workers} worker(s) on "
            f"{facts.device}.",
        ),
        scores={f"validation_{name}": round(v, 5) for name, v in sorted(facts.scores.items())},
    )
