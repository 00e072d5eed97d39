# SPDX-License-Identifier: Apache-2.0
"""The pyramids that :mod:`model.ufm_k` works on: levels of frames, and what is measured on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from model import pyramid_kernels as kernels
from model.luma import luma
from model.pyramids import expand, reduce, size_at

__all__ = [
    "LEAST_ENERGY",
    "MEASURES",
    "WELL_EXPOSED_SIGMA",
    "Gaussian",
    "Level",
    "laplacian_levels",
    "local_mean",
    "lowest",
    "measured",
    "next_level",
    "raised",
]

MEASURES = 6
WELL_EXPOSED_SIGMA = 0.2  # Mertens, Kautz and Van Reeth 2007, section 3.1
LEAST_ENERGY = 0.05  # of 8-bit steps squared: below it is rounding


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian level of a batch: ``frames`` (B, K, 3, h, w) in 0..1; the energy of all finer
    details, the share of well-exposed pixels and the saturation, (B, K, 1, h, w), smoothed like
    the frames."""

    frames: torch.Tensor
    energy: torch.Tensor
    exposed: torch.Tensor
    saturation: torch.Tensor

    def part(self, rows: slice, cols: slice) -> Gaussian:
        """A rectangle of the level."""
        planes = (self.frames, self.energy, self.exposed, self.saturation)
        return Gaussian(*(plane[..., rows, cols] for plane in planes))


@dataclass(frozen=True)
class Level:
    """A Laplacian level: ``details`` (B, K, 3, h, w), ``measures`` (B, K, 6, h, w) and the log of
    the local energy of the details, (B, K, 1, h, w)."""

    details: torch.Tensor
    measures: torch.Tensor
    activity: torch.Tensor


def lowest(frames: torch.Tensor) -> Gaussian:
    """The lowest level, of the frames themselves, (B, K, 3, h, w) in 0..1."""
    distance = (luma(frames) - 0.5).square_()
    exposed = distance.mul_(-1 / (2 * WELL_EXPOSED_SIGMA**2)).exp_()
    saturation = frames.amax(-3, keepdim=True) - frames.amin(-3, keepdim=True)
    return Gaussian(frames, torch.zeros_like(exposed), exposed, saturation)


@torch.no_grad()
def laplacian_levels(bottom: Gaussian, count: int) -> tuple[list[Level], Gaussian]:
    """``count`` Laplacian levels from ``bottom`` on, finest first, and what is left above."""
    levels: list[Level] = []
    here = bottom
    for _ in range(count):
        smaller = reduce(here.frames)
        details = here.frames - expand(smaller, here.frames.shape[-2:])
        own = luma(details)
        measures, activity = measured(here, own)
        levels.append(Level(details, measures, activity))
        energy = here.energy + own.mul(255).square_()
        here = Gaussian(smaller, *map(reduce, (energy, here.exposed, here.saturation)))
    return levels, here


@torch.no_grad()
def next_level(here: Gaussian) -> Gaussian:
    """The Gaussian level above, without the details that are left behind."""
    smaller = reduce(here.frames)
    own = luma(here.frames) - expand(luma(smaller), here.frames.shape[-2:])
    energy = here.energy + own.mul_(255).square_()
    return Gaussian(smaller, *map(reduce, (energy, here.exposed, here.saturation)))


@torch.no_grad()
def raised(frame: torch.Tensor, times: int) -> torch.Tensor:
    """The Gaussian level ``times`` > 0 steps up of a frame, (3, H, W) to (6, h, w).

    The planes are those of the frame, exposed, saturation and energy. On a CPU compiled loops do
    it, in one thread.
    """
    if frame.device.type == "cpu" and frame.dtype == torch.float32:
        return torch.from_numpy(_raised(frame.contiguous().numpy(), times))
    here = lowest(frame[None, None])
    for _ in range(times):
        here = next_level(here)
    return torch.cat([here.frames, here.exposed, here.saturation, here.energy], 2)[0, 0]


def _raised(frame: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    height, width = frame.shape[1:]
    measures = np.zeros((3, height, width), np.float32)
    kernels.tone_rows(frame, np.float32(1 / (2 * WELL_EXPOSED_SIGMA**2)), measures, 0, height)
    smaller = measures
    for _ in range(times):
        height, width = frame.shape[1:]
        half = size_at(height, 1)
        smaller = np.empty((6, half, size_at(width, 1)), np.float32)
        kernels.reduce_rows(frame, smaller[:3], 0, half)
        kernels.energy_rows(frame, smaller[:3], measures[2], 0, height)
        kernels.reduce_rows(measures, smaller[3:], 0, half)
        frame, measures = smaller[:3], smaller[3:]
    return smaller


@torch.no_grad()
def measured(here: Gaussian, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The six measures of a level and, (B, K, 1, h, w), the log of its local energy.

    Args:
        own: Luma of the level's details, (B, K, 1, h, w).
    """
    squared = own.mul(255).square_()
    activity = local_mean(squared.flatten(0, 1)).view_as(squared).add_(LEAST_ENERGY).log_()
    texture = (here.energy + squared).add_(LEAST_ENERGY).log_()
    # Scaled to about -1..1.
    measures = torch.cat(
        [
            luma(here.frames).mul_(2).sub_(1),
            own * 8,
            activity * 0.2,
            texture.mul_(0.2),
            here.exposed * 2 - 1,
            here.saturation * 2,
        ],
        2,
    )
    return measures, activity


def local_mean(squared: torch.Tensor) -> torch.Tensor:
    """Means of (N, 1, h, w) over the 5 x 5 px around each pixel, repeated borders."""
    return functional.avg_pool2d(functional.pad(squared, (2, 2, 2, 2), "replicate"), 5, 1)
