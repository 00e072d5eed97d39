# SPDX-License-Identifier: Apache-2.0
"""What came of the archives whose scenes must not occur, for the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.archive.overlap import Seen
from pipeline.archive.scenes import scene_name

__all__ = ["Compared", "what_came"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came of the archives whose scenes must not occur."""

    scenes: int
    """Scenes of theirs that were looked at."""
    dull: int
    """Of these, those that show too little to be known again by."""
    left_out: int
    """Scenes of the source that were left out, for they occur there."""


def what_came(known: Sequence[Seen], left_out: int) -> Compared:
    """Counts of scenes that were looked at, of dull ones, and of those left out."""
    names = [(one.bracket.source, scene_name(one.bracket)) for one in known]
    telling = {name for name, one in zip(names, known, strict=True) if one.telling}
    scenes = len(set(names))
    return Compared(scenes=scenes, dull=scenes - len(telling), left_out=left_out)
