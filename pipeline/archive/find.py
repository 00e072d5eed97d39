# SPDX-License-Identifier: Apache-2.0
"""The brackets of whatever a user names as source: an archive, a catalog or a list."""

from __future__ import annotations

from collections.abc import Callable

from pipeline import storage
from pipeline.archive.catalog import is_bracket_list, read_brackets
from pipeline.archive.scan import ScanOptions, ScanResult, scan, summarize
from pipeline.errors import UsageError

__all__ = ["check_source", "find_brackets"]


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
    """Scan an archive, or read a catalog or list of brackets.

    Args:
        source: URI of a folder, or of a ``.parquet`` or ``.csv`` file.
        options: how to scan; a list is taken as it is.
        skip: a folder to leave out.
        progress: called with the number of files looked at since the last call.

    Raises:
        UsageError: ``source-missing``, ``catalog-invalid`` or ``archive-empty``.
    """
    if is_bracket_list(source):
        brackets = list(read_brackets(source))
        found = ScanResult(brackets=brackets, summary=summarize(brackets))
    else:
        found = scan(source, options=options, skip=skip, progress=progress)
    if not found.brackets and found.summary.unsettled:
        raise UsageError(
            "archive-empty",
            f"All {found.summary.unsettled} photographs of {source} lie in folders that changed "
            f"less than {options.settle_s:g} s ago; run again when they are complete, or without "
            "--settle.",
        )
    if not found.brackets:
        raise UsageError(
            "archive-empty",
            f"{source} holds no photographs of a known format; check the folder, or see "
            "`bracketflow scan --help` for the layouts and formats.",
        )
    return found
