# SPDX-License-Identifier: Apache-2.0
"""A camera for known radiance: exposure, vignetting, noise, clipping, response curve, motion.

The model is the usual one: sensor charge is radiance times exposure, with Gaussian-approximated
shot noise and read noise; a tone curve turns it into display-referred pixels (Debevec and Malik
1997, DOI 10.1145/258734.258884, call it the response curve).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np

from pipeline.bracket import Pixels
from pipeline.demo.noise import Array
from pipeline.demo.solids import Vector

__all__ = [
    "CAMERA_A",
    "CAMERA_B",
    "STILL",
    "Camera",
    "Motion",
    "balanced",
    "base_exposure",
    "coverage",
    "expose",
    "hand_motion",
    "nominal_time",
]

_CODES = np.linspace(0.0, 1.0, 4097)
_GOOD = (0.18, 0.94)  # display range that auto exposure aims at: shadows with detail in them
_HIGHLIGHTS = 3.0  # what a pixel that is white in every frame weighs against one too dark


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A body with its sensor and its in-camera rendering.

    Args:
        sensitivity: linear signal at radiance 1, 1 s, f/1, ISO 100.
        full_well: electrons at full scale, ISO 100.
        read_noise: electrons.
        contrast: strength of the S-curve over the sRGB curve, 0 to 0.9.
        white_balance: gains of R, G, B before clipping.
        vignetting: share of light lost in the corners.
        bits: of the files that it writes.
    """

    make: str
    model: str
    serial: str
    sensitivity: float = 300.0
    full_well: float = 45_000.0
    read_noise: float = 4.0
    contrast: float = 0.25
    white_balance: Vector = (1.0, 1.0, 1.0)
    vignetting: float = 0.0
    bits: Literal[8, 16] = 8

    def gain(self, exposure_time_s: float, f_number: float, iso: float) -> float:
        """Linear signal (1 clips) for radiance 1."""
        return self.sensitivity * exposure_time_s * iso / 100.0 / f_number**2

    def respond(self, signal: Array) -> Array:
        """Linear signal 0..1 to display-referred 0..1."""
        return np.interp(signal, _linear(self._curve_codes()), _CODES).astype(np.float32)

    def invert(self, display: Array) -> Array:
        """Display-referred 0..1 to linear signal 0..1; the inverse of :meth:`respond`."""
        return np.interp(display, _CODES, _linear(self._curve_codes())).astype(np.float32)

    def _curve_codes(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The sRGB code below each display code: the S-curve is monotone for contrast < 1."""
        s = _CODES + self.contrast * _CODES * (1 - _CODES) * (2 * _CODES - 1)
        return np.interp(_CODES, s, _CODES)


CAMERA_A = Camera(
    make="Bracketflow", model="Demo A7", serial="0021004711", contrast=0.25, vignetting=0.18
)
CAMERA_B = Camera(
    make="Obscura", model="OB-1", serial="A9-55120", contrast=0.12, full_well=60_000.0,
    read_noise=3.0, vignetting=0.10,
)  # fmt: skip
"""The two bodies of the demo's photographer."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How a frame moved against the bracket's reference: a homography of centred coordinates.

    Coordinates are pixels from the picture's centre divided by its diagonal.
    """

    matrix: tuple[Vector, Vector, Vector] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))

    def homography(
        self, height: int, width: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """3 x 3: pixel (x, y, 1) of the frame to the pixel of the motionless frame it shows."""
        diagonal = float(np.hypot(height, width))
        center = np.array(
            [[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, diagonal]], np.float64
        )
        out = np.linalg.inv(center) @ np.array(self.matrix, np.float64) @ center
        return np.asarray(out / out[2, 2], np.float64)


STILL = Motion()
"""No motion: a tripod."""


def hand_motion(rng: np.random.Generator, *, strength: float = 1.0) -> Motion:
    """Between two frames of a steady hand: up to 0.6 % shift, 0.35 degrees roll, a little tilt."""
    turn = np.deg2rad(rng.uniform(-0.35, 0.35)) * strength
    dx, dy = rng.uniform(-0.006, 0.006, 2) * strength
    tilt_x, tilt_y = rng.uniform(-0.004, 0.004, 2) * strength
    c, s = float(np.cos(turn)), float(np.sin(turn))
    return Motion(matrix=((c, -s, float(dx)), (s, c, float(dy)), (float(tilt_x), float(tilt_y), 1)))


def nominal_time(exposure_time_s: float) -> Fraction:
    """The exposure time that a camera would write: 1/n s, or tenths of a second above 0.3 s."""
    if exposure_time_s < 0.3:
        return Fraction(1, max(1, round(1 / exposure_time_s)))
    return Fraction(max(1, round(exposure_time_s * 10)), 10)


def balanced(camera: Camera, radiance: Array, *, strength: float = 0.5) -> Camera:
    """The camera with its white balance set part of the way to a grey mean of the middle tones."""
    tone = radiance.mean(2)
    low, high = np.quantile(tone, (0.2, 0.9))
    mean = radiance[(tone >= low) & (tone <= high)].mean(0)
    gains = (mean.mean() / np.maximum(mean, 1e-6)) ** strength
    gains = np.clip(gains / gains[1], 0.5, 2.2)
    return replace(camera, white_balance=(float(gains[0]), float(gains[1]), float(gains[2])))


def coverage(
    signal: Array,
    biases_ev: Sequence[float],
    camera: Camera,
    *,
    limits: tuple[float, float] = _GOOD,
) -> float:
    """Share of pixels that are well exposed in at least one frame.

    Args:
        signal: linear, of the frame with bias 0, (..., 3), not clipped.
        biases_ev: of the frames, in stops.
        limits: a pixel is well exposed when its brightest channel lies between these
            display-referred values.
    """
    peak = signal.max(-1)
    low, high = camera.invert(np.array(limits, np.float32))
    well = np.zeros(peak.shape, np.bool_)
    for bias in biases_ev:
        lit = peak * np.float32(2.0**bias)
        well |= (lit >= low) & (lit <= high)
    return float(well.mean())


def base_exposure(
    radiance: Array, camera: Camera, biases_ev: Sequence[float], *, f_number: float, iso: float
) -> float:
    """Auto exposure: the time in seconds for bias 0 with which the bracket covers most pixels.

    Candidates lie within four stops, in thirds, of the time that puts the log-average at 18 %.
    Among those that cover nearly as much as the best, the one nearest to that time is taken.
    """
    small = radiance[:: max(1, radiance.shape[0] // 200), :: max(1, radiance.shape[1] // 200)]
    small = small * np.array(camera.white_balance, np.float32)
    middle = float(np.exp(np.log(small.mean(2) + 1e-6).mean()))
    metered = 0.18 / middle / camera.gain(1.0, f_number, iso)
    offsets = np.arange(-12, 13) / 3.0
    shares = []
    for offset in offsets:
        signal = small * np.float32(camera.gain(metered * 2.0**offset, f_number, iso))
        burnt = float((signal.max(2) * 2.0 ** min(biases_ev) > 1).mean())
        shares.append(coverage(signal, biases_ev, camera) - _HIGHLIGHTS * burnt)
    good = [o for o, share in zip(offsets, shares, strict=True) if share >= max(shares) - 0.002]
    return float(metered * 2.0 ** min(good, key=abs))


def expose(
    radiance: Array,
    *,
    exposure_time_s: float,
    f_number: float,
    iso: float,
    camera: Camera,
    rng: np.random.Generator,
    motion: Motion = STILL,
    size: tuple[int, int] | None = None,
) -> Pixels:
    """Take one frame.

    Args:
        radiance: (H', W', 3) linear; larger than the frame where the camera moves, so that no
            border has to be invented.
        motion: of this frame against the bracket's reference.
        size: (H, W) of the frame, centred in the radiance; all of it by default.

    Returns:
        (H, W, 3) uint8 or uint16, display-referred, as the camera's ``bits`` say.
    """
    height, width = size or radiance.shape[:2]
    top, left = (radiance.shape[0] - height) // 2, (radiance.shape[1] - width) // 2
    if motion == STILL:
        seen: Array = radiance[top : top + height, left : left + width]
    else:
        shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        warped = cv2.warpPerspective(
            radiance,
            shift @ motion.homography(height, width),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        seen = np.asarray(warped, np.float32)
    gains = camera.gain(exposure_time_s, f_number, iso) * np.array(camera.white_balance)
    signal = seen * gains.astype(np.float32)
    if camera.vignetting:
        signal *= (1 - np.float32(camera.vignetting) * _corner(height, width))[..., None]
    well = camera.full_well * 100.0 / iso
    deviation = np.sqrt(np.minimum(signal, 4.0) / well + (camera.read_noise / well) ** 2)
    signal += deviation * rng.standard_normal(signal.shape, dtype=np.float32)
    display = camera.respond(np.clip(signal, 0, 1))
    if camera.bits == 16:
        return np.round(display * 65535).astype(np.uint16)
    return np.round(display * 255).astype(np.uint8)


def _corner(height: int, width: int) -> Array:
    """0 in the centre, 1 in the corners, with the square of the distance."""
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    return np.asarray((x * x + y * y) / (height**2 + width**2) * 4, np.float32)


def _linear(
    codes: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """IEC 61966-2-1 decoding."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
