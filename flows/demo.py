# SPDX-License-Identifier: Apache-2.0
"""The demo: an archive made up on the spot, then the main job on it."""

from __future__ import annotations

from collections.abc import Callable

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.fuse import fuse_archive
from flows.progress import DemoProgress
from pipeline import storage
from pipeline.demo.archive import ArchivePlan
from pipeline.demo.standing import keep_or_make
from pipeline.pool import PoolOptions
from pipeline.runs import Outcome
from pipeline.settings import FuseSettings

__all__ = ["run_demo"]


@task(name="make-archive", cache_policy=NO_CACHE, persist_result=False)
def make_archive_step(
    folder: str, *, brackets: int, plan: ArchivePlan, log: Callable[[str], None]
) -> None:
    """Render the demo archive; the same one that stands already is kept."""
    with DemoProgress(brackets, log=log) as progress:
        keep_or_make(
            storage.local_path(folder),
            brackets=brackets,
            plan=plan,
            progress=lambda done, total: progress(),
        )


@flow(name="demo", persist_result=False)
def run_demo(
    folder: str,
    brackets: int = 12,
    megapixels: float = 0.8,
    seed: int = 0,
    settings: FuseSettings = FuseSettings(),
    pool: PoolOptions = PoolOptions(),
) -> Outcome:
    """Make an archive of bracketed photographs below ``folder`` and fuse it.

    Args:
        folder: local folder that gets ``archive/`` and ``fused/``.
        brackets: how many brackets to make.
        megapixels: size of a frame.
        seed: the same seed makes the same archive.
        settings: how results are made.
        pool: how much of the Ray cluster to use.

    Raises:
        UsageError: the folder is remote, or holds another archive.
    """
    root = storage.absolute(folder)
    archive = storage.join(root, "archive")
    plan = ArchivePlan(seed=seed, megapixels=megapixels)
    make_archive_step(archive, brackets=brackets, plan=plan, log=get_run_logger().info)
    return fuse_archive(archive, storage.join(root, "fused"), settings, pool=pool)
