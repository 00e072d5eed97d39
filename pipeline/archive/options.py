# SPDX-License-Identifier: Apache-2.0
"""How to scan an archive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.archive.twins import TwinChoice
from pipeline.errors import UsageError

__all__ = ["LayoutName", "ScanOptions"]

LayoutName = Literal["auto", "sice", "mefb", "kalantari", "exif", "folder"]


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """How to scan.

    Raises:
        UsageError: ``option-invalid``, naming what is allowed.
    """

    layout: LayoutName = "auto"
    """How brackets lie in folders; ``auto`` finds out folder by folder. ``folder`` takes each
    folder as one bracket, whatever its pictures look like."""
    twins: TwinChoice = "jpeg"
    """Which file of a RAW+JPEG pair is fused."""
    max_gap_s: float = 3.0
    """Idle seconds between two frames, exposure times taken out, that end a bracket."""
    min_frames: int = 2
    """Fewest frames of a bracket that the scan forms itself."""
    max_frames: int = 20
    """Most frames of a bracket that the scan forms itself."""
    threads: int = 8
    """Headers read side by side where the storage lets us wait."""
    settle_s: float = 0.0
    """A folder in which a file changed less than so many seconds ago is left alone for this time:
    it may still be on its way. 0 takes everything as it is."""

    def __post_init__(self) -> None:
        for option, value, allowed in (
            ("--layout", self.layout, get_args(LayoutName)),
            ("--twins", self.twins, get_args(TwinChoice)),
        ):
            if value not in allowed:
                raise UsageError(
                    "option-invalid", f"{option} {value!r} is not one of {', '.join(allowed)}."
                )
        if not 0 <= self.max_gap_s <= 3600:
            raise UsageError("option-invalid", f"max_gap_s {self.max_gap_s} is not in 0..3600.")
        if not 2 <= self.min_frames <= self.max_frames <= 100:
            raise UsageError(
                "option-invalid",
                f"min_frames {self.min_frames} and max_frames {self.max_frames} must satisfy "
                "2 <= min_frames <= max_frames <= 100.",
            )
        if not 1 <= self.threads <= 256:
            raise UsageError("option-invalid", f"threads {self.threads} is not within 1..256.")
        if not 0 <= self.settle_s < math.inf:
            raise UsageError(
                "option-invalid", f"--settle {self.settle_s} is no duration such as 90s, 10m or 2h."
            )
