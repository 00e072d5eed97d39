# SPDX-License-Identifier: Apache-2.0
"""The demo: an archive made up on the spot, then the main job on it."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.fuse import fuse_archive
from flows.progress import DemoProgress
from pipeline import storage
from pipeline.demo.archive import make_archive
from pipeline.pool import PoolOptions
from pipeline.runs import Outcome

__all__ = ["run_demo"]


@task(name="make-archive", cache_policy=NO_CACHE, persist_result=False)
def make_archive_step(folder: str, *, brackets: int, megapixels: float, seed: int) -> None:
    """Render the demo archive; one that stands already is rendered again, to the same bytes."""
    with DemoProgress(brackets) as progress:
        make_archive(
            storage.local_path(folder),
            brackets=brackets,
            megapixels=megapixels,
            seed=seed,
            progress=progress,
        )


@flow(name="demo", persist_result=False)
def run_demo(
    folder: str,
    brackets: int = 12,
    megapixels: float = 0.8,
    seed: int = 0,
    pool: PoolOptions = PoolOptions(),
) -> Outcome:
    """Make an archive of bracketed photographs below ``folder`` and fuse it.

    Args:
        folder: local folder that gets ``archive/`` and ``fused/``.
        brackets: how many brackets to make.
        megapixels: size of a frame.
        seed: the same seed makes the same archive.
        pool: how much of the Ray cluster to use.
    """
    root = storage.absolute(folder)
    archive = storage.join(root, "archive")
    make_archive_step(archive, brackets=brackets, megapixels=megapixels, seed=seed)
    return fuse_archive(archive, storage.join(root, "fused"), pool=pool)
