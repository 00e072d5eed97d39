# SPDX-License-Identifier: Apache-2.0
"""Training on Ray: a recipe and shards of patches in, weights, a curve and checkpoints out.

Below the run's folder::

    checkpoints/step-XXXXXXXX.pt   the last two and the best; a run goes on from the newest
    curve.parquet                  step, split, name, value, seconds
    tensorboard/                   the same, for TensorBoard
    pictures/step-XXXXXXXX.png     frames, fusions and weights of a few validation patches
    weights.safetensors            of the best validation, and card.json, the draft of their card
    bad-batch.json                 the patches of a step whose loss was no number
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch

from model.objectives import Objective
from pipeline import storage
from pipeline.batches import BatchSource, validation_plans
from pipeline.checkpoints import Identity
from pipeline.cluster import connect
from pipeline.light_batches import check_patch, fields_of
from pipeline.patches import PatchRef, open_patches, read_patch
from pipeline.pool import Device
from pipeline.recipe import Recipe
from pipeline.recipe_model import check_px, objective_of
from pipeline.settings import hash_of
from pipeline.sharding.contents import contents_sha256
from pipeline.sharding.split_table import check_one_split
from pipeline.training_folder import local_folder, take_training_folder
from pipeline.training_job import Job
from pipeline.training_plan import plan_training
from pipeline.training_workers import fit
from pipeline.weights import WEIGHTS, initial_sha256, load_initial

__all__ = ["Progress", "TrainOutcome", "TrainRun", "train"]

_STORE_BYTES = 2**30


class Progress(Protocol):
    """Is shown how a training goes."""

    def step(self, step: int, *, loss: float, lr: float) -> None:
        """``step`` steps are done; called at most once a second."""
        ...

    def validated(self, step: int, figures: dict[str, float]) -> None:
        """Means over the validation patches after ``step`` steps."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainRun:
    """What a training is asked to do.

    Args:
        recipe: everything that decides the result.
        shards: folders or URIs of patches; all of them together are trained on.
        out: the run's folder, local and shared by all nodes. What is there is gone on from.
        device: ``auto`` takes GPUs where the cluster has some.
        objective: makes the objective, in every worker; by default the recipe's.
        max_failures: how many deaths of workers are made up for before it is given up.
    """

    recipe: Recipe
    shards: tuple[str, ...]
    out: str
    device: Device = "auto"
    objective: Callable[[], Objective] | None = None
    max_failures: int = 3


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """What became of a training.

    ``best`` are the figures after ``best_step`` steps, which is what ``weights_path`` holds.
    ``seconds`` were spent in all, also by attempts before this one. ``resumed_from`` is the step
    of the checkpoint that was gone on from, or None. ``contents`` is the hash of the patches and
    ``init_sha256`` that of the weights it began with ("": none). ``notes`` tell of trouble on the
    way.
    """

    best: dict[str, float]
    best_step: int
    step: int
    stopped: Literal["steps", "patience"]
    seconds: float
    weights_path: str
    resumed_from: int | None
    device: str
    workers: int
    contents: str
    init_sha256: str
    notes: tuple[str, ...] = ()


def train(run: TrainRun, progress: Progress) -> TrainOutcome:
    """Train, or go on with a training that was stopped.

    Raises:
        UsageError: ``recipe-invalid``, ``shards-invalid``, ``checkpoint-invalid``,
            ``weights-invalid``, ``loss-not-finite``, ``option-invalid`` or
            ``destination-invalid``.
        InfrastructureError: ``disk-full``, ``storage-failed`` or ``ray-failed``.
    """
    settings = run.recipe.training
    job = _job(run)
    take_training_folder(job.out)
    job.store.newest_of(job.identity, note=lambda _: None)
    with connect(object_store_bytes=_STORE_BYTES) as resources:
        plan = plan_training(resources, workers=settings.workers, device=run.device)
        ended = fit(job, plan, progress, max_failures=run.max_failures)
    if ended.error is not None:
        raise ended.error
    return TrainOutcome(
        best=ended.best,
        best_step=ended.best_step,
        step=ended.step,
        stopped=ended.stopped,
        seconds=ended.seconds,
        weights_path=storage.join(job.out, WEIGHTS),
        resumed_from=ended.resumed_from,
        device=ended.device,
        workers=plan.workers,
        contents=job.identity.contents,
        init_sha256=job.identity.init,
        notes=tuple(ended.notes),
    )


def _job(run: TrainRun) -> Job:
    """Everything that can be wrong with what was asked for is found here, before Ray starts."""
    recipe, out = run.recipe, local_folder(run.out)
    training, data = recipe.training, recipe.data
    build = run.objective or partial(objective_of, recipe)
    init = training.init
    if init.endswith(".safetensors"):  # workers have another current folder
        init = storage.absolute(init)
    with torch.random.fork_rng(devices=[]):
        objective = build()
    if init:
        load_initial(objective, init)
    _, network = objective.export()
    shards = tuple(map(storage.absolute, run.shards))
    check_one_split(shards)
    refs, validation = (_open(shards, split) for split in ("train", "validation"))
    fields: tuple[str, ...] = ()
    for ref in (*refs[:1], *validation[:1]):
        patch = read_patch(ref)
        side = recipe.data.crop_px or patch.frames.shape[-1]
        check_px(objective, side, f"The patch {ref.key} of the shards")
        check_patch(patch, fields_of(objective.needs))
        fields = fields_of(objective.needs, measured_by=patch)
    return Job(
        recipe=recipe,
        objective=build,
        source=BatchSource(
            refs=refs,
            frames=data.frames,
            batch=training.batch,
            seed=training.seed,
            settings=recipe.augment,
            crop_px=data.crop_px,
            fields=fields_of(objective.needs),
        ),
        validation=validation_plans(
            validation,
            frames=data.frames,
            batch=training.batch,
            most=training.validation_patches,
        ),
        validation_fields=fields,
        identity=Identity(
            network=network,
            recipe=recipe.decisive,
            patches=hash_of([[ref.key for ref in refs], [ref.key for ref in validation]]),
            contents=contents_sha256(shards),
            init=initial_sha256(init),
        ),
        out=out,
        init=init,
    )


def _open(shards: tuple[str, ...], split: str) -> tuple[PatchRef, ...]:
    found = (ref for uri in shards for ref in open_patches(uri, split))
    return tuple(sorted(found, key=lambda ref: (ref.key, ref.uri)))
