# SPDX-License-Identifier: Apache-2.0
"""The main job: scan, plan, fuse on Ray actors, publish."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import DoneArtifact, show_outcome
from flows.ends import ended
from flows.progress import FuseProgress
from flows.report import page_step
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
from pipeline.profiling import Stopwatch, profile_run
from pipeline.report.page import INDEX, page_folder
from pipeline.report.schema import Row
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
    done: Callable[[Row | None, int], None],
) -> None:
    """Fuse one chunk on the fleet."""
    work_chunk(fleet, ledger, chunk, counts, done)


@task(name="retire", cache_policy=NO_CACHE, persist_result=False)
def retire_step(plan: Plan, counts: Counts) -> None:
    """Write down which brackets of earlier runs are gone, or another one took the place of."""
    retire(plan, counts)


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_step(run: FuseRun, counts: Counts) -> Outcome:
    """Check the counts, write the manifest and show what came out in Prefect."""
    outcome = publish(run, counts)
    show_outcome(outcome)
    return outcome


def _with_page(outcome: Outcome) -> Outcome:
    """The outcome with a page to look at; that there is none never fails a run."""
    index = storage.join(page_folder(outcome.destination), INDEX)
    if not outcome.counts.rows and storage.exists(index):
        return replace(outcome, page_uri=index)  # nothing new to show
    try:
        return replace(outcome, page_uri=page_step(outcome.destination))
    except Exception as error:  # whatever it is, the results stand
        get_run_logger().warning("The page could not be made: %s", error)
        again = f"`bracketflow report {outcome.destination}` tries it again"
        return replace(outcome, page_note=f"The page could not be made ({error}); {again}.")


@flow(name="fuse", flow_run_name="fuse-{source}", persist_result=False)
def fuse_archive(
    source: str,
    destination: str,
    settings: FuseSettings = FuseSettings(),
    options: ScanOptions = ScanOptions(),
    pool: PoolOptions = PoolOptions(),
    work: WorkOptions = WorkOptions(),
    page: bool = True,
    profile: bool = False,
) -> Outcome:
    """Fuse every bracket of an archive and report how good each result is.

    Args:
        source: folder or URI of the archive, or a catalog or list of brackets.
        destination: folder or URI for ``results/``, ``report/``, ``previews/`` and ``catalog/``.
        settings: how a result is made; part of its key.
        options: how to scan.
        pool: how much of the Ray cluster to use.
        work: what is done again, and what is removed.
        page: make a page to look at, ``page/index.html`` of the destination.
        profile: say where the time went.

    Raises:
        UsageError: bad options, or nothing to work on.
        LockedError: another run is writing to the destination.
        InfrastructureError: Ray, disk or network failed, or the counts do not add up.
    """
    watch, workers = Stopwatch(), 0
    run = FuseRun(
        source=storage.absolute(source),
        destination=storage.absolute(destination),
        settings=settings,
        model=find_model(settings.model),
        singles=None if settings.singles is None else find_model(settings.singles),
        work=work,
        options=options,
    )
    check_destination(run.source, run.destination)
    with hold(run.destination, run_id=run.run_id) as lease:
        catalog_step(
            run.source, run.catalog_uri, options, skip=run.destination, workers=pool.workers
        )
        watch.lap("scan")
        plan = plan_step(run)
        counts = Counts(found=plan.found)
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger(run.destination, run.run_id, "plan"))
            progress = stack.enter_context(FuseProgress(plan.found, log=get_run_logger().info))
            shown = stack.enter_context(DoneArtifact(run.run_id, counts))

            def done(row: Row | None, count: int = 1) -> None:
                progress.add(row, count)
                shown.look()

            fleet: Fleet | None = None
            watch.lap("plan")
            for number, chunk in enumerate(plan.chunks(_CHUNK)):
                lease.check()
                # Ray starts with the first bracket that needs it: no work, no waiting.
                if fleet is None and any(isinstance(decision, FuseJob) for decision in chunk):
                    watch.lap("plan")
                    fleet = stack.enter_context(open_fleet(run.recipe, pool))
                    watch.lap("start")
                fuse_step(number, fleet, ledger, chunk, counts, done)
                workers = max(workers, 0 if fleet is None else fleet.size)
                watch.lap("plan" if fleet is None else "work")
        lease.check()
        retire_step(plan, counts)
        lease.check()
        outcome = publish_step(run, counts)
        outcome = _with_page(outcome) if page else outcome
        watch.lap("publish")
        if not profile:
            return ended(outcome)
        found = profile_run(run.destination, run.run_id, driver=watch.seconds, workers=workers)
        return ended(replace(outcome, profile=found))
