# SPDX-License-Identifier: Apache-2.0
"""The dynamic flow: an archive of moving scenes with ground truth, in Kalantari's layout."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.progress import RenderProgress
from pipeline import storage
from pipeline.demo.dynamic import DynamicArchive, make_dynamic_archive
from pipeline.demo.dynamic_plan import DynamicPlan

__all__ = ["dynamic_archive"]


@task(name="dynamic", cache_policy=NO_CACHE, persist_result=False)
def dynamic_step(out: str, plan: DynamicPlan, pictures: str | None) -> DynamicArchive:
    """Make the scenes that are not there yet."""
    with RenderProgress() as progress:
        return make_dynamic_archive(
            out, plan, pictures=pictures, progress=lambda done, total: progress()
        )


@flow(name="dynamic", flow_run_name="dynamic-{out}", persist_result=False)
def dynamic_archive(
    out: str, plan: DynamicPlan = DynamicPlan(), pictures: str | None = None
) -> DynamicArchive:
    """Make brackets of scenes in which something moves, with exact ground truth.

    Args:
        out: folder or URI that gets ``Training/`` or ``Test/``.
        plan: how many scenes, and what they are like.
        pictures: folder or URI with linear HDR pictures to be used as backdrops; the demo's own
            rendered scenes by default.

    Raises:
        UsageError: ``pictures`` holds no picture, or ``out`` something else.
        PhotoError: a picture cannot be read, or is all black.
        InfrastructureError: disk or network failed.
    """
    return dynamic_step(
        storage.absolute(out), plan, None if pictures is None else storage.absolute(pictures)
    )
