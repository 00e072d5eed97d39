# SPDX-License-Identifier: Apache-2.0
"""The interface of every fusion model: two steps, so that a photograph of any size fits.

``prepare`` sees the whole stack (through :class:`StackPixels`, at whatever size it likes) and
returns what is global. ``fuse_tile`` then works on one tile with a halo around it. The tiler
(``model.tiles``) calls both; nothing else needs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

__all__ = ["FusionModel", "StackPixels", "TensorStack", "Tile"]


class StackPixels(Protocol):
    """A stack of K display-referred frames, dark to bright, handed out in parts."""

    @property
    def count(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def exposure_times_s(self) -> tuple[float, ...] | None: ...

    def tile(self, rows: slice, cols: slice) -> torch.Tensor:
        """(K, 3, h, w) float32 sRGB in 0..1."""
        ...

    def reduced(self, height: int, width: int) -> torch.Tensor:
        """(K, 3, height, width) float32 sRGB in 0..1, area-averaged."""
        ...


@dataclass(frozen=True)
class TensorStack:
    """A stack that is a tensor already: (K, 3, H, W) float32 in 0..1."""

    pixels: torch.Tensor
    exposure_times_s: tuple[float, ...] | None = None

    @property
    def count(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[3])

    def tile(self, rows: slice, cols: slice) -> torch.Tensor:
        return self.pixels[:, :, rows, cols]

    def reduced(self, height: int, width: int) -> torch.Tensor:
        return torch.nn.functional.interpolate(self.pixels, size=(height, width), mode="area")


@dataclass(frozen=True)
class Tile:
    """A rectangle of a stack: (K, 3, h, w) float32 in 0..1, halo included, on the model's device.

    ``top`` and ``left`` place it in the full image; ``image_height`` and ``image_width`` are that
    image's size, so that a model knows which sides are real borders.
    """

    pixels: torch.Tensor
    top: int
    left: int
    image_height: int
    image_width: int


class FusionModel(Protocol):
    """What the pipeline knows of a model.

    ``halo_px`` is how far a result pixel looks; tiles start at multiples of ``align_px``.
    ``output`` says whether the result is a fusion (sRGB in 0..1) or a radiance (linear).
    """

    @property
    def name(self) -> str: ...
    @property
    def output(self) -> Literal["fusion", "radiance"]: ...
    @property
    def halo_px(self) -> int: ...
    @property
    def align_px(self) -> int: ...
    @property
    def device(self) -> torch.device: ...

    def prepare(self, stack: StackPixels) -> Any:
        """Global facts of the stack (the context), of any type the model likes."""
        ...

    def fuse_tile(self, tile: Tile, context: Any) -> torch.Tensor:
        """(3, h, w) float32, the same rectangle as the tile (the tiler cuts the halo off)."""
        ...
