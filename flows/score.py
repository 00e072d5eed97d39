# SPDX-License-Identifier: Apache-2.0
"""The score flow: brackets and anybody's results in, a report out."""

from __future__ import annotations

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.ends import ended
from flows.progress import FuseProgress
from pipeline import storage
from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.fleet import open_fleet
from pipeline.ledger import Ledger
from pipeline.lock import hold
from pipeline.pool import PoolOptions
from pipeline.runs import Counts, Outcome, publish
from pipeline.score_results import (
    ScoreRun,
    check_score_destination,
    find_results,
    plan_scores,
)
from pipeline.settings import AlignMode

__all__ = ["score_results"]


@task(name="score", cache_policy=NO_CACHE, persist_result=False)
def score_step(run: ScoreRun, options: ScanOptions, pool: PoolOptions) -> Counts:
    """Match results with brackets and score them on Ray actors."""
    brackets = find_brackets(run.source, options).brackets
    jobs, settled = plan_scores(brackets, find_results(run.results), run_id=run.run_id)
    counts = Counts(found=len(brackets))
    with Ledger(run.destination, run.run_id, "plan") as ledger:
        for row in settled:
            ledger.append(row)
            counts.add(row["status"], row)
    if jobs:
        with (
            open_fleet(run.recipe, pool) as fleet,
            FuseProgress(len(jobs), log=get_run_logger().info, what="scoring") as progress,
        ):
            for row in fleet.run(jobs):
                counts.add(row["status"], row)
                progress.advance(failed=row["status"] == "quarantined")
    return counts


@flow(name="score", persist_result=False)
def score_results(
    source: str,
    results: str,
    destination: str,
    align: AlignMode = "auto",
    options: ScanOptions = ScanOptions(),
    pool: PoolOptions = PoolOptions(),
) -> Outcome:
    """Score fused photographs that any tool made.

    Args:
        source: folder or URI of the brackets, or a catalog or list of them.
        results: folder with the results; found by folder and name.
        destination: where ``report/`` goes.
        align: register the frames as ``fuse`` does, or take them as they are.
        options: how to scan.
        pool: how much of the Ray cluster to use.

    Raises:
        UsageError: bad options, or nothing to work on.
        LockedError: another run is writing to the destination.
        InfrastructureError: Ray, disk or network failed.
    """
    check_score_destination(storage.absolute(source), storage.absolute(destination))
    run = ScoreRun(
        source=storage.absolute(source),
        results=storage.absolute(results),
        destination=storage.absolute(destination),
        align=align,
    )
    with hold(run.destination, run_id=run.run_id) as lease:
        counts = score_step(run, options, pool)
        lease.check()
        return ended(publish(run, counts))
