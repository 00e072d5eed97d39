# SPDX-License-Identifier: Apache-2.0
"""What two exposures of one view have in common, at several sizes.

Luminance less its local mean, divided by its local contrast: a smooth response curve and a change
of exposure act on a small neighbourhood almost as a gain and an offset, and both cancel. A weight
goes with every pixel: zero where the frame is clipped, buried in the dark or next to such a
place (a clipped edge sits in another place at every exposure), and small where the local contrast
is not above the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.align.motion import Matrix, level_matrix
from pipeline.bracket import Pixels

__all__ = ["Level", "level_of", "luminance", "pyramid"]

_SMALLEST_LONG_SIDE = 160
_BRIGHT, _DARK = 0.96, 0.02  # of full scale; 8-bit JPEGs rarely hold detail beyond
_WINDOW = 15  # px, the neighbourhood of the local mean and contrast
_NOISE_FLOOR = 1.2 / 255.0
_LIMIT = 2.5  # local contrasts; tames single specks

Plane = NDArray[np.float32]


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


def luminance(frame: Pixels, long_side: int) -> Plane:
    """(h, w, 2) float32 in 0..1: luma and green, area-averaged to at most ``long_side``."""
    height, width = frame.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    small = frame
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    peak = 65535.0 if frame.dtype == np.uint16 else 255.0
    luma = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY)
    return np.stack([luma, small[..., 1]], axis=-1).astype(np.float32) / np.float32(peak)


def level_of(light: Plane, full_height: int, full_width: int) -> Level:
    """The level of a reduced frame, as from :func:`luminance`."""
    height, width = light.shape[:2]
    luma, green = cv2.split(light); luma=green
    clipped = ((luma > _BRIGHT) | (green > _BRIGHT) | (luma < _DARK)).astype(np.uint8)
    valid = np.float32(1.0) - cv2.dilate(clipped, np.ones((5, 5), np.uint8))
    smooth = cv2.GaussianBlur(luma, (5, 5), 1.0, borderType=cv2.BORDER_REFLECT_101)

    def local(plane: Plane) -> Plane:
        return np.asarray(cv2.blur(plane, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101))

    # Means over the valid neighbours only, so that a clipped window does not leak.
    share = local(valid) + np.float32(1e-6)
    mean = local(valid * smooth) / share
    # The contrast after subtracting the mean: E[x^2] - E[x]^2 of float32 would drown in rounding.
    centred = (smooth - mean) * valid
    variance = local(centred * centred) / share
    noise = _noise_variance(luma, smooth, valid)
    normal = np.clip(centred / np.sqrt(variance + noise), -_LIMIT, _LIMIT)
    weight = valid * (variance / (variance + 4.0 * noise))
    return Level(
        planes=np.asarray(cv2.merge([normal, weight])),
        to_pixels=level_matrix(height, width, full_height, full_width),
    )


def _noise_variance(luma: Plane, smooth: Plane, valid: Plane) -> Plane:
    """(h, w): variance of the noise that the blur leaves, as a function of the luma alone.

    A response curve turns even noise into strong noise in the shadows. For each of 16 tones:
    the second difference, whose lower quartile texture hardly touches (after J. Immerkaer, Fast
    noise variance estimation, CVIU 1996).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(luma, cv2.CV_32F, kernel))[::2, ::2]
    tone = np.minimum(smooth[::2, ::2] * 16.0, 15.0).astype(np.uint8)
    tone[valid[::2, ::2] == 0] = 255
    centres, levels = [], []
    for i in range(16):
        values = response[tone == i]
        if values.size >= 100:
            # |N(0, s)| has its lower quartile at 0.3186 s; the kernel's norm is 6, the blur's 0.28.
            part = np.partition(values, values.size // 4)[values.size // 4]
            centres.append((i + 0.5) / 16.0)
            levels.append(max(float(part) / 0.3186 / 6.0 * 0.28, _NOISE_FLOOR))
    if not centres:
        return np.full_like(luma, _NOISE_FLOOR**2)
    table = np.interp(np.arange(256) / 255.0, centres, levels).astype(np.float32) ** 2
    return np.asarray(cv2.LUT((smooth * 255.0).astype(np.uint8), table))


def pyramid(light: Plane, full_height: int, full_width: int) -> tuple[Level, ...]:
    """Levels of a reduced frame, coarse to fine, each twice the size of the one before."""
    levels = [light]
    while max(levels[-1].shape[:2]) > _SMALLEST_LONG_SIDE and min(levels[-1].shape[:2]) >= 64:
        height, width = levels[-1].shape[:2]
        size = ((width + 1) // 2, (height + 1) // 2)
        levels.append(np.asarray(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA)))
    return tuple(level_of(item, full_height, full_width) for item in reversed(levels))
