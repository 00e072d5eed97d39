# SPDX-License-Identifier: Apache-2.0
"""The zoo: every fusion model by its name, and the card that says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal, cast

import torch

from model.fusion_model import FusionModel
from model.merge import Merge
from model.mertens import Mertens
from model.networks import build_network
from model.ufm_k import UfmK
from model.ufm_k_fast import FastUfmK
from model.weights_file import packaged_weights, unpack_weights

__all__ = [
    "DEFAULT",
    "WITH_FAST_FORM",
    "Card",
    "UnknownModelError",
    "card",
    "fast_form",
    "load",
    "names",
    "parameter_count",
]

DEFAULT = "ufm_k"
"""The model that is used when none is asked for."""


WITH_FAST_FORM = frozenset({"ufm_k"})
"""Models that :func:`fast_form` makes something of."""


class UnknownModelError(LookupError):
    """The zoo has no model of that name; the message lists those that it has."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a user should know of a model before trusting it with photographs.

    ``parameters`` counts numbers that training sets; ``output`` is display-referred (``fusion``)
    or linear (``radiance``). ``max_frames`` is None where any number of frames will do, and
    ``weights_sha256`` is None where there are no weights. ``scores`` maps the name of a data set
    and metric to the figure measured on it.
    """

    name: str
    title: str
    summary: str
    paper: str
    output: Literal["fusion", "radiance"]
    parameters: int
    weights_shipped: bool
    weights_sha256: str | None
    licence: str
    min_frames: int
    max_frames: int | None
    input: str
    notes: tuple[str, ...]
    scores: Mapping[str, float]


def trained(weights: bytes, device: torch.device | str = "cpu") -> FusionModel:
    """The network that a weights file (its content) holds, ready to fuse on ``device``.

    Raises:
        ValueError: The content is damaged, or does not fit the network that it names.
    """
    state, metadata = unpack_weights(weights)
    try:
        with torch.device("meta"):  # options of any size take no memory of their own
            network = build_network(metadata["network"], json.loads(metadata["options"]))
        network.load_state_dict(state, assign=True)
    except (KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"the weights do not fit their network: {error}") from error
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise ValueError("the weights hold numbers that are not finite")
    network.eval().requires_grad_(False)
    return cast(FusionModel, network.to(device))


def _packaged(name: str) -> Callable[[torch.device], FusionModel]:
    return lambda device: trained(packaged_weights(name), device)


_ZOO: dict[str, Callable[[torch.device], FusionModel]] = {
    "mertens": Mertens,
    "merge": Merge,
    "ufm_k": _packaged("ufm_k"),
}


def names() -> tuple[str, ...]:
    """All models, in the zoo's order."""
    return tuple(_ZOO)


def load(name: str, device: torch.device | str = "cpu") -> FusionModel:
    """A model, ready to fuse on ``device``.

    Raises:
        UnknownModelError: The zoo has no model of that name.
    """
    return _entry(name)(torch.device(device))


def fast_form(model: FusionModel) -> FusionModel:
    """A model's faster and slightly worse form where there is one, or else the model itself."""
    return FastUfmK(model) if isinstance(model, UfmK) else model


def card(name: str) -> Card:
    """The card packaged with a model.

    Raises:
        UnknownModelError: The zoo has no model of that name.
    """
    _entry(name)
    file = resources.files("model").joinpath("weights", f"{name}.json")
    facts = json.loads(file.read_text(encoding="utf-8"))
    facts["notes"] = tuple(facts["notes"])
    return Card(**facts)


def parameter_count(name: str) -> int:
    """Numbers that training sets, counted in the model itself.

    Raises:
        UnknownModelError: The zoo has no model of that name.
    """
    model = load(name)
    if not isinstance(model, torch.nn.Module):
        return 0  # a formula
    return sum(parameter.numel() for parameter in model.parameters())


def _entry(name: str) -> Callable[[torch.device], FusionModel]:
    try:
        return _ZOO[name]
    except KeyError:
        raise UnknownModelError(
            f"There is no model {name!r}; choose one of: {', '.join(_ZOO)}."
        ) from None
