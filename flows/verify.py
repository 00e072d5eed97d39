# SPDX-License-Identifier: Apache-2.0
"""The verify flow: is everything there that the report speaks of, and nothing else?"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.progress import VerifyProgress
from pipeline import storage
from pipeline.lock import hold
from pipeline.runs import new_run_id
from pipeline.verifying.verify import Verdict, verify

__all__ = ["verify_archive"]


@task(name="verify", cache_policy=NO_CACHE, persist_result=False)
def verify_step(destination: str, deep: bool, repair: bool, out: str | None) -> Verdict:
    """Compare rows with files and files with rows."""
    log = get_run_logger().info
    with ExitStack() as stack:
        bars: list[VerifyProgress] = []
        return verify(
            destination,
            deep=deep,
            repair=repair,
            out=out,
            began=lambda rows: bars.append(stack.enter_context(VerifyProgress(rows, log=log))),
            progress=lambda: bars[0](),
        )


@flow(name="verify", flow_run_name="verify-{destination}", persist_result=False)
def verify_archive(
    destination: str, deep: bool = False, repair: bool = False, out: str | None = None
) -> Verdict:
    """Check every row of a destination against its file, and find files without a row.

    Args:
        destination: folder or URI that ``fuse`` or ``shard`` wrote to.
        deep: decode every result whole; by default its hash and its header are checked.
        repair: set damaged files aside, so that the next run makes them again, and remove our
            own leftovers.
        out: URI of a Parquet file for all findings.

    Raises:
        UsageError: ``source-missing``, there is no such destination.
        LockedError: ``destination-locked``, a run is at work and ``repair`` was asked for.
        InfrastructureError: disk or network failed.
    """
    destination = storage.absolute(destination)
    out = None if out is None else storage.absolute(out)
    with hold(destination, run_id=new_run_id()) if repair else nullcontext():
        return verify_step(destination, deep, repair, out)
