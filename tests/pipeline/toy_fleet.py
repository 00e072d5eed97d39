# SPDX-License-Identifier: Apache-2.0
"""Jobs and visitors for tests of the fleet: next to no work, all kinds of trouble."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.errors import InfrastructureError, UsageError
from pipeline.report.schema import make_row

__all__ = ["ToyJob", "ToyRecipe", "ToyVisitor"]


@dataclass(frozen=True)
class ToyJob:
    """``deed`` is what the visitor does with it."""

    name: str
    deed: str = "row"

    def failed(self, *, run_id, worker, error):
        return make_row(
            bracket_id=self.name,
            run_id=run_id,
            worker=worker,
            status="quarantined",
            error_code=error.code,
        )


@dataclass(frozen=True)
class ToyVisitor:
    worker: str
    destination: str

    def visit(self, job):
        if job.deed == "die":
            os._exit(1)
        if job.deed == "die later":
            threading.Timer(0.5, os._exit, [1]).start()
        if job.deed == "disk":
            raise InfrastructureError("disk-full", "no space left")
        if job.deed == "storage" or (job.deed == "flaky" and self._first_time(job)):
            raise InfrastructureError("storage-failed", "no answer")
        if job.deed == "at hand":
            self._first_time(job)
            time.sleep(0.5)
        if job.deed == "stuck" or (job.deed == "stuck once" and self._first_time(job)):
            time.sleep(3600)
        if job.deed == "glutton":
            _eat()
        facts = {"threads": str(torch.get_num_threads()), "pid": str(os.getpid())}
        if torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES"):
            facts["gpu"] = os.environ["CUDA_VISIBLE_DEVICES"]
        return make_row(
            bracket_id=job.name, run_id="r", worker=self.worker, status="fused", versions=facts
        )

    def _first_time(self, job) -> bool:
        mark = Path(self.destination) / f"seen {job.name}"
        if mark.exists():
            return False
        mark.touch()
        return True


def _eat() -> None:
    """Take memory bit by bit, up to what any machine can give."""
    held = []
    for _ in range(300):
        held.append(os.urandom(2**20) * 10)
        time.sleep(0.01)


@dataclass(frozen=True)
class ToyRecipe:
    destination: str
    run_id: str = "r"
    trouble: str = ""

    def build(self, *, device, worker, intend):
        if self.trouble and worker != "worker000":
            raise UsageError(self.trouble, "no such weights")
        return ToyVisitor(worker, self.destination)
