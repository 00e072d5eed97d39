# SPDX-License-Identifier: Apache-2.0
"""The archives whose scenes must not occur: a test set that training must not have seen.

Whoever names one relies on it, so nothing of it is passed over: what cannot be looked at ends the
run before anything is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.archive.find import find_brackets
from pipeline.archive.overlap import Seen, look_at
from pipeline.archive.scan import ScanOptions
from pipeline.errors import UsageError

__all__ = ["look_at_all"]

_NAMED = 5


def look_at_all(
    archives: Sequence[str],
    options: ScanOptions,
    *,
    progress: Callable[[], None] | None = None,
) -> tuple[Seen, ...]:
    """What every picture of some archives shows, be it part of a bracket or not.

    Args:
        archives: URIs of archives, catalogs or lists.
        options: how to scan; each is laid out in its own way, so ``layout`` is always ``auto``.
        progress: called once for each bracket or single.

    Raises:
        UsageError: ``source-missing``, ``catalog-invalid`` or ``archive-empty``; or
            ``without-invalid``: files cannot be read, or there is nothing to know them again by.
        InfrastructureError: ``storage-failed``.
    """
    seen: list[Seen] = []
    for uri in archives:
        found = find_brackets(uri, replace(options, layout="auto")).brackets
        looked = look_at(found, progress=progress)
        if looked.failed:
            named = "; ".join(
                f"[{error.code}] {error.message}" for _, error in looked.failed[:_NAMED]
            )
            more = len(looked.failed) - _NAMED
            raise UsageError(
                "without-invalid",
                f"{len(looked.failed)} brackets or photographs of {uri} cannot be read, so nobody "
                f"knows whether their scenes occur: {named}"
                f"{f'; and {more} more' if more > 0 else ''}. Mend or remove them, or name a list "
                "of the others with --without.",
            )
        if not any(one.telling for one in looked.seen):
            raise UsageError(
                "without-invalid",
                f"No picture of {uri} shows enough to be known again by, so none of its scenes "
                "can be left out; check the address given with --without.",
            )
        seen += looked.seen
    return tuple(seen)
