# SPDX-License-Identifier: Apache-2.0
"""The one training loop, as each of its workers runs it. It knows an objective, and no Ray.

Every step seeds torch by (seed, step, rank) and every batch is fixed by (seed, step), so that a
run that was killed and goes on from a checkpoint ends where it would have ended anyway.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing

import torch

from model.objectives import Batch
from pipeline import storage
from pipeline.checkpoints import Checkpoint
from pipeline.errors import BracketflowError, UsageError
from pipeline.gpu_memory import gpu_memory
from pipeline.learner import Learner, NotFiniteError
from pipeline.training_job import Batches, Ended, Job, Listener
from pipeline.training_log import TrainingLog
from pipeline.training_team import Team
from pipeline.validation import read_ahead, validate
from pipeline.weights import TrainingFacts, is_published, publish

__all__ = ["BAD_BATCH", "run_loop"]

BAD_BATCH = "bad-batch.json"
_LOG_EVERY = 10
_TELL_EVERY_S = 1.0


def run_loop(job: Job, team: Team, batches: Batches, listener: Listener) -> Ended:
    """Train until the steps are done or the patience is at its end.

    Errors of our own come back in the result, on every worker: raised, they would be taken for a
    worker's death, and tried again.
    """
    ended = Ended()
    try:
        _Loop(job, team, listener, ended).run(batches)
    except BracketflowError as error:
        ended.error = error
    return ended


class _Loop:
    def __init__(self, job: Job, team: Team, listener: Listener, ended: Ended) -> None:
        self._job = job
        self._settings = job.recipe.training
        self._team = team
        self._listener = listener
        self._ended = ended
        cuda = team.device.type == "cuda"
        ended.device = torch.cuda.get_device_name(team.device) if cuda else "CPU"
        self._learner = Learner(job.objective, self._settings, team)
        self._stale = 0
        self._best_before: int | None = None
        self._best_lost = False
        self._began = time.perf_counter()
        self._told = -math.inf
        self._sums: dict[str, list[float]] = {}

    def run(self, batches: Batches) -> None:
        """See :func:`run_loop`."""
        steps, every = self._settings.steps, self._settings.validate_every
        start = self._resume()
        self._learner.begin()
        log = (
            TrainingLog(self._job.out, step=self._ended.resumed_from, note=self._note)
            if self._first
            else None
        )
        try:
            if self._ended.resumed_from is None or self._best_lost:
                self._validate(log)
            with closing(batches(start, steps)) as stream:
                while self._ended.step < steps and not self._out_of_patience:
                    self._update(stream)
                    last = self._ended.step == steps
                    if self._ended.step % every == 0 or last:
                        self._log_training(log)
                        self._validate(log)
                    elif self._ended.step % _LOG_EVERY == 0:
                        self._log_training(log)
        finally:
            if log is not None:
                log.close()
        self._ended.stopped = "patience" if self._ended.step < steps else "steps"
        self._ended.seconds = self._seconds()

    @property
    def _first(self) -> bool:
        return self._team.rank == 0

    @property
    def _out_of_patience(self) -> bool:
        return 0 < self._settings.patience <= self._stale

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _note(self, text: str) -> None:
        self._ended.notes.append(text)

    def _on_first(self, act: Callable[[], None]) -> None:
        """Do something on the first worker; its trouble is everybody's."""
        error: BracketflowError | None = None
        if self._first:
            try:
                act()
            except BracketflowError as trouble:
                error = trouble
        self._team.agree(error)

    def _resume(self) -> int:
        """Go on from the newest checkpoint, or begin; returns the steps done."""
        found: list[Checkpoint] = []

        def look() -> None:
            newest = self._job.store.newest_of(self._job.identity, self._note)
            found.extend([newest] if newest else [])

        self._on_first(look)
        checkpoint = next(iter(self._team.from_first(found)), None)
        if checkpoint is None:
            if self._job.init:
                self._on_first(lambda: self._learner.initialise(self._job.init))
            return 0
        self._ended.best, self._ended.best_step = checkpoint.best, checkpoint.best_step
        standing: list[bool] = []
        self._on_first(lambda: standing.append(self._mend_weights()))
        (stands,) = self._team.from_first(standing)
        if not stands:
            self._ended.best, self._best_lost = {}, True
        self._best_before = checkpoint.best_step
        self._learner.restore(checkpoint.network, checkpoint.optimizer, checkpoint.averaged)
        self._stale = checkpoint.stale
        self._began -= checkpoint.seconds
        self._ended.step = self._ended.resumed_from = checkpoint.step
        return checkpoint.step

    def _mend_weights(self) -> bool:
        """Publish the best weights, should a run have died before it did; False: they are lost."""
        step = self._ended.best_step
        if is_published(self._job.out, step):
            return True
        try:
            best = self._job.store.load(step)
        except ValueError as error:
            self._note(
                f"The best weights so far, of step {step}, are lost: they are not in "
                f"{self._job.out}, and their checkpoint cannot be used ({error}). The best are "
                "looked for anew from here on."
            )
            return False
        self._learner.restore(best.network, best.optimizer, best.averaged)
        self._publish(best.seconds)
        return True

    def _update(self, stream: Generator[Batch, None, None]) -> None:
        step = self._ended.step
        try:
            figures = self._learner.update(step, lambda: next(stream))
        except NotFiniteError as error:
            why = str(error)
            self._on_first(lambda: self._save_bad_batch(step, why))
            raise UsageError(
                "loss-not-finite",
                f"Training stopped in step {step}: {why}. The patches of that batch are named "
                f"in {storage.join(self._job.out, BAD_BATCH)}; the last checkpoint is untouched. "
                "Lower training.lr or training.clip_norm, or train in float32.",
            ) from error
        for name, value in figures.items():
            self._sums.setdefault(name, []).append(value)
        self._ended.step = step + 1
        now = time.monotonic()
        due = now - self._told >= _TELL_EVERY_S or self._ended.step == self._settings.steps
        if self._first and due:
            self._told = now
            self._listener.step(step + 1, loss=figures["loss"], lr=figures["lr"])

    def _save_bad_batch(self, step: int, why: str) -> None:
        (plan,) = self._job.source.plans(step, step + 1)
        facts = {"step": step, "why": why, "frames": plan.frames, "keys": plan.keys}
        text = json.dumps(facts, indent=2)
        storage.write_atomic(storage.join(self._job.out, BAD_BATCH), text.encode("utf-8"))

    def _log_training(self, log: TrainingLog | None) -> None:
        means = self._team.mean([sum(values) / len(values) for values in self._sums.values()])
        figures = dict(zip(self._sums, means, strict=True))
        self._sums.clear()
        if log is not None:
            log.add(self._ended.step, "train", figures, self._seconds())

    def _validate(self, log: TrainingLog | None) -> None:
        """Validate, write everything down, and keep a checkpoint and the best weights."""
        objective, job = self._learner.objective, self._job
        plans, crop_px, fields = job.validation, job.source.crop_px, job.validation_fields
        sheets: list[torch.Tensor] = []

        def draw() -> None:
            (batch,) = read_ahead(plans[:1], self._team.device, crop_px=crop_px, fields=fields)
            with gpu_memory():
                sheets.append(objective.picture(batch))

        with self._learner.evaluating():
            figures = validate(objective, plans, self._team, crop_px=crop_px, fields=fields)
            self._on_first(draw)
        best = self._ended.best.get(objective.headline, math.nan)
        better = math.isnan(best) or figures[objective.headline] > best
        self._stale = 0 if better else self._stale + 1
        if better:
            self._ended.best, self._ended.best_step = figures, self._ended.step

        def keep() -> None:
            assert log is not None
            log.add(self._ended.step, "validation", figures, self._seconds())
            log.picture(self._ended.step, *sheets)
            log.write()
            self._job.store.save(self._checkpoint(), best_before=self._best_before)
            self._best_before = self._ended.best_step
            if better:
                self._publish(self._seconds())
            self._listener.validated(self._ended.step, figures)

        self._on_first(keep)
        self._listener.reported({"step": self._ended.step, **figures})

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            identity=self._job.identity,
            step=self._ended.step,
            seconds=self._seconds(),
            best=self._ended.best,
            best_step=self._ended.best_step,
            stale=self._stale,
            **self._learner.state(),
        )

    def _publish(self, seconds: float) -> None:
        facts = TrainingFacts(
            step=self._ended.best_step,
            seconds=seconds,
            device=self._ended.device,
            workers=self._team.size,
            patches=len(self._job.source.refs),
            scores=self._ended.best,
        )
        with self._learner.evaluating(alone=True):
            publish(self._job.out, self._learner.objective, self._job.recipe, facts)
