# SPDX-License-Identifier: Apache-2.0
"""What two exposures of one view have in common, at several sizes.

Green less its local mean, divided by its local contrast: a smooth response curve and a change of
exposure act on a small neighbourhood almost as a gain and an offset, and both cancel. One channel,
not luma, because a tone curve then acts on one number and clipping is plain to see. A weight goes
with every pixel: zero where the frame is clipped, buried in the dark or next to such a place (a
clipped edge sits elsewhere at every exposure), small where the contrast is not above the noise.

Frames many stops apart share few unclipped pixels. For them :func:`match_tones` first brings two
frames to the tones that both resolve; what lies above or below is then flat in both alike, and its
outline tells where things are, as in a median threshold bitmap (G. Ward, Fast, robust image
registration for compositing high dynamic range photographs from hand-held exposures, JGT 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.align.motion import Matrix, level_matrix
from pipeline.bracket import Pixels

__all__ = ["Level", "Plane", "match_tones", "pyramid", "tones_of", "unclipped"]

_SMALLEST_LONG_SIDE = 160
_BRIGHT, _DARK = 0.96, 0.02  # of full scale; 8-bit JPEGs rarely hold detail beyond
_WINDOW = 15  # px, the neighbourhood of the local mean and contrast
_NOISE_FLOOR = 1.2 / 255.0
_LIMIT = 2.5  # local contrasts; tames single specks
_TONES = 4096
_LEAST_BAND = 0.05  # of the pixels, between what one frame buries and the other clips

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


def tones_of(frame: Pixels, long_side: int) -> Plane:
    """(h, w) float32 in 0..1: the green channel, area-averaged to at most ``long_side``."""
    height, width = frame.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    small = frame
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    peak = 65535.0 if frame.dtype == np.uint16 else 255.0
    return np.asarray(small[..., 1].astype(np.float32) / np.float32(peak))


def unclipped(tones: Plane) -> Plane:
    """(h, w) float32: 1 where a frame is neither clipped nor buried nor beside such a place."""
    clipped = ((tones > _BRIGHT) | (tones < _DARK)).astype(np.uint8)
    return np.float32(1.0) - cv2.dilate(clipped, np.ones((5, 5), np.uint8))


def match_tones(one: Plane, other: Plane) -> tuple[Plane, Plane] | None:
    """Both frames as ranks of their tones in 0..1, clipped to the band that both resolve.

    Equal scene content has equal rank whatever the exposure and the response curve (M. Grossberg
    and S. Nayar, Determining the camera response from images, PAMI 2003), as long as most of the
    content is in both. None where there is hardly such a band.
    """
    ranks, low, high = [], 0.0, 1.0
    for tones in (one, other):
        index = np.minimum(tones * np.float32(_TONES), np.float32(_TONES - 1)).astype(np.intp)
        share = np.bincount(index.ravel(), minlength=_TONES) / tones.size
        upto = np.cumsum(share)
        low = max(low, float(upto[int(_DARK * _TONES)]))
        high = min(high, float(upto[int(_BRIGHT * _TONES)]))
        ranks.append((upto - 0.5 * share).astype(np.float32)[index])
    if high - low < _LEAST_BAND:
        return None
    first, second = (np.clip((r - low) / (high - low), 0.0, 1.0).astype(np.float32) for r in ranks)
    return first, second


def pyramid(
    tones: Plane, valid: Plane, full_height: int, full_width: int
) -> tuple[Level, ...]:
    """Levels of a reduced frame, coarse to fine, each twice the size of the one before."""
    stages = [(tones, valid)]
    while max(tones.shape) > _SMALLEST_LONG_SIDE and min(tones.shape) >= 64:
        size = ((tones.shape[1] + 1) // 2, (tones.shape[0] + 1) // 2)
        tones = cv2.resize(tones, size, interpolation=cv2.INTER_AREA)
        valid = cv2.resize(valid, size, interpolation=cv2.INTER_AREA)
        stages.append((tones, valid))
    return tuple(
        # A pixel that averages clipped ones is as wrong as they are.
        _level(t, (v > 0.85).astype(np.float32), full_height, full_width)
        for t, v in reversed(stages)
    )


def _level(tones: Plane, valid: Plane, full_height: int, full_width: int) -> Level:
    smooth = cv2.GaussianBlur(tones, (5, 5), 1.0, borderType=cv2.BORDER_REFLECT_101)

    def local(plane: Plane) -> Plane:
        return np.asarray(cv2.blur(plane, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101))

    # Means over the valid neighbours only, so that a clipped window does not leak.
    share = local(valid) + np.float32(1e-6)
    mean = local(valid * smooth) / share
    # The contrast after subtracting the mean: E[x^2] - E[x]^2 of float32 would drown in rounding.
    centred = (smooth - mean) * valid
    variance = local(centred * centred) / share
    noise = _noise_variance(tones, smooth, valid)
    normal = np.clip(centred / np.sqrt(variance + noise), -_LIMIT, _LIMIT)
    weight = valid * (variance / (variance + 4.0 * noise))
    return Level(
        planes=np.asarray(cv2.merge([normal, weight])),
        to_pixels=level_matrix(*tones.shape, full_height, full_width),
    )


def _noise_variance(tones: Plane, smooth: Plane, valid: Plane) -> Plane:
    """(h, w): variance of the noise that the blur leaves, as a function of the tone alone.

    A response curve turns even noise into strong noise in the shadows. For each of 16 tones:
    the second difference, whose lower quartile texture hardly touches (after J. Immerkaer, Fast
    noise variance estimation, CVIU 1996).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(tones, cv2.CV_32F, kernel))[::2, ::2]
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
        return np.full_like(tones, _NOISE_FLOOR**2)
    table = np.interp(np.arange(256) / 255.0, centres, levels).astype(np.float32) ** 2
    return np.asarray(cv2.LUT((smooth * 255.0).astype(np.uint8), table))
