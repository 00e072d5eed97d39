# SPDX-License-Identifier: Apache-2.0
"""A training small enough for tests: a few patches, and a network of one convolution."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model.objectives import Step
from pipeline.augment import AugmentSettings
from pipeline.batches import BatchSource, read_training_batch, validation_plans
from pipeline.checkpoints import Identity
from pipeline.errors import InfrastructureError
from pipeline.patches import Patch, open_patches, patches_path, write_patches
from pipeline.recipe import DataSettings, Recipe, TrainingSettings
from pipeline.sharding.split_table import write_split
from pipeline.training_job import Ended, Job
from pipeline.training_loop import run_loop
from pipeline.training_team import Team

PATCH_PX = 12


def make_shards(folder: Path, *, train: int = 5, counts: tuple[int, ...] = (2, 3)) -> str:
    """Shards of ``train`` brackets to train on and two to validate with, three patches each."""
    rng = np.random.default_rng(7)
    rows = []
    for number in range(train + 2):
        split = "train" if number < train else "validation"
        bracket = f"{number:04x}"
        count = counts[number % len(counts)]
        patches = []
        for index in range(3):
            frames = rng.integers(0, 256, (count, 3, PATCH_PX, PATCH_PX)).astype(np.uint8)
            patches.append(
                Patch(bracket_id=bracket, scene=bracket, index=index, top=0, left=0, frames=frames)
            )
        write_patches(patches, str(folder / patches_path(split, bracket)))
        rows.append({"scene": bracket, "bracket_id": bracket, "split": split, "reason": "test"})
    write_split(str(folder), rows)
    return str(folder)


def tiny_recipe(**training: Any) -> Recipe:
    """Twelve steps of four patches, validated every five."""
    settings = {"steps": 12, "batch": 4, "lr": 0.02, "validate_every": 5, "ema": 0.9} | training
    return Recipe(
        name="tiny",
        summary="a test",
        network={"name": "tiny"},
        loss={"name": "tiny"},
        training=TrainingSettings(**settings),
        data=DataSettings(frames=(2, 3)),
        augment=AugmentSettings(noise_probability=0.5),
    )


@dataclass(frozen=True)
class Faults:
    """What goes wrong, when, and a file that says that it has been so already."""

    kill: int = 0
    """Kill a process in this call of ``step``, once for the file; ``pid`` or the worker itself."""
    pid: int = 0
    once: str = ""
    nan: int = 0
    """The loss is no number in this call of ``step``, counted by each objective."""


class TinyObjective:
    """Learns to give the brightest frame; no batch normalisation, and noise in every step."""

    headline = "closeness"
    frames = (2, None)
    least_px = 1
    needs = ()

    def __init__(self, faults: Faults) -> None:
        self.network: nn.Module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1)
        )
        self._faults = faults
        self._calls = 0

    def step(self, batch):
        self._calls += 1
        if self._calls == self._faults.kill and not Path(self._faults.once).exists():
            Path(self._faults.once).write_text("done")
            os.kill(self._faults.pid or os.getpid(), signal.SIGKILL)
            time.sleep(600)  # until Ray notices that its driver is gone
        fused, target = self._fuse(batch)
        loss = (fused - target).square().mean()
        if self._calls == self._faults.nan:
            loss = loss * float("nan")
        return Step(loss, {"error": loss.detach()})

    def evaluate(self, batch):
        fused, target = self._fuse(batch)
        return {self.headline: -(fused - target).square().mean((1, 2, 3))}

    def picture(self, batch):
        return self._fuse(batch)[0][0]

    def export(self):
        state = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        return state, {"network": "tiny", "options": {"channels": 4}}

    def _fuse(self, batch):
        frames = batch["frames"]
        return self.network(frames.mean(1)), frames.amax(1)


def tiny_objective(faults: Faults | None = None) -> Callable[[], TinyObjective]:
    """Makes objectives, in any process."""
    return partial(TinyObjective, faults or Faults())


class Heard:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.figures: dict[int, dict[str, float]] = {}

    def step(self, step, *, loss, lr):
        self.steps.append(step)

    def validated(self, step, figures):
        self.figures[step] = figures

    def reported(self, figures):
        pass


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


ALONE = Team(0, 1, torch.device("cpu"))


@dataclass
class Bench:
    """Runs the loop over one set of shards."""

    shards: str
    folder: Path

    def job(self, out: str, faults: Faults | None = None, init: str = "", **training) -> Job:
        recipe = tiny_recipe(**training)
        refs = open_patches(self.shards, "train")
        settings = recipe.training
        return Job(
            recipe=recipe,
            objective=tiny_objective(faults),
            source=BatchSource(
                refs=refs,
                frames=recipe.data.frames,
                batch=settings.batch,
                seed=settings.seed,
                settings=recipe.augment,
            ),
            validation=validation_plans(
                open_patches(self.shards, "validation"),
                frames=recipe.data.frames,
                batch=settings.batch,
                most=settings.validation_patches,
            ),
            identity=Identity(network={"network": "tiny"}, recipe=recipe.decisive, patches=""),
            out=str(self.folder / out),
            init=init,
        )

    def run(self, job: Job, *, until: int | None = None, heard: Heard | None = None) -> Ended:
        """Train; ``until``: the data ends with an error at that step, as a crash would."""

        def batches(start, stop):
            for plan in job.source.plans(start, stop):
                if plan.step == until:
                    raise InfrastructureError("storage-failed", "gone")
                batch = read_training_batch(job.source, plan)
                yield {name: torch.from_numpy(array) for name, array in batch.items()}

        return run_loop(job, ALONE, batches, heard or Heard())


def last_state(job: Job) -> dict[str, torch.Tensor]:
    checkpoint = job.store.newest(lambda _: None)
    assert checkpoint is not None
    return {**checkpoint.network, **{f"mean {n}": v for n, v in checkpoint.averaged.items()}}
