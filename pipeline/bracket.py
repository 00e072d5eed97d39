# SPDX-License-Identifier: Apache-2.0
"""Frame, Bracket and Stack: what the whole pipeline speaks of.

A frame is one photograph, a bracket the frames of one view from dark to bright, a stack the
pixels of a bracket. Frames and brackets are plain immutable data and travel; pixels do not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.pixel_kernels import planes_rows

__all__ = ["Bracket", "Frame", "Pixels", "Stack", "bracket_id", "exposure_value"]

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""Display-referred sRGB pixels as they lie in files, (H, W, 3), uint8 or uint16."""


def exposure_value(
    exposure_time_s: float | None, f_number: float | None, iso: float | None
) -> float | None:
    """How much light a frame took in, in stops; one more is twice as bright.

    ``log2(t * (ISO / 100) / N^2)``, the negative of the APEX exposure value at ISO 100. Missing
    aperture or ISO count as f/1 and ISO 100, so values compare within a bracket only. None
    without an exposure time.
    """
    if not exposure_time_s or exposure_time_s <= 0 or not math.isfinite(exposure_time_s):
        return None
    aperture = f_number if f_number and f_number > 0 else 1.0
    sensitivity = iso if iso and iso > 0 else 100.0
    return math.log2(exposure_time_s * sensitivity / 100.0 / aperture**2)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One photograph.

    ``width`` and ``height`` are upright pixels (after EXIF orientation), None where the header
    could not be read. ``ev`` is in stops, brighter is larger (see :func:`exposure_value`).
    ``captured_s`` counts seconds since 1970 in the camera's own clock (EXIF knows no zone unless
    an offset tag is present; it is ignored so that one camera's frames stay in order).
    """

    uri: str
    path: str
    size_bytes: int = 0
    mtime_ns: int | None = None
    width: int | None = None
    height: int | None = None
    exposure_time_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    captured_s: float | None = None
    ev: float | None = None
    camera: str | None = None
    twin_uri: str | None = None
    """The same shot in another format (RAW beside JPEG), not fused but accounted for."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the file does, as far as a listing can tell, or its exposure."""
        return f"{self.path}|{self.size_bytes}|{self.mtime_ns}|{self.exposure_time_s}|{self.ev}"

    @property
    def timeless_fingerprint(self) -> str:
        """The same without the file's time, which a copy may have lost."""
        return f"{self.path}|{self.size_bytes}|{self.exposure_time_s}|{self.ev}"


def bracket_id(paths: Sequence[str]) -> str:
    """The id of the bracket made of these frames (paths relative to the source), 16 hex digits.

    The same on every mount, in every run, in any order of the frames.
    """
    text = "\n".join(sorted(paths)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The frames of one view, dark to bright, and why they belong together.

    ``kind`` is ``single`` for a frame that belongs to no bracket: it has one frame and is left out
    unless it is asked for, but it is counted. ``error_code`` is set where the scan already found
    that the entry cannot be worked on. ``label_uri`` names a reference picture where the layout has
    one: display-referred (``label_kind`` ``display``, a SICE label) or linear (``radiance``).
    """

    frames: tuple[Frame, ...]
    source: str
    kind: Literal["bracket", "single"] = "bracket"
    layout: str = "folder"
    reason: str = ""
    confidence: float = 1.0
    notes: tuple[str, ...] = ()
    label_uri: str | None = None
    label_kind: Literal["display", "radiance"] | None = None
    error_code: str | None = None
    error_message: str | None = None
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("a bracket has at least one frame")
        if not self.id:
            object.__setattr__(self, "id", bracket_id([frame.path for frame in self.frames]))

    @property
    def fingerprint(self) -> str:
        """Hash over the frames' fingerprints; part of a result's key."""
        return _hash_of_lines(frame.fingerprint for frame in self.frames)

    @property
    def timeless_fingerprint(self) -> str:
        """The same over the frames' timeless fingerprints."""
        return _hash_of_lines(frame.timeless_fingerprint for frame in self.frames)


def _hash_of_lines(lines: Iterable[str]) -> str:
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A bracket's pixels, dark to bright, all of one size; 16-bit stays 16-bit.

    Held as integers, as decoded; :meth:`tile` and :meth:`reduced` hand out float tensors of the
    part that is asked for, so memory follows the tile. It satisfies ``model.StackPixels``.

    Args:
        frames: K arrays (H, W, 3), all uint8 or all uint16, display-referred sRGB.
        exposure_times_s: K times in seconds, or None where unknown.
    """

    frames: tuple[Pixels, ...]
    exposure_times_s: tuple[float, ...] | None = None

    @property
    def count(self) -> int:
        """K, the number of frames."""
        return len(self.frames)

    @property
    def height(self) -> int:
        return int(self.frames[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.frames[0].shape[1])

    @property
    def bits(self) -> Literal[8, 16]:
        """Bits per channel of the frames."""
        return 16 if self.frames[0].dtype == np.uint16 else 8

    def those(self, chosen: Sequence[int]) -> Stack:
        """Some of the frames with their times, in the order of ``chosen``."""
        times = self.exposure_times_s
        return Stack(
            frames=tuple(self.frames[k] for k in chosen),
            exposure_times_s=None if times is None else tuple(times[k] for k in chosen),
        )

    def tile(self, rows: slice, cols: slice) -> torch.Tensor:
        """(K, 3, h, w) float32 in 0..1 of a rectangle."""
        scale = np.float32(1 / (65535 if self.bits == 16 else 255))
        parts = [frame[rows, cols] for frame in self.frames]
        planes = np.empty((self.count, 3, *parts[0].shape[:2]), np.float32)
        for part, plane in zip(parts, planes, strict=True):
            planes_rows(part, scale, plane, 0, part.shape[0])
        return torch.from_numpy(planes)

    def reduced(self, height: int, width: int) -> torch.Tensor:
        """(K, 3, height, width) float32 in 0..1, area-averaged."""
        peak = 65535.0 if self.bits == 16 else 255.0
        parts = [
            torch.from_numpy(
                np.ascontiguousarray(
                    cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA).transpose(2, 0, 1),
                    np.float32,
                )
            )
            for f in self.frames
        ]
        return torch.stack(parts).div_(peak)
