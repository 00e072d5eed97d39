# SPDX-License-Identifier: Apache-2.0
"""The shard flow: an archive in, patches to train on out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.ends import ended
from flows.progress import CompareProgress, FuseProgress, run_log
from flows.scan import catalog_step
from pipeline import storage
from pipeline.archive.scan import ScanOptions
from pipeline.chunks import work_chunk
from pipeline.fleet import Fleet, open_fleet
from pipeline.ledger import Ledger
from pipeline.lock import hold
from pipeline.planning import Settled
from pipeline.pool import PoolOptions
from pipeline.pseudo_labels import check_stage_one
from pipeline.runs import Counts, Outcome, publish
from pipeline.sharding.planning import (
    ShardPlan,
    ShardRun,
    check_shards,
    finish_shards,
    make_shard_plan,
)
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.split_table import withdraw_split
from pipeline.sharding.visiting import ShardJob
from pipeline.sharding.without import look_at_all
from pipeline.work_options import WorkOptions

__all__ = ["shard_archive"]

_CHUNK = 2000  # brackets per Prefect task: few tasks, bounded driver memory


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def plan_step(run: ShardRun, options: ScanOptions) -> ShardPlan:
    """Split by scene, and leave out the scenes that must not occur."""
    with CompareProgress() as progress:
        known = look_at_all(run.without, options, progress=progress)
        plan = make_shard_plan(run, known, progress=progress)
    if (compared := plan.run.compared) is not None:
        run_log()(
            f"{compared.scenes} scenes of {', '.join(run.without)} were looked at"
            + (f", {compared.dull} of them too dull to be known again" if compared.dull else "")
            + f"; {compared.left_out} scenes of {run.source} occur there and are left out"
        )
    return plan


@task(name="cut", task_run_name="cut-chunk-{number}", cache_policy=NO_CACHE, persist_result=False)
def cut_step(
    number: int,
    fleet: Fleet | None,
    ledger: Ledger,
    chunk: tuple[ShardJob | Settled, ...],
    counts: Counts,
    progress: FuseProgress,
) -> None:
    """Cut one chunk on the fleet."""
    work_chunk(fleet, ledger, chunk, counts, progress.add)


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_step(plan: ShardPlan, counts: Counts) -> Outcome:
    """Write the split, check the counts, write the manifest."""
    counts.check()
    finish_shards(plan)
    return publish(plan.run, counts)


@flow(name="shard", flow_run_name="shard-{source}", persist_result=False)
def shard_archive(
    source: str,
    shards: str,
    settings: ShardSettings = ShardSettings(),
    options: ScanOptions = ScanOptions(),
    pool: PoolOptions = PoolOptions(),
    without: tuple[str, ...] = (),
    work: WorkOptions = WorkOptions(),
    stage_one: str | None = None,
) -> Outcome:
    """Cut every bracket of an archive into patches.

    Args:
        source: folder or URI of the archive, or a catalog or list of brackets.
        shards: folder or URI for ``patches/``, ``split.parquet``, ``report/`` and ``catalog/``.
            It holds the patches of one source; of several, shard the folder above, or a list.
        settings: which patches; part of their key.
        options: how to scan; ``layout`` is the source's, ``without`` finds out its own.
        pool: how much of the Ray cluster to use; cutting takes CPUs alone.
        without: archives, catalogs or lists whose scenes must not occur, decided by image
            content: brackets found there are skipped, and a note of their row says so. Single
            photographs are looked at as well. The manifest says how many scenes it were.
        work: what is done again; nothing is pruned.
        stage_one: weights of a first stage, which makes structure labels out of frames that were
            followed (``settings.aligned``); see ``pipeline.pseudo_labels``.

    Returns:
        what became of the brackets; those that were cut are counted as ``fused``.

    Raises:
        UsageError: bad options, nothing to work on, ``dataset-too-small``, or
            ``without-invalid``: nobody knows what something of ``without`` shows.
        LockedError: another run is writing to the shards.
        InfrastructureError: Ray, disk or network failed, or the counts do not add up.
    """
    run = ShardRun(
        source=storage.absolute(source),
        destination=storage.absolute(shards),
        settings=settings,
        without=tuple(storage.absolute(uri) for uri in without),
        work=work,
        stage_one=None if stage_one is None else check_stage_one(stage_one, settings),
    )
    check_shards(run.source, run.destination)
    with hold(run.destination, run_id=run.run_id) as lease:
        catalog_step(
            run.source, run.catalog_uri, options, skip=run.destination, workers=pool.workers
        )
        plan = plan_step(run, options)
        counts = Counts(found=plan.found)
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger(run.destination, run.run_id, "plan"))
            progress = stack.enter_context(
                FuseProgress(plan.found, log=get_run_logger().info, what="sharding")
            )
            fleet: Fleet | None = None
            for number, chunk in enumerate(plan.chunks(_CHUNK)):
                lease.check()
                if fleet is None and any(isinstance(decision, ShardJob) for decision in chunk):
                    # From here on files change: what the last split says of them holds no more.
                    withdraw_split(run.destination)
                    fleet = stack.enter_context(open_fleet(run.recipe, replace(pool, device="cpu")))
                cut_step(number, fleet, ledger, chunk, counts, progress)
        lease.check()
        return ended(publish_step(plan, counts))
