# SPDX-License-Identifier: Apache-2.0
"""Looking into folders: a few of them in, rows of the catalog out, in this process or another."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa

from pipeline.archive.brightness import thumbnail
from pipeline.archive.catalog_rows import rows_of
from pipeline.archive.check import check_pixels
from pipeline.archive.exposure_files import read_exposures
from pipeline.archive.finding import find_in
from pipeline.archive.layout import Folder, Tools
from pipeline.archive.options import ScanOptions
from pipeline.archive.siblings import Siblings
from pipeline.archive.stamps import Stamp, Witness
from pipeline.bracket import Bracket
from pipeline.images.reading import read_header
from pipeline.storage import is_local

__all__ = ["Looked", "Looker", "ScanJob"]

_FOLDERS_AT_ONCE = 4  # where storage is remote, so that it is not waited for


@dataclass(frozen=True, kw_only=True)
class ScanJob:
    """What a scan was asked to do."""

    source: str
    options: ScanOptions
    check: bool = False
    """Compare exposures with pixels, see :mod:`pipeline.archive.check`."""
    settled_ns: int
    """Files that changed since then may change again unnoticed."""


@dataclass(frozen=True)
class Looked:
    """What is in some folders: rows of the catalog, and how many of them each folder has."""

    rows: pa.Table
    counts: tuple[int, ...]


class Looker:
    """Looks into folders, for the length of a ``with`` block."""

    def __init__(self, job: ScanJob) -> None:
        self._job = job
        self._siblings = Siblings(job.source)
        self._near = is_local(job.source)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        headers = ThreadPoolExecutor(self._job.options.threads, thread_name_prefix="headers")
        folders = ThreadPoolExecutor(_FOLDERS_AT_ONCE, thread_name_prefix="folders")
        self._headers = self._stack.enter_context(headers)
        self._folders = self._stack.enter_context(folders)
        self._tools = Tools(
            read_header=read_header,
            thumbnail=thumbnail,
            exposures=read_exposures,
            siblings=self._siblings.files,
            namesakes=self._siblings.namesakes,
            pool=self._headers,
            near=self._near,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def siblings(self) -> Siblings:
        """What looks beside folders."""
        return self._siblings

    def look(self, folders: Sequence[Folder]) -> Looked:
        """The brackets and singles of some folders, in their order.

        Raises:
            InfrastructureError: ``counts-mismatch`` (a bug), ``storage-failed`` and the like.
        """
        each = map if self._near else self._folders.map
        brackets: list[Bracket] = []
        stamps: list[Stamp | None] = []
        counts: list[int] = []
        for found, stamp in each(self._look_into, folders):
            brackets += found
            stamps += [stamp] * len(found)
            counts.append(len(found))
        return Looked(rows_of(brackets, stamps), tuple(counts))

    def _look_into(self, folder: Folder) -> tuple[Sequence[Bracket], Stamp | None]:
        job = self._job
        witness = Witness(self._tools, settled_ns=job.settled_ns)
        found: Sequence[Bracket] = find_in(folder, witness.tools, job.options).brackets
        if job.check:
            found = list(self._headers.map(check_pixels, found))
        return found, witness.stamp(folder, found, digest=self._siblings.digest)
