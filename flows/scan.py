# SPDX-License-Identifier: Apache-2.0
"""The scan flow: an archive in, a catalog out."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.progress import ScanProgress
from pipeline import storage
from pipeline.archive.catalog import copy_catalog, is_bracket_list, is_catalog
from pipeline.archive.find import write_found
from pipeline.archive.scan import ScanOptions, ScanSummary
from pipeline.errors import UsageError

__all__ = ["catalog_step", "scan_archive", "scan_step"]


@task(name="scan", cache_policy=NO_CACHE, persist_result=False)
def scan_step(
    source: str,
    catalog: str,
    options: ScanOptions,
    *,
    skip: str | None = None,
    check: bool = False,
    rescan: bool = False,
    workers: int | None = None,
) -> ScanSummary:
    """Find the brackets of an archive, or read a catalog or list of them, and write a catalog."""
    with ScanProgress() as progress:
        return write_found(
            source,
            catalog,
            options,
            skip=skip,
            check=check,
            rescan=rescan,
            workers=workers,
            progress=progress,
        )


@task(name="scan", cache_policy=NO_CACHE, persist_result=False)
def catalog_step(
    source: str, catalog: str, options: ScanOptions, *, skip: str, workers: int | None = None
) -> None:
    """Write the catalog of a run: a given one is copied as it is, all else is scanned.

    Raises:
        UsageError: ``source-missing``, ``catalog-invalid`` or ``archive-empty``.
    """
    if not (is_bracket_list(source) and is_catalog(source)):
        scan_step.fn(source, catalog, options, skip=skip, workers=workers)
    elif copy_catalog(source, catalog) == 0:
        raise UsageError("archive-empty", f"The catalog {source} lists nothing; scan again.")


@flow(name="scan", persist_result=False)
def scan_archive(
    source: str,
    catalog: str,
    options: ScanOptions = ScanOptions(),
    check: bool = False,
    rescan: bool = False,
    workers: int | None = None,
) -> ScanSummary:
    """Scan an archive into a catalog; folders that did not change keep the rows of an older one.

    Args:
        source: folder or URI of the archive, or a list of brackets (CSV, Parquet).
        catalog: where the catalog (Parquet) goes.
        options: how to scan.
        check: compare EXIF exposures with the brightness of the pixels (decodes small versions).
        rescan: look into every folder, whatever an older catalog at that place knows.
        workers: Ray actors that help with a large archive; as many as fit if None.

    Raises:
        UsageError: the source is missing or empty, or an option is wrong.
        InfrastructureError: disk, network or Ray failed.
    """
    return scan_step(
        storage.absolute(source),
        storage.absolute(catalog),
        options,
        check=check,
        rescan=rescan,
        workers=workers,
    )
