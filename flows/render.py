# SPDX-License-Identifier: Apache-2.0
"""The render flow: linear HDR pictures in, brackets with exact ground truth out."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.progress import RenderProgress
from pipeline import storage
from pipeline.demo.from_radiance import RenderSettings
from pipeline.demo.rendered import Rendered, render_pictures

__all__ = ["render_archive"]


@task(name="render", cache_policy=NO_CACHE, persist_result=False)
def render_step(source: str, out: str, settings: RenderSettings) -> Rendered:
    """Make brackets of every picture; one that is no good is left out."""
    with RenderProgress() as progress:
        return render_pictures(source, out, settings, progress=lambda done, total: progress())


@flow(name="render", flow_run_name="render-{source}", persist_result=False)
def render_archive(source: str, out: str, settings: RenderSettings = RenderSettings()) -> Rendered:
    """Make an archive of brackets out of linear HDR pictures (.exr, .hdr).

    Args:
        source: folder or URI with the pictures.
        out: folder or URI that gets ``archive/``, ``truth/`` and ``catalog.parquet``.
        settings: what is made of each picture.

    Raises:
        UsageError: the source holds no such picture, or ``out`` something else.
        InfrastructureError: disk or network failed.
    """
    return render_step(storage.absolute(source), storage.absolute(out), settings)
