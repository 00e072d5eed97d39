# SPDX-License-Identifier: Apache-2.0
"""What a demo archive is like, and what a scan of it should find."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from pipeline.demo.camera import (
    STILL,
    Camera,
    Motion,
)
from pipeline.errors import UsageError

__all__ = ["ArchivePlan", "ArchiveTruth", "BracketTruth", "FrameTruth"]


@dataclass(frozen=True, kw_only=True)
class ArchivePlan:
    """What an archive is like; with an index it decides a bracket entirely.

    Args:
        seed: of scenes, noise and motion.
        megapixels: of each frame, 3:2; ``size`` (height, width) overrides it.
        per_day: brackets in a day's folder, 1 to 300.
        frames: K of every bracket, or None for a mix of 2 to 7.
        format: of every bracket, or None for a mix.
        broken_index: the bracket with a truncated frame, or None.
        radiance: also write each scene's radiance as OpenEXR below ``truth/`` beside the archive.
    """

    seed: int = 0
    megapixels: float = 1.0
    size: tuple[int, int] | None = None
    per_day: int = 4
    frames: int | None = None
    format: Literal["jpeg", "tiff"] | None = None
    broken_index: int | None = 7
    radiance: bool = False

    def __post_init__(self) -> None:
        if self.size is None and not 0.001 <= self.megapixels <= 200:
            raise UsageError("option-invalid", "megapixels must lie between 0.001 and 200.")
        if not 1 <= self.per_day <= 300:
            raise UsageError("option-invalid", "per_day must lie between 1 and 300.")
        if self.frames is not None and not 2 <= self.frames <= 9:
            raise UsageError("option-invalid", "frames must lie between 2 and 9.")

    def landscape_size(self) -> tuple[int, int]:
        """(height, width) of an upright landscape frame, even numbers."""
        if self.size is not None:
            return self.size
        height = max(8, 2 * round((self.megapixels * 1e6 / 1.5) ** 0.5 / 2))
        return height, 2 * round(height * 1.5 / 2)


@dataclass(frozen=True, kw_only=True)
class FrameTruth:
    """One file: ``path`` relative to the archive, ``/``-separated; the rest as in its EXIF."""

    path: str
    exposure_time_s: float
    f_number: float
    iso: int
    bias_ev: float
    captured: datetime
    motion: Motion = STILL
    broken: bool = False


@dataclass(frozen=True, kw_only=True)
class BracketTruth:
    """A bracket that a scan should find; frames in the order they were taken.

    ``width`` and ``height`` are upright pixels. ``radiance_path`` is relative to the archive's
    parent folder.
    """

    index: int
    scene: str
    scene_seed: int
    camera: Camera
    frames: tuple[FrameTruth, ...]
    width: int
    height: int
    format: Literal["jpeg", "tiff"]
    handheld: bool = False
    broken: bool = False
    orientation: int = 1
    radiance_path: str | None = None

    @property
    def evs(self) -> tuple[float, ...]:
        """Exposure biases in stops, dark to bright."""
        return tuple(sorted(frame.bias_ev for frame in self.frames))


@dataclass(frozen=True, kw_only=True)
class ArchiveTruth:
    """All that lies in an archive."""

    plan: ArchivePlan
    brackets: tuple[BracketTruth, ...]
    singles: tuple[FrameTruth, ...] = field(default=())

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file, sorted."""
        frames = [f.path for bracket in self.brackets for f in bracket.frames]
        return tuple(sorted([*frames, *(single.path for single in self.singles)]))

    def to_json(self) -> str:
        """The truth as a JSON text, for tools that check results against it."""
        return json.dumps(asdict(self), indent=1, default=lambda value: value.isoformat())
