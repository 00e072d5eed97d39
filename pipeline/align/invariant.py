# SPDX-License-Identifier: Apache-2.0
"""What two exposures of one view have in common.

First the tones of both are matched: each pixel becomes its rank among all pixels, clipped to the
band that both frames resolve. Exposure and response curve are gone, and what one frame clips or
buries is flat in both alike, so that even its outline tells where things are (the idea of the
median threshold bitmap, G. Ward, Fast, robust image registration for compositing high dynamic
range photographs from hand-held exposures, JGT 2003, with all tones instead of one).

Then the ranks less their local mean, divided by their local contrast: what a vignette, glare or a
local tone curve does to a neighbourhood is nearly a gain and an offset, and both cancel. A weight
goes with every pixel, small where the contrast is not above the noise.

The green channel stands for the frame, not luma: a tone curve then acts on one number, and what is
clipped is plain to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.align.motion import Matrix, level_matrix
from pipeline.bracket import Pixels

__all__ = ["Level", "Plane", "halvings", "level_of", "match_tones", "tones_of"]

_SMALLEST_LONG_SIDE = 160
_BRIGHT, _DARK = 0.96, 0.02  # of full scale; 8-bit JPEGs rarely hold detail beyond
_WINDOW = 15  # px, the neighbourhood of the local mean and contrast
_NOISE_FLOOR = 1.2 / 255.0
_LIMIT = 2.5  # local contrasts; tames single specks
_TONES = 4096
_LEAST_BAND = 0.05  # of the pixels, between what one frame buries and the other clips

Plane = NDArray[np.float32]
Channel = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One frame at one size.

    Attributes:
        planes: (h, w, 2) float32, the normalised luminance and its weight in 0..1.
        to_pixels: (3, 3), normalised coordinates to pixels of this level.
    """

    planes: Plane
    to_pixels: Matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)"""
        return int(self.planes.shape[0]), int(self.planes.shape[1])


def tones_of(frame: Pixels, long_side: int) -> Plane:
    """(h, w) float32 in 0..1: the green channel, area-averaged to at most ``long_side``."""
    height, width = frame.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    green: Channel = frame[..., 1].copy()
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        green = cast(Channel, cv2.resize(green, size, interpolation=cv2.INTER_AREA))
    peak = 65535.0 if frame.dtype == np.uint16 else 255.0
    return np.asarray(green.astype(np.float32) / np.float32(peak))


def match_tones(one: Plane, other: Plane) -> tuple[Plane, Plane] | None:
    """Both frames as ranks of their tones in 0..1, clipped to the band that both resolve.

    Equal scene content has equal rank whatever the exposure and the response curve (M. Grossberg
    and S. Nayar, Determining the camera response from images, PAMI 2003), as long as most of the
    content is in both. None where there is hardly such a band.
    """
    indices, ranks, low, high = [], [], 0.0, 1.0
    for tones in (one, other):
        index = (tones * np.float32(_TONES - 1)).astype(np.uint16)
        share = cv2.calcHist([index], [0], None, [_TONES], [0, _TONES]).ravel() / tones.size
        upto = np.cumsum(share, dtype=np.float64)
        low = max(low, float(upto[int(_DARK * _TONES)]))
        high = min(high, float(upto[int(_BRIGHT * _TONES)]))
        indices.append(index)
        ranks.append(upto - 0.5 * share)
    if high - low < _LEAST_BAND:
        return None
    first, second = (
        np.clip((rank - low) / (high - low), 0.0, 1.0).astype(np.float32)[index]
        for rank, index in zip(ranks, indices, strict=True)
    )
    return first, second


def halvings(plane: Plane) -> tuple[Plane, ...]:
    """The plane and its halvings, coarse to fine, down to a long side of at most 160 px."""
    stages = [plane]
    while max(plane.shape) > _SMALLEST_LONG_SIDE and min(plane.shape) >= 64:
        size = ((plane.shape[1] + 1) // 2, (plane.shape[0] + 1) // 2)
        plane = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))
        stages.append(plane)
    return tuple(reversed(stages))


def level_of(tones: Plane, full_height: int, full_width: int) -> Level:
    """The level of a plane of matched tones (h, w), which may be reduced from the full size."""
    blurred = cv2.GaussianBlur(tones, (5, 5), 1.0, borderType=cv2.BORDER_REFLECT_101)
    smooth = cast(Plane, blurred)

    def local(plane: Plane) -> Plane:
        mean = cv2.blur(plane, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)
        return cast(Plane, mean)

    # The contrast after subtracting the mean: E[x^2] - E[x]^2 of float32 would drown in rounding.
    centred = smooth - local(smooth)
    variance = local(centred * centred)
    noise = _noise_variance(tones, smooth)
    normal = np.clip(centred / np.sqrt(variance + noise), -_LIMIT, _LIMIT)
    weight = variance / (variance + 4.0 * noise)
    return Level(
        planes=np.asarray(cv2.merge([normal, weight])),
        to_pixels=level_matrix(tones.shape[0], tones.shape[1], full_height, full_width),
    )


def _noise_variance(tones: Plane, smooth: Plane) -> Plane:
    """(h, w): variance of the noise that the blur leaves, as a function of the tone alone.

    A response curve turns even noise into strong noise in the shadows. For each of 16 tones:
    the second difference, whose lower quartile texture hardly touches (after J. Immerkaer, Fast
    noise variance estimation, CVIU 1996).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    step = 4 if tones.size > 400_000 else 2
    response = np.abs(cv2.filter2D(tones, cv2.CV_32F, kernel)[::step, ::step])
    tone = np.minimum(smooth[::step, ::step] * 16.0, 15.0).astype(np.uint8)
    centres, levels = [], []
    for i in range(16):
        values = response[tone == i]
        if values.size >= 100:
            # |N(0, s)| has its lower quartile at 0.3186 s; the kernel's norm is 6, the blur's 0.28.
            part = np.partition(values, values.size // 4)[values.size // 4]
            centres.append((i + 0.5) / 16.0)
            levels.append(max(float(part) / 0.3186 / 6.0 * 0.28, _NOISE_FLOOR))
    if not centres:
        return np.full_like(tones, _NOISE_FLOOR**2)
    table = np.interp(np.arange(256) / 255.0, centres, levels).astype(np.float32) ** 2
    return np.asarray(cv2.LUT((smooth * 255.0).astype(np.uint8), table))
