# SPDX-License-Identifier: Apache-2.0
"""Linear pictures for things to move before: the demo's rendered scenes, or the user's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.demo.from_radiance import clean
from pipeline.demo.noise import Array
from pipeline.demo.scenes import SCENES, render
from pipeline.images.reading import Limits, read_radiance
from pipeline.listing import FileInfo

__all__ = ["Backdrops", "PictureBackdrops", "RenderedBackdrops"]

_PANORAMA_ROWS = (0.15, 0.85)  # nearer to the poles it is stretched
_KEPT_BYTES = 400 << 20


class Backdrops(Protocol):
    """Numbered linear pictures; the same number is always the same picture."""

    @property
    def count(self) -> int: ...

    def picture(self, number: int) -> Array:
        """(H, W, 3) float32, >= 0, of any size and unit; not to be written to."""
        ...


@dataclass(kw_only=True)
class _Kept:
    """The pictures used last, as many as fit."""

    pictures: OrderedDict[int, Array] = field(default_factory=OrderedDict)

    def get(self, number: int) -> Array | None:
        if number in self.pictures:
            self.pictures.move_to_end(number)
        return self.pictures.get(number)

    def add(self, number: int, picture: Array) -> Array:
        self.pictures[number] = picture
        while (
            len(self.pictures) > 1 and sum(p.nbytes for p in self.pictures.values()) > _KEPT_BYTES
        ):
            self.pictures.popitem(last=False)
        return picture


@dataclass(frozen=True, kw_only=True)
class RenderedBackdrops:
    """The demo's scenes in ``variants`` variants each.

    Args:
        rows: height of a picture; its width is half as much again.
        first_seed: of the scenes; sets with other seeds share no picture.
        variants: of each kind of scene.
    """

    rows: int
    first_seed: int = 0
    variants: int = 2
    _kept: _Kept = field(default_factory=_Kept, repr=False, compare=False)

    @property
    def count(self) -> int:
        return len(SCENES) * self.variants

    def picture(self, number: int) -> Array:
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        scene, variant = SCENES[number % len(SCENES)], number // len(SCENES)
        made = render(scene, self.first_seed + variant, self.rows, round(1.5 * self.rows))
        return self._kept.add(number, made)


@dataclass(frozen=True, kw_only=True)
class PictureBackdrops:
    """Linear HDR pictures, in the order given; of panoramas the part between the poles.

    Raises:
        PhotoError: as :func:`pipeline.images.reading.read_radiance`, and ``radiance-unusable``.
    """

    files: Sequence[FileInfo]
    limits: Limits = field(default_factory=Limits)
    _kept: _Kept = field(default_factory=_Kept, repr=False, compare=False)

    @property
    def count(self) -> int:
        return len(self.files)

    def picture(self, number: int) -> Array:
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        file = self.files[number]
        radiance = clean(read_radiance(file.uri, self.limits), file.path)
        height, width = radiance.shape[:2]
        if abs(width - 2 * height) <= 0.01 * width:
            first, last = (round(height * share) for share in _PANORAMA_ROWS)
            radiance = np.ascontiguousarray(radiance[first:last])
        return self._kept.add(number, radiance)
