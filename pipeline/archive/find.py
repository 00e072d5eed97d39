# SPDX-License-Identifier: Apache-2.0
"""The brackets of whatever a user names as source: an archive, a catalog or a list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pyarrow as pa

from pipeline import storage
from pipeline.archive.catalog import is_bracket_list, read_brackets, write_rows
from pipeline.archive.catalog_rows import brackets_of, tables_of
from pipeline.archive.check import check_pixels
from pipeline.archive.crew import START_AFTER_S, Crew
from pipeline.archive.older import OlderCatalog, open_older, scan_note
from pipeline.archive.scan import ScanOptions, ScanResult, ScanSummary, scan_job, scan_rows
from pipeline.archive.summary import Tally
from pipeline.errors import UsageError

__all__ = ["check_source", "find_brackets", "write_found"]

_LOG = logging.getLogger(__name__)


def check_source(source: str) -> None:
    """A quick look whether the source is there at all.

    Raises:
        UsageError: ``source-missing``.
        InfrastructureError: ``storage-failed``.
    """
    if not storage.exists(source):
        raise UsageError("source-missing", f"{source} does not exist; check the address.")


def find_brackets(
    source: str,
    options: ScanOptions,
    *,
    skip: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ScanResult:
    """All brackets of a source, held in memory; :func:`write_found` is for large archives.

    Args:
        source: URI of a folder, or of a ``.parquet`` or ``.csv`` file.
        options: how to scan; a list is taken as it is.
        skip: a folder to leave out.
        progress: called with the number of files looked at since the last call.

    Raises:
        UsageError: ``source-missing``, ``catalog-invalid`` or ``archive-empty``.
        InfrastructureError: ``storage-failed``, or what Ray's workers met.
    """
    tally = Tally()
    with ExitStack() as stack:
        if is_bracket_list(source):
            tables = _listed(source, tally)
        else:
            job = scan_job(source, options)
            crew = stack.enter_context(Crew(job))
            tables = scan_rows(job, crew, tally, skip=skip, progress=progress)
        brackets = [
            bracket
            for table in _not_empty(tables, source, options, tally)
            for bracket in brackets_of(table, source)
        ]
    return ScanResult(brackets=brackets, summary=tally.summary())


def write_found(
    source: str,
    catalog: str,
    options: ScanOptions,
    *,
    skip: str | None = None,
    check: bool = False,
    rescan: bool = False,
    workers: int | None = None,
    start_after_s: float = START_AFTER_S,
    progress: Callable[[int], None] | None = None,
) -> ScanSummary:
    """Write the catalog of a source, in memory of a few folders.

    What an older catalog of the same source knows is taken over where nothing changed: the one
    that stands at ``catalog``, or for ``run=<id>.parquet`` that of an earlier run beside it. The
    catalog appears when it is complete; until then, and where the scan fails, an older one stays.

    Args:
        source: URI of a folder, or of a ``.parquet`` or ``.csv`` file.
        catalog: where the catalog goes.
        options: how to scan; a list is taken as it is.
        skip: a folder to leave out.
        check: compare exposures with pixels.
        rescan: look into every folder, whatever an older catalog knows.
        workers: Ray actors that help where there is much to look at; as many as fit if None.
        start_after_s: seconds of looking before Ray is asked.
        progress: called with the number of files looked at since the last call.

    Returns:
        what was found, in numbers.

    Raises:
        UsageError: ``source-missing``, ``catalog-invalid``, ``archive-empty`` or
            ``destination-invalid``, a file stands at ``catalog`` that is none.
        InfrastructureError: ``disk-full``, ``storage-failed``, or what Ray's workers met.
    """
    if is_bracket_list(source):
        tally = Tally()
        tables = _listed(source, tally, check=check)
        write_rows(_not_empty(tables, source, options, tally), catalog)
        return tally.summary()
    job = scan_job(source, options, check=check)
    with ExitStack() as stack:
        older = None if rescan else stack.enter_context(open_older(catalog, job))
        crew = stack.enter_context(Crew(job, workers=workers, start_after_s=start_after_s))

        def write(known: OlderCatalog | None) -> ScanSummary:
            tally = Tally()
            tables = scan_rows(job, crew, tally, older=known, skip=skip, progress=progress)
            write_rows(_not_empty(tables, source, options, tally), catalog, scan=scan_note(job))
            return tally.summary()

        try:
            return write(older)
        except UsageError as error:
            if older is None or error.code != "catalog-invalid":
                raise
            _LOG.warning("Every folder is looked into again: %s", error.message)
            return write(None)


def _listed(source: str, tally: Tally, *, check: bool = False) -> Iterator[pa.Table]:
    """The rows of a catalog or list."""
    brackets = read_brackets(source)
    for table in tables_of(map(check_pixels, brackets) if check else brackets):
        tally.rows(table)
        yield table


def _not_empty(
    tables: Iterable[pa.Table], source: str, options: ScanOptions, tally: Tally
) -> Iterator[pa.Table]:
    """The same rows.

    Raises:
        UsageError: ``archive-empty``, at their end; so what is written from them never appears.
    """
    rows = 0
    for table in tables:
        rows += len(table)
        yield table
    unsettled = tally.summary().unsettled
    if not rows and unsettled:
        raise UsageError(
            "archive-empty",
            f"All {unsettled} photographs of {source} lie in folders that changed "
            f"less than {options.settle_s:g} s ago; run again when they are complete, or without "
            "--settle.",
        )
    if not rows:
        raise UsageError(
            "archive-empty",
            f"{source} holds no photographs of a known format; check the folder, or see "
            "`bracketflow scan --help` for the layouts and formats.",
        )
