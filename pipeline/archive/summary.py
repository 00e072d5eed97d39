# SPDX-License-Identifier: Apache-2.0
"""What a scan found, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.archive.catalog_rows import tables_of
from pipeline.archive.layout import Folder
from pipeline.archive.shot import extension
from pipeline.bracket import Bracket

__all__ = ["ScanSummary", "Tally", "summarize"]


@dataclass(frozen=True, kw_only=True)
class ScanSummary:
    """Counts of a scan.

    ``photographs`` = ``frames`` + ``singles`` + ``twins`` + ``labels``: nothing is lost.
    """

    brackets: int = 0
    """Brackets found."""
    frames: int = 0
    """Frames in brackets."""
    singles: int = 0
    """Photographs that belong to no bracket, unreadable ones included."""
    unreadable: int = 0
    """Singles that cannot be read."""
    twins: int = 0
    """Second files of a shot (RAW beside JPEG)."""
    labels: int = 0
    """Reference pictures and their companions."""
    photographs: int = 0
    """Image files seen."""
    unsettled: int = 0
    """Image files left for later, as their folder changed a moment ago; not in ``photographs``."""
    by_layout: Mapping[str, int] = field(default_factory=dict)
    """Brackets of each layout."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Files that are no photographs, by lower-case extension; empty for none."""


class Tally:
    """Counts along while folders and rows of the catalog go by."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._layouts: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._photographs: int | None = None

    def folder(self, folder: Folder) -> None:
        """Count the files of a folder whose rows will come."""
        self._photographs = (self._photographs or 0) + folder.photographs
        for part in (folder, *folder.children):
            self._ignored.update(extension(file.path) for file in part.others)

    def rows(self, table: pa.Table) -> None:
        """Count brackets and singles."""
        real = pc.equal(table["kind"], "bracket")
        frames = table["frames"]
        found = {
            "brackets": pc.sum(real),
            "frames": pc.sum(pc.list_value_length(frames.filter(real))),
            "singles": pc.sum(pc.invert(real)),
            "unreadable": pc.sum(pc.and_(pc.invert(real), pc.is_valid(table["error_code"]))),
            "twins": pc.count(pc.struct_field(pc.list_flatten(frames), "twin_uri")),
            "label_uris": pc.count(table["label_uri"]),
        }
        self._counts.update({name: number.as_py() or 0 for name, number in found.items()})
        for entry in pc.value_counts(table["layout"].filter(real)).to_pylist():
            self._layouts[entry["values"]] += entry["counts"]

    def unsettled(self, count: int) -> None:
        """Count image files of a folder that is still changing."""
        self._counts["unsettled"] += count

    def summary(self) -> ScanSummary:
        """The counts so far."""
        counts = self._counts
        used = sum(counts[name] for name in ("frames", "singles", "twins"))
        # Every file is in a row or a label; without a listing only labels with a name are known.
        labels = counts["label_uris"] if self._photographs is None else self._photographs - used
        return ScanSummary(
            brackets=counts["brackets"],
            frames=counts["frames"],
            singles=counts["singles"],
            unreadable=counts["unreadable"],
            twins=counts["twins"],
            labels=labels,
            photographs=used + labels,
            unsettled=counts["unsettled"],
            by_layout=dict(sorted(self._layouts.items())),
            ignored=dict(sorted(self._ignored.items())),
        )


def summarize(brackets: Iterable[Bracket]) -> ScanSummary:
    """The summary of a catalog or list; what the scan ignored is not known to it."""
    tally = Tally()
    for table in tables_of(brackets):
        tally.rows(table)
    return tally.summary()
