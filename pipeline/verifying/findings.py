# SPDX-License-Identifier: Apache-2.0
"""What a verifier finds: codes, and a collector whose memory has a limit.

All findings are counted and go to a Parquet file where one is asked for; only the first
:data:`SHOWN` are kept to be shown.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from types import TracebackType
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage

__all__ = ["MEANINGS", "SHOWN", "Finding", "Findings"]

SHOWN = 10_000
_BATCH = 1000

REMARKS = frozenset({"run-unfinished", "writer-died"})
"""Codes of what is worth knowing and no fault of the destination."""

MEANINGS: dict[str, str] = {
    "result-missing": "A row speaks of a result that is not there; fuse makes it again.",
    "result-damaged": "The file is not what was written, and was not edited: storage lost bits.",
    "result-changed": "Somebody else has written to the file: it is whole, but not ours any more.",
    "result-unreadable": "The file cannot be read; grant the permission.",
    "result-undecodable": "The file is as it was written, and yet no image; please report it.",
    "result-outside": "A row names a path outside the destination: was the report tampered with?",
    "preview-missing": "A row speaks of a preview or map that is gone; --force makes it again.",
    "file-unknown": "No row speaks of the file. It is left alone.",
    "leftover-result": "A result of ours without its row: its writer died; fuse puts it right.",
    "leftover-superseded": "A result that was superseded or pruned, and yet is still there.",
    "leftover-temporary": "A temporary file of ours, more than a day old.",
    "segment-unreadable": "A part of the report is damaged; its brackets must be fused again.",
    "record-unreadable": "A record of a run is damaged.",
    "run-unfinished": "A run has no manifest: it was stopped, or is still at work.",
    "writer-died": "A writer left word of results that it did not come to finish.",
}
"""Code -> one line on what it stands for."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as the report says. ``path`` is relative to the destination."""

    code: str
    path: str
    message: str
    bracket_id: str | None = None
    done: Literal["removed", "set aside"] | None = None
    """What ``--repair`` did about it."""

    def __post_init__(self) -> None:
        if self.code not in MEANINGS:
            raise ValueError(f"{self.code!r} is no code of a finding")
        # Names that are not UTF-8 fit into no table.
        for name in ("path", "message"):
            text = getattr(self, name).encode("utf-8", "backslashreplace").decode("utf-8")
            object.__setattr__(self, name, text)

    @property
    def open(self) -> bool:
        """Whether something is still to be done: no mere remark, and not tidied away."""
        return self.code not in REMARKS and self.done != "removed"


_SCHEMA = pa.schema([(item.name, pa.string()) for item in fields(Finding)])


@dataclass
class Findings:
    """Collects findings; may be called from several threads.

    ``out`` is the URI of a Parquet file for all of them; it appears when the block ends well.
    """

    out: str | None = None
    counts: Counter[str] = field(default_factory=Counter, init=False)
    open: int = field(default=0, init=False)
    """How many still need somebody."""
    shown: list[Finding] = field(default_factory=list, init=False)
    _waiting: list[Finding] = field(default_factory=list, init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _writer: pq.ParquetWriter | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __enter__(self) -> Findings:
        if self.out is not None:
            handle = self._stack.enter_context(storage.open_atomic(self.out))
            self._writer = self._stack.enter_context(
                pq.ParquetWriter(handle, _SCHEMA, compression="zstd")
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write()
        self._stack.__exit__(kind, error, trace)

    def add(self, finding: Finding) -> None:
        """Take one finding."""
        with self._lock:
            self.counts[finding.code] += 1
            self.open += finding.open
            if len(self.shown) < SHOWN:
                self.shown.append(finding)
            self._waiting.append(finding)
            if len(self._waiting) >= _BATCH:
                self._write()

    def _write(self) -> None:
        if self._writer is not None and self._waiting:
            rows = [asdict(finding) for finding in self._waiting]
            self._writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
        self._waiting.clear()
