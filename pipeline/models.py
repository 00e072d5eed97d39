# SPDX-License-Identifier: Apache-2.0
"""The model of a run: one of the zoo by its name, or a weights file that somebody trained.

A weights file ends in ``.safetensors`` and lies at a path or URI, with a ``card.json`` beside it
where ``bracketflow train`` wrote it. What a run must know of it is looked up once, by the driver;
workers read the file themselves and refuse it if it is another one by then.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from model import zoo
from model.fusion_model import FusionModel
from model.fusion_network import FusionNetwork
from pipeline import storage
from pipeline.errors import PhotoError, UsageError

__all__ = [
    "AUTO",
    "AUTO_VERSION",
    "CARD",
    "SUFFIX",
    "ChosenModel",
    "Effort",
    "find_model",
    "has_fast_form",
    "model_kind",
    "model_source",
    "read_file",
    "sees_one_frame",
]

AUTO = "auto"
"""In place of a model's name: one is chosen for each bracket, see :mod:`pipeline.auto`."""

AUTO_VERSION = 1
"""Raised by hand whenever another model may be chosen for the same bracket and settings."""

Effort = Literal["fast", "full"]
"""``fast`` runs a network at reduced size where it can (:func:`model.zoo.fast_form`)."""

CARD = "card.json"
SUFFIX = ".safetensors"

_MAX_BYTES = 2 << 30
_MAX_CARD_BYTES = 1 << 20
_TEXTS = ("name", "title", "summary", "paper", "licence", "input")


@dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """A model as a run knows it: plain data that travels to the workers.

    ``source`` is a name of the zoo or the URI of a weights file. ``card`` holds at least what can
    be counted: hash of the weights, numbers of frames, parameters.
    """

    source: str
    card: zoo.Card

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.card.name

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the weights file, None without weights."""
        return self.card.weights_sha256

    def load(self, device: torch.device | str = "cpu", *, effort: Effort = "full") -> FusionModel:
        """The model, ready to fuse on ``device``; its fast form if asked for, and if it has one.

        Raises:
            UsageError: ``weights-invalid``, the file cannot be read or is not the same any more.
            InfrastructureError: ``storage-failed``.
        """
        if not self.source.endswith(SUFFIX):
            name = zoo.DEFAULT if self.source == AUTO else self.source
            return _with(effort, zoo.load(name, device=device))
        content = read_file(self.source)
        if storage.sha256_of(content) != self.weights_sha256:
            raise UsageError(
                "weights-invalid",
                f"The weights {self.source} have changed since the run began; wait until nobody "
                "writes to the file, or copy it, and run the command again.",
            )
        return _with(effort, _built(self.source, content, device))


def _with(effort: Effort, model: FusionModel) -> FusionModel:
    return zoo.fast_form(model) if effort == "fast" else model


def has_fast_form(source: str) -> bool:
    """Whether effort may make a difference to what is fused with a model; weights files say it
    only when they are read."""
    return source == AUTO or source.endswith(SUFFIX) or source in zoo.WITH_FAST_FORM


def model_source(model: str) -> str:
    """A model as a user names it: the name itself, or the URI of the weights file.

    Raises:
        UsageError: ``model-unknown``.
    """
    if model.endswith(SUFFIX):
        return storage.absolute(model)
    if model != AUTO and model not in zoo.names():
        raise UsageError(
            "model-unknown",
            f"There is no model {model!r}; choose one of {', '.join(zoo.names())} or {AUTO}, or "
            f"give the path of a weights file of your own, which ends in {SUFFIX}.",
        )
    return model


def model_kind(source: str) -> str:
    """The source without the place: weights are told apart by their hash, wherever they lie."""
    return SUFFIX if source.endswith(SUFFIX) else source


def sees_one_frame(card: zoo.Card) -> bool:
    """Whether a model makes radiance out of a single frame, with virtual exposures."""
    return card.output == "radiance" and card.min_frames == 1


def find_model(model: str) -> ChosenModel:
    """Look up a model of the zoo, or read a weights file and the card beside it.

    Without a card the file's stem is the model's name.

    Args:
        model: see :func:`model_source`.

    Raises:
        UsageError: ``model-unknown``; ``weights-invalid``, the file or its card cannot be read, is
            damaged, or the card speaks of other weights.
        InfrastructureError: ``storage-failed``.
    """
    source = model_source(model)
    if source == AUTO:  # the weights that it may choose count for all that it makes
        usual = zoo.card(zoo.DEFAULT)
        return ChosenModel(source=source, card=replace(usual, name=AUTO, max_frames=None))
    if not source.endswith(SUFFIX):
        return ChosenModel(source=source, card=zoo.card(source))
    content = read_file(source)
    network = _built(source, content, "cpu")
    assert isinstance(network, FusionNetwork)
    sha256 = storage.sha256_of(content)
    facts = _read_card(source, sha256)
    stem = posixpath.basename(source).removesuffix(SUFFIX)
    texts = {name: facts.get(name, "") for name in _TEXTS}
    card = zoo.Card(
        **texts | {"name": texts["name"] or stem},
        output=network.output,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weights_shipped=False,
        weights_sha256=sha256,
        min_frames=network.min_frames,
        max_frames=network.max_frames,
        notes=tuple(facts.get("notes", ())),
        scores=facts.get("scores", {}),
    )
    return ChosenModel(source=source, card=card)


def read_file(uri: str, *, max_bytes: int = _MAX_BYTES) -> bytes:
    """The content of a weights file or card.

    Raises:
        UsageError: ``weights-invalid``, it is not there, may not be read or is too large.
        InfrastructureError: ``storage-failed``.
    """
    try:
        with storage.open_read(uri) as handle:
            size = handle.seek(0, 2)
            handle.seek(0)
            if size <= max_bytes:
                return handle.read()
    except PhotoError as error:
        what = "is not there" if error.code == "file-missing" else f"cannot be read: {error}"
        raise UsageError(
            "weights-invalid",
            f"{uri} {what}. Check the path; on a cluster it must be one that all nodes can read.",
        ) from error
    raise UsageError(
        "weights-invalid",
        f"{uri} has {size} bytes, more than the cap of {max_bytes}; it is no file of ours.",
    )


def _built(uri: str, content: bytes, device: torch.device | str) -> FusionModel:
    try:
        return zoo.trained(content, device)
    except ValueError as error:
        raise UsageError(
            "weights-invalid",
            f"The weights {uri} cannot be used: {error}. Restore the file, or train again; it "
            "must be one that `bracketflow train` wrote.",
        ) from error


def _read_card(weights_uri: str, sha256: str) -> dict[str, Any]:
    """What the card beside the weights tells; nothing where there is none."""
    uri = storage.join(posixpath.dirname(weights_uri), CARD)
    if not storage.exists(uri):
        return {}
    content = read_file(uri, max_bytes=_MAX_CARD_BYTES)
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _bad_card(uri, f"is no JSON ({str(error)[:100]})") from error
    if not isinstance(facts, dict):
        raise _bad_card(uri, "is no table of facts")
    if facts.get("weights_sha256") != sha256:
        raise _bad_card(uri, f"speaks of other weights than {weights_uri}, or they were changed")
    notes, scores = facts.get("notes", []), facts.get("scores", {})
    texts = [facts.get(name, "") for name in _TEXTS]
    if not (
        isinstance(notes, list)
        and isinstance(scores, dict)
        and all(isinstance(text, str) for text in (*texts, *notes))
        and all(isinstance(score, int | float) for score in scores.values())
    ):
        raise _bad_card(uri, "has a fact of the wrong type")
    return facts


def _bad_card(uri: str, what: str) -> UsageError:
    return UsageError(
        "weights-invalid",
        f"The card {uri} {what}; restore both files, or take the card away to go without.",
    )
