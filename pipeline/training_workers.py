# SPDX-License-Identifier: Apache-2.0
"""The workers of a training, on Ray Train, and the news that come back from them."""

from __future__ import annotations

import contextlib
import shutil
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import ray
import ray.train
import ray.train.torch
import torch
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from pipeline import storage
from pipeline.errors import InfrastructureError
from pipeline.gpu_memory import StrandedError, too_large
from pipeline.runs import new_run_id
from pipeline.streaming import ReaderPlan, data_context, stream_batches
from pipeline.training_job import Ended, Job, Listener
from pipeline.training_loop import run_loop
from pipeline.training_plan import TrainingPlan
from pipeline.training_team import Team

__all__ = ["fit"]

_POLL_S = 0.3
_RAY_FOLDER = ".bracketflow-ray-"  # Ray Train's own notes; gone when the run ends


def fit(job: Job, plan: TrainingPlan, progress: Any, *, max_failures: int) -> Ended:
    """Run the training loop on the connected Ray, and make up for workers that die.

    Args:
        progress: see :class:`pipeline.training.Progress`.
        max_failures: how often workers may die.

    Raises:
        UsageError: ``recipe-invalid``, a worker died of a batch that is too large for it.
        InfrastructureError: ``ray-failed``.
    """
    mailbox: Any = ray.remote(_Mailbox).options(num_cpus=0, max_restarts=-1).remote()
    readers = ReaderPlan(
        readers=plan.readers_per_worker,
        cpus_per_reader=plan.cpus_per_reader,
        store_bytes=_store_bytes(plan.workers),
    )
    name = new_run_id()  # under an old name Ray would go on from its own checkpoints
    folder = storage.local_path(storage.join(job.out, _RAY_FOLDER + name))
    trainer = TorchTrainer(
        _work,  # type: ignore[arg-type]
        train_loop_config={"job": job, "plan": plan, "readers": readers, "mailbox": mailbox},
        torch_config=TorchConfig(backend="nccl" if plan.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=plan.workers,
            use_gpu=plan.gpu,
            resources_per_worker={"CPU": plan.cpus_per_worker} | ({"GPU": 1} if plan.gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(folder),
            failure_config=FailureConfig(max_failures=max_failures),
        ),
    )
    data_context()  # Ray Train asks for it, where its warnings would be errors
    # In a thread of its own, for in the main thread Ray would take over Ctrl-C, for good.
    fitting = _Fitting(trainer)
    fitting.thread.start()
    try:
        while fitting.thread.is_alive():
            fitting.thread.join(_POLL_S)
            _deliver(mailbox, progress)
        return fitting.result()
    finally:
        # Should this be an interrupt: workers end as soon as they have news for nobody.
        with contextlib.suppress(RayError):
            ray.kill(mailbox)
        shutil.rmtree(folder, ignore_errors=True)


def _store_bytes(workers: int) -> int:
    """Half of a worker's share of the object store of its node."""
    nodes = len([n for n in ray.nodes() if n["Alive"]])  # type: ignore[no-untyped-call]
    total = ray.cluster_resources().get("object_store_memory", 0.0)  # type: ignore[no-untyped-call]
    return int(total / max(workers, nodes, 1) / 2)


@dataclass
class _Fitting:
    trainer: TorchTrainer
    ended: Ended | None = None
    error: BaseException | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._fit, name="training", daemon=True)

    def _fit(self) -> None:
        try:
            self.ended = self.trainer.fit().return_value  # type: ignore[attr-defined]
        except BaseException as error:
            self.error = error

    def result(self) -> Ended:
        if self.ended is not None:
            return self.ended
        if self.error is None or isinstance(self.error, TrainingFailedError | RayError):
            if StrandedError.__name__ in str(self.error):  # it holds the workers' tracebacks
                raise too_large() from self.error
            lines = str(self.error).strip().splitlines()
            raise InfrastructureError(
                "ray-failed",
                f"Training gave up: {lines[-1] if lines else 'it was aborted'}. Run the same "
                "command again to go on from the last checkpoint.",
            ) from self.error
        raise self.error


class _Mailbox:
    """The actor between the first worker and the driver; outlives both kinds of worker."""

    def __init__(self) -> None:
        self._news: list[tuple[str, dict[str, Any]]] = []

    def put(self, kind: str, facts: dict[str, Any]) -> None:
        self._news.append((kind, facts))

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        news, self._news = self._news, []
        return news


def _deliver(mailbox: Any, progress: Any) -> None:
    with contextlib.suppress(RayError):
        for kind, facts in ray.get(mailbox.take.remote()):
            getattr(progress, kind)(**facts)


@dataclass(frozen=True)
class _Sender(Listener):
    mailbox: Any

    def step(self, step: int, *, loss: float, lr: float) -> None:
        self._send("step", step=step, loss=loss, lr=lr)

    def validated(self, step: int, figures: dict[str, float]) -> None:
        self._send("validated", step=step, figures=figures)

    def reported(self, figures: dict[str, float]) -> None:
        ray.train.report(figures)

    def _send(self, kind: str, **facts: Any) -> None:
        ray.get(self.mailbox.put.remote(kind, facts))


def _work(config: dict[str, Any]) -> Ended:
    """What Ray Train runs in each worker."""
    job, plan = config["job"], config["plan"]
    torch.set_num_threads(plan.threads_per_worker)
    cv2.setNumThreads(1)
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    team = Team.joined(device)
    batches = partial(
        stream_batches, job.source, rank=team.rank, size=team.size, plan=config["readers"]
    )
    return run_loop(job, team, batches, _Sender(config["mailbox"]))
