# SPDX-License-Identifier: Apache-2.0
"""The main job: scan, plan, fuse on Ray actors, publish."""

from __future__ import annotations

from contextlib import ExitStack

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.progress import FuseProgress
from flows.scan import catalog_step
from pipeline import storage
from pipeline.archive.scan import ScanOptions
from pipeline.chunks import work_chunk
from pipeline.fleet import Fleet, open_fleet
from pipeline.fuse_run import FuseRun, Plan, make_plan
from pipeline.ledger import Ledger
from pipeline.lock import hold
from pipeline.models import find_model
from pipeline.planning import FuseJob, Settled, check_destination
from pipeline.pool import PoolOptions
from pipeline.retiring import retire
from pipeline.runs import Counts, Outcome, publish
from pipeline.settings import FuseSettings
from pipeline.work_options import WorkOptions

__all__ = ["fuse_archive"]

_CHUNK = 2000  # brackets to work on per Prefect task: few tasks, bounded driver memory


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def plan_step(run: FuseRun) -> Plan:
    """Decide what is new, what stands already and what is no bracket."""
    return make_plan(run)


@task(name="fuse", task_run_name="fuse-chunk-{number}", cache_policy=NO_CACHE, persist_result=False)
def fuse_step(
    number: int,
    fleet: Fleet | None,
    ledger: Ledger,
    chunk: tuple[FuseJob | Settled, ...],
    counts: Counts,
    progress: FuseProgress,
) -> None:
    """Fuse one chunk on the fleet."""
    work_chunk(fleet, ledger, chunk, counts, progress.add)


@task(name="retire", cache_policy=NO_CACHE, persist_result=False)
def retire_step(plan: Plan, counts: Counts) -> None:
    """Write down which brackets of earlier runs are gone, or another one took the place of."""
    retire(plan, counts)


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_step(run: FuseRun, counts: Counts) -> Outcome:
    """Check the counts, write the manifest and show a table in Prefect."""
    outcome = publish(run, counts)
    table = [{"what": name, "count": str(n)} for name, n in counts.as_dict().items() if n]
    mean = outcome.mean_mef_ssim
    table.append({"what": "mean MEF-SSIM", "count": "-" if mean is None else f"{mean:.4f}"})
    create_table_artifact(
        table=table, key="bracketflow-fuse", description=f"Run {run.run_id} to {run.destination}"
    )
    return outcome


@flow(name="fuse", flow_run_name="fuse-{source}", persist_result=False)
def fuse_archive(
    source: str,
    destination: str,
    settings: FuseSettings = FuseSettings(),
    options: ScanOptions = ScanOptions(),
    pool: PoolOptions = PoolOptions(),
    work: WorkOptions = WorkOptions(),
) -> Outcome:
    """Fuse every bracket of an archive and report how good each result is.

    Args:
        source: folder or URI of the archive, or a catalog or list of brackets.
        destination: folder or URI for ``results/``, ``report/``, ``previews/`` and ``catalog/``.
        settings: how a result is made; part of its key.
        options: how to scan.
        pool: how much of the Ray cluster to use.
        work: what is done again, and what is removed.

    Raises:
        UsageError: bad options, or nothing to work on.
        LockedError: another run is writing to the destination.
        InfrastructureError: Ray, disk or network failed, or the counts do not add up.
    """
    run = FuseRun(
        source=storage.absolute(source),
        destination=storage.absolute(destination),
        settings=settings,
        model=find_model(settings.model),
        work=work,
        options=options,
    )
    check_destination(run.source, run.destination)
    with hold(run.destination, run_id=run.run_id) as lease:
        catalog_step(
            run.source, run.catalog_uri, options, skip=run.destination, workers=pool.workers
        )
        plan = plan_step(run)
        counts = Counts(found=plan.found)
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger(run.destination, run.run_id, "plan"))
            progress = stack.enter_context(FuseProgress(plan.found, log=get_run_logger().info))
            fleet: Fleet | None = None
            for number, chunk in enumerate(plan.chunks(_CHUNK)):
                lease.check()
                # Ray starts with the first bracket that needs it: no work, no waiting.
                if fleet is None and any(isinstance(decision, FuseJob) for decision in chunk):
                    fleet = stack.enter_context(open_fleet(run.recipe, pool))
                fuse_step(number, fleet, ledger, chunk, counts, progress)
        lease.check()
        retire_step(plan, counts)
        lease.check()
        return publish_step(run, counts)
