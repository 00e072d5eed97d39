# SPDX-License-Identifier: Apache-2.0
"""Figures of an objective over the validation patches, shared out between workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from model.objectives import Batch, Objective
from pipeline.batches import BatchPlan, read_validation_batch
from pipeline.errors import BracketflowError
from pipeline.gpu_memory import gpu_memory
from pipeline.prefetch import one_ahead
from pipeline.training_team import Team

__all__ = ["read_ahead", "validate"]


def validate(
    objective: Objective,
    plans: Sequence[BatchPlan],
    team: Team,
    *,
    crop_px: int | None,
    fields: tuple[str, ...] = (),
) -> dict[str, float]:
    """The mean of every figure over all patches, the same whatever the number of workers.

    Raises:
        BracketflowError: a batch cannot be read, or needs too much memory, on any worker.
    """
    mine = plans[team.rank :: team.size]
    figures: dict[int, dict[str, list[float]]] = {}
    error: BracketflowError | None = None
    try:
        batches = read_ahead(mine, team.device, crop_px=crop_px, fields=fields)
        with gpu_memory(), torch.no_grad():
            for plan, batch in zip(mine, batches, strict=True):
                found = objective.evaluate(batch)
                figures[plan.step] = {name: values.tolist() for name, values in found.items()}
    except BracketflowError as trouble:
        error = trouble
    team.agree(error)
    everything = {step: part for share in team.gather(figures) for step, part in share.items()}
    names = everything[min(everything)]
    return {
        name: float(
            np.mean(np.concatenate([everything[step][name] for step in sorted(everything)]))
        )
        for name in names
    }


def read_ahead(
    plans: Sequence[BatchPlan],
    device: torch.device,
    *,
    crop_px: int | None,
    fields: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """The batches of ``plans``; each is read while the one before it is worked on."""

    def read(plan: BatchPlan) -> Batch:
        batch = read_validation_batch(plan, crop_px=crop_px, fields=fields)
        return {name: torch.from_numpy(array).to(device) for name, array in batch.items()}

    return one_ahead(map(read, plans))
