# SPDX-License-Identifier: Apache-2.0
"""What a scan found, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.archive.shot import extension
from pipeline.bracket import Bracket
from pipeline.listing import FileInfo

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
    """Counts along while brackets go by."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._layouts: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def bracket(self, bracket: Bracket) -> None:
        """Count a bracket or single."""
        if bracket.kind == "bracket":
            self._counts["brackets"] += 1
            self._counts["frames"] += len(bracket.frames)
            self._layouts[bracket.layout] += 1
        else:
            self._counts["singles"] += 1
            self._counts["unreadable"] += bracket.error_code is not None
        self._counts["twins"] += sum(frame.twin_uri is not None for frame in bracket.frames)

    def labels(self, count: int) -> None:
        """Count files that are labels or their companions."""
        self._counts["labels"] += count

    def ignored(self, files: Iterable[FileInfo]) -> None:
        """Count files that are no photographs."""
        self._ignored.update(extension(file.path) for file in files)

    def unsettled(self, count: int) -> None:
        """Count image files of a folder that is still changing."""
        self._counts["unsettled"] += count

    def summary(self) -> ScanSummary:
        """The counts so far."""
        counts = self._counts
        return ScanSummary(
            brackets=counts["brackets"],
            frames=counts["frames"],
            singles=counts["singles"],
            unreadable=counts["unreadable"],
            twins=counts["twins"],
            labels=counts["labels"],
            photographs=sum(counts[name] for name in ("frames", "singles", "twins", "labels")),
            unsettled=counts["unsettled"],
            by_layout=dict(sorted(self._layouts.items())),
            ignored=dict(sorted(self._ignored.items())),
        )


def summarize(brackets: Iterable[Bracket]) -> ScanSummary:
    """The summary of a catalog or list; what the scan ignored is not known to it."""
    tally = Tally()
    for bracket in brackets:
        tally.bracket(bracket)
        tally.labels(bracket.label_uri is not None)
    return tally.summary()
