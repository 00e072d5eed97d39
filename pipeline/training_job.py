# SPDX-License-Identifier: Apache-2.0
"""What a training loop is given, whom it tells, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from model.objectives import Batch, Objective
from pipeline import storage
from pipeline.batches import BatchPlan, BatchSource
from pipeline.checkpoints import Identity, Store
from pipeline.errors import BracketflowError
from pipeline.recipe import Recipe

__all__ = ["Batches", "Ended", "Job", "Listener"]

Batches = Callable[[int, int], Generator[Batch, None, None]]
"""This worker's part of the batches ``start`` to ``stop - 1``."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every worker of a training is given.

    ``objective`` makes a new objective, ``source`` is what to train on, ``validation`` what to
    validate with (``validation_fields`` as of ``BatchSource.fields``), ``out`` the run's folder,
    ``init`` what weights to begin with ("" for none).
    """

    recipe: Recipe
    objective: Callable[[], Objective]
    source: BatchSource
    validation: tuple[BatchPlan, ...]
    identity: Identity
    out: str
    init: str = ""
    validation_fields: tuple[str, ...] = ()

    @property
    def store(self) -> Store:
        """Where the checkpoints are."""
        return Store(storage.join(self.out, "checkpoints"))


class Listener(Protocol):
    """Is told how a training goes: by its first worker; ``reported`` is called on all of them."""

    def step(self, step: int, *, loss: float, lr: float) -> None: ...
    def validated(self, step: int, figures: dict[str, float]) -> None: ...
    def reported(self, figures: dict[str, float]) -> None: ...


@dataclass(kw_only=True)
class Ended:
    """How a training ended, or why it could not.

    ``best`` are the figures of the validation after ``best_step`` steps, whose weights ship.
    """

    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    stopped: Literal["steps", "patience"] = "steps"
    seconds: float = 0.0
    device: str = ""
    resumed_from: int | None = None
    notes: list[str] = field(default_factory=list)
    error: BracketflowError | None = None
