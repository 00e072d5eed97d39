# SPDX-License-Identifier: Apache-2.0
"""The flows for schedules: the nightly increment, the weekly check, the monthly retraining.

Each calls the flow of the same work and adds what a night without anybody needs: it tries again
where the infrastructure failed or another run holds the destination, and its end says in one word
how it went. Photographs that fail are never tried again here: they are rows of the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from typing import TypeVar

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.ends import ended, verified
from flows.fuse import fuse_archive
from flows.shard import shard_archive
from flows.train import train_model
from flows.verify import verify_archive
from pipeline import storage
from pipeline.archive.scan import ScanOptions
from pipeline.errors import InfrastructureError, LockedError
from pipeline.pool import Device, PoolOptions
from pipeline.recipe import load_recipe
from pipeline.runs import FailureBudget, Outcome
from pipeline.settings import FuseSettings
from pipeline.training import TrainOutcome
from pipeline.verifying.verify import Verdict
from pipeline.work_options import WorkOptions

__all__ = ["fuse_nightly", "retrain_monthly", "verify_weekly"]

Done = TypeVar("Done")


@flow(name="nightly", flow_run_name="nightly-{destination}", persist_result=False)
def fuse_nightly(
    source: str,
    destination: str,
    settings: FuseSettings = FuseSettings(),
    options: ScanOptions = ScanOptions(settle_s=600.0),
    pool: PoolOptions = PoolOptions(),
    work: WorkOptions = WorkOptions(),
    max_failures: str = "10%",
    attempts: int = 3,
    wait_s: float = 120.0,
) -> Outcome:
    """Fuse what is new or changed in an archive since the last run.

    Args:
        source: folder or URI of the archive, or a catalog or list of brackets.
        destination: folder or URI for ``results/``, ``report/``, ``previews/`` and ``catalog/``.
        settings: how a result is made; part of its key.
        options: how to scan; folders that changed in the last ten minutes wait for the next run.
        pool: how much of the Ray cluster to use.
        work: what is done again, and what is removed.
        max_failures: share of brackets that may fail before the run is Failed, as ``10%``.
        attempts: how often to try where Ray, disk or network fail, or another run is at work.
        wait_s: how long to wait before the second try; twice as long before each one after it.

    Raises:
        UsageError: bad options, or nothing to work on.
        LockedError: another run is still writing to the destination.
        InfrastructureError: Ray, disk or network failed each time.
    """
    budget = FailureBudget.parse(max_failures)
    outcome = _tried(
        lambda: fuse_archive(source, destination, settings, options, pool, work), attempts, wait_s
    )
    return ended(outcome, budget)


@flow(name="weekly", flow_run_name="weekly-{destination}", persist_result=False)
def verify_weekly(
    destination: str,
    deep: bool = False,
    repair: bool = False,
    out: str | None = None,
    attempts: int = 3,
    wait_s: float = 120.0,
) -> Verdict:
    """Check every row of a destination against its file; Failed if something needs somebody.

    Args:
        destination: folder or URI that ``fuse`` or ``shard`` wrote to.
        deep: decode every result whole; by default its hash and its header are checked.
        repair: set damaged files aside, so that the next run makes them again.
        out: URI of a Parquet file for all findings.
        attempts: how often to try where disk or network fail, or another run is at work.
        wait_s: how long to wait before the second try; twice as long before each one after it.

    Raises:
        UsageError: there is no such destination.
        LockedError: a run is still at work, and ``repair`` was asked for.
        InfrastructureError: disk or network failed each time.
    """
    verdict = _tried(lambda: verify_archive(destination, deep, repair, out), attempts, wait_s)
    return verified(verdict)


@flow(name="monthly", flow_run_name="monthly-{recipe}", persist_result=False)
def retrain_monthly(
    source: str,
    shards: str,
    out: str,
    recipe: str = "ufm",
    without: tuple[str, ...] = (),
    workers: int | None = None,
    device: Device = "auto",
    pool: PoolOptions = PoolOptions(),
    attempts: int = 3,
    wait_s: float = 120.0,
) -> TrainOutcome:
    """Cut what is new in an archive into patches, and train on all of them.

    The weights go to a folder of their own each month, below ``out``. The same month again goes on
    where it was, or does nothing. No run takes new weights by itself: look at their card, then
    name them in the nightly deployment's ``settings.model``.

    Args:
        source: folder or URI of the archive, or a catalog or list of brackets.
        shards: folder or URI of the patches; grows from month to month.
        out: local folder (of a disk that all nodes share) that gets ``YYYY-MM/``.
        recipe: name of a packaged recipe, or a path or URI that ends in ``.toml``.
        without: archives, catalogs or lists whose scenes must not occur.
        workers: training processes; None takes the recipe's number.
        device: where to train; ``auto`` takes GPUs where the cluster has some.
        pool: how much of the Ray cluster cutting may use.
        attempts: how often to try where Ray, disk or network fail, or another run is at work.
        wait_s: how long to wait before the second try; twice as long before each one after it.

    Raises:
        UsageError: recipe, shards or options are wrong, or the loss is no number.
        LockedError: another run is still at work there.
        InfrastructureError: Ray, disk or network failed each time.
    """
    cut = load_recipe(recipe).data.shard
    month = flow_run.scheduled_start_time.astimezone(UTC).strftime("%Y-%m")
    _tried(lambda: shard_archive(source, shards, cut, pool=pool, without=without), attempts, wait_s)
    return _tried(
        lambda: train_model(
            recipe, storage.join(out, month), (shards,), workers=workers, device=device
        ),
        attempts,
        wait_s,
    )


def _tried(step: Callable[[], Done], attempts: int, wait_s: float) -> Done:
    """Do it; again after a while where nobody's photograph or option is to blame."""
    for attempt in range(1, attempts):
        try:
            return step()
        except (InfrastructureError, LockedError) as error:
            pause = wait_s * 2 ** (attempt - 1)
            get_run_logger().warning(
                "Try %d of %d: [%s] %s Again in %.0f s.",
                attempt,
                attempts,
                error.code,
                error.message,
                pause,
            )
            time.sleep(pause)
    return step()
