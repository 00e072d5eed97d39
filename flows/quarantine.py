# SPDX-License-Identifier: Apache-2.0
"""The retry flow: the last fusing run again, with what failed in it."""

from __future__ import annotations

from prefect import flow

from flows.fuse import fuse_archive
from pipeline import storage
from pipeline.pool import PoolOptions
from pipeline.quarantine import Retried, last_fuse_run, quarantine_table, what_became
from pipeline.runs import Outcome
from pipeline.work_options import WorkOptions

__all__ = ["retry_quarantined"]


@flow(name="quarantine-retry", flow_run_name="retry-{destination}", persist_result=False)
def retry_quarantined(
    destination: str, pool: PoolOptions = PoolOptions()
) -> tuple[Outcome, Retried]:
    """Run the last fusing run of a destination again, quarantined brackets included.

    Args:
        destination: folder or URI that ``fuse`` wrote to; source and settings are those of its
            last run, as the manifest has them.
        pool: how much of the Ray cluster to use.

    Returns:
        what became of the run, and of the brackets that had been in quarantine.

    Raises:
        UsageError: ``manifest-missing``, no fusing run has ended there.
        InfrastructureError: Ray, disk or network failed, or the counts do not add up.
    """
    destination = storage.absolute(destination)
    last = last_fuse_run(destination)
    before = quarantine_table(destination)["bracket_id"].to_pylist()
    outcome = fuse_archive(
        last.source,
        destination,
        last.settings,
        last.options,
        pool,
        WorkOptions(retry_quarantined=True),
    )
    return outcome, what_became(destination, before, run_id=outcome.run_id)
