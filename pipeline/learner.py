# SPDX-License-Identifier: Apache-2.0
"""An objective in training on one worker: single updates, and the state that they change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.objectives import Batch, Objective, Step
from pipeline.errors import BracketflowError
from pipeline.gpu_memory import StrandedError, gpu_memory
from pipeline.optimising import Averaged, learning_rate, make_optimizer
from pipeline.recipe import TrainingSettings
from pipeline.training_team import Team
from pipeline.weights import load_initial

__all__ = ["Learner", "NotFiniteError"]


class NotFiniteError(ArithmeticError):
    """A loss or gradient was no number, on every worker; the weights are as before the step."""


class Learner:
    """Trains ``objective.network`` in place.

    Args:
        objective: makes the objective; its random weights follow from the settings' seed.
        settings: see :class:`pipeline.recipe.TrainingSettings`.
        team: the workers, whose gradients are averaged.
    """

    def __init__(
        self, objective: Callable[[], Objective], settings: TrainingSettings, team: Team
    ) -> None:
        torch.manual_seed(settings.seed)
        self.objective = objective()
        layout = torch.channels_last if settings.channels_last else torch.preserve_format
        # mypy knows no overload of ``to`` for a memory format alone.
        self._network: nn.Module = self.objective.network.to(team.device)
        self._network = self._network.to(memory_format=layout)  # type: ignore[call-overload]
        self._settings = settings
        self._team = team
        self._optimizer = make_optimizer(self._network, settings)
        self._averaged = Averaged(self._network, settings.ema) if settings.ema else None
        self._wrapped: nn.Module = self._network

    def initialise(self, weights: str) -> None:
        """Begin with weights that a network was shipped with; see
        :func:`pipeline.weights.load_initial`.
        """
        load_initial(self.objective, weights)
        if self._averaged is not None:
            self._averaged.restore(dict(self._network.named_parameters()))

    def begin(self) -> None:
        """Join the workers together, once the first one has the weights to begin with."""
        tensors = [*self._network.parameters(), *self._network.buffers()]
        means = list(self._averaged.state.values()) if self._averaged is not None else []
        self._team.from_first_in_place([tensor.detach() for tensor in tensors] + means)
        if self._team.size > 1:
            self._wrapped = DistributedDataParallel(self._network)

    def update(self, step: int, read: Callable[[], Batch]) -> dict[str, float]:
        """Update ``step`` (from 0) on this worker's part of the batch.

        Args:
            read: gives that part.

        Returns:
            loss, its parts (of this worker alone), learning rate and length of the gradient.

        Raises:
            NotFiniteError: see there.
            BracketflowError: what ``read`` raised on any worker, or ``recipe-invalid``.
            StrandedError: this worker has not enough memory, and the others cannot be told.
        """
        batch = self._read(read)
        seed = np.random.SeedSequence([self._settings.seed, step, self._team.rank])
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        self._optimizer.zero_grad(set_to_none=True)
        found, loss = self._forward(batch)
        rate = learning_rate(self._settings, step)
        self._backward(found.loss)
        norm = float(
            nn.utils.clip_grad_norm_(
                self._network.parameters(), self._settings.clip_norm or math.inf
            )
        )
        if not math.isfinite(norm):  # the same on every worker, as the gradients are
            raise NotFiniteError(f"the gradient's length is {norm}")
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        if self._averaged is not None:
            self._averaged.update(step)
        parts = {name: float(value) for name, value in found.parts.items()}
        return {"loss": loss, **parts, "lr": rate, "gradient_norm": norm}

    def _read(self, read: Callable[[], Batch]) -> Batch:
        error: BracketflowError | None = None
        batch: Batch = {}
        try:
            with gpu_memory():
                batch = {name: tensor.to(self._team.device) for name, tensor in read().items()}
        except BracketflowError as trouble:
            error = trouble
        # Before anything that workers do together: nobody must wait for one that has given up.
        if any(self._team.mean([float(error is not None)])):
            self._team.agree(error)
        return batch

    def _forward(self, batch: Batch) -> tuple[Step, float]:
        """The step, and the mean loss of all workers, who learn here who of them has none."""
        error: BracketflowError | None = None
        found: Step | None = None
        try:
            found = self._step(batch)
        except BracketflowError as trouble:
            error = trouble
        failed, mean = self._team.mean(
            [float(error is not None), float(found.loss.detach()) if found else 0.0]
        )
        if failed:
            self._team.agree(error)
        assert found is not None
        if not math.isfinite(mean):
            raise NotFiniteError(f"the loss is {mean}")
        return found, mean

    def _backward(self, loss: torch.Tensor) -> None:
        try:
            with gpu_memory():
                loss.backward()  # type: ignore[no-untyped-call]
        except BracketflowError as error:
            if self._team.size == 1:
                raise
            # The others wait for this worker's gradients: only its death ends that.
            raise StrandedError(error.message) from error

    def _step(self, batch: Batch) -> Step:
        device = self._team.device.type
        autocast = (
            torch.autocast(device, torch.bfloat16)
            if self._settings.precision == "bf16"
            else nullcontext()
        )
        self.objective.network = self._wrapped
        try:
            with gpu_memory(), autocast:
                return self.objective.step(batch)
        finally:
            self.objective.network = self._network

    @contextmanager
    def evaluating(self, *, alone: bool = False) -> Iterator[None]:
        """The weights that ship in the place of those in training, for evaluation.

        Args:
            alone: not all workers are here.
        """
        if not alone:  # each worker has its own running means of batch normalisation
            self._team.from_first_in_place(list(self._network.buffers()))
        self._network.eval()
        try:
            with self._averaged.in_place() if self._averaged is not None else nullcontext():
                yield
        finally:
            self._network.train()

    def state(self) -> dict[str, Any]:
        """``network``, ``optimizer`` and ``averaged`` of a checkpoint."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "averaged": self._averaged.state if self._averaged is not None else {},
        }

    def restore(
        self,
        network: dict[str, torch.Tensor],
        optimizer: dict[str, Any],
        averaged: dict[str, torch.Tensor],
    ) -> None:
        """Go on from the state of a checkpoint."""
        self._network.load_state_dict(network)
        self._optimizer.load_state_dict(optimizer)
        if self._averaged is not None:
            self._averaged.restore(averaged)
