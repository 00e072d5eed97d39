# SPDX-License-Identifier: Apache-2.0
"""The report flow: a page to look at, made of what the runs of a destination left behind."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import show_page
from pipeline import storage
from pipeline.report.gathering import gather
from pipeline.report.page import write_page

__all__ = ["page_step", "report_page"]


@task(name="page", cache_policy=NO_CACHE, persist_result=False)
def page_step(
    destination: str,
    out: str | None = None,
    run_id: str | None = None,
    compare: str | None = None,
) -> str:
    """Make the page, link to it in Prefect, and return the URI of its ``index.html``."""
    uri = write_page(gather(destination, run_id=run_id, other=compare), out)
    show_page(uri)
    return uri


@flow(name="report", flow_run_name="report-{destination}", persist_result=False)
def report_page(
    destination: str,
    out: str | None = None,
    run_id: str | None = None,
    compare: str | None = None,
) -> str:
    """Make the page of a destination.

    Args:
        destination: folder or URI that ``fuse`` wrote to.
        out: folder of the page; ``page/`` of the destination by default, which shows the previews
            where they lie. Elsewhere they are copied, so that the folder can be handed on.
        run_id: show this run alone.
        compare: another destination, or a run of this one, to compare with.

    Returns:
        the URI of its ``index.html``.

    Raises:
        UsageError: there is no report or no such run, or the folder is somebody else's.
        InfrastructureError: disk or network failed.
    """
    return page_step(
        storage.absolute(destination),
        None if out is None else storage.absolute(out),
        run_id,
        compare,
    )
