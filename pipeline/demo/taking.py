# SPDX-License-Identifier: Apache-2.0
"""Taking a bracket of known radiance: the frames one after the other, as files of a camera."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

import numpy as np

from pipeline.demo.camera import STILL, Camera, expose, hand_motion, nominal_time
from pipeline.demo.files import ExifData, photo_bytes
from pipeline.demo.noise import Array
from pipeline.demo.truth import FrameTruth

__all__ = ["Shooting", "take_bracket"]


@dataclass(frozen=True, kw_only=True)
class Shooting:
    """How a bracket is taken.

    Args:
        base_s: exposure time at bias 0; each frame's is rounded to what cameras write.
        biases_ev: in stops, in the order of taking; the one nearest to 0 is the reference.
        started: when the first frame is taken.
        handheld: all frames but the reference move.
        portrait: the camera is held upright; its sensor is read in landscape all the same.
    """

    camera: Camera
    f_number: Fraction
    iso: int
    base_s: float
    biases_ev: tuple[float, ...]
    started: datetime
    handheld: bool = False
    portrait: bool = False

    @property
    def reference(self) -> int:
        """Index of the frame that the others are compared with."""
        return min(range(len(self.biases_ev)), key=lambda k: abs(self.biases_ev[k]))


def take_bracket(
    radiance: Array,
    shooting: Shooting,
    paths: Sequence[str],
    rng: np.random.Generator,
    size: tuple[int, int],
) -> Iterator[tuple[FrameTruth, bytes]]:
    """Take the frames.

    Args:
        radiance: (H', W', 3) linear, larger than the frames where the camera moves.
        paths: where each file will lie, relative to the archive.
        rng: of noise and motion.
        size: (H, W) of the upright frames, centred in the radiance.

    Yields:
        the truth about a frame, and the content of its file: JPEG, or TIFF of a 16-bit camera.
    """
    moment = shooting.started
    camera, f_number, iso = shooting.camera, shooting.f_number, shooting.iso
    for k, (bias, path) in enumerate(zip(shooting.biases_ev, paths, strict=True)):
        time = nominal_time(shooting.base_s * 2.0**bias)
        moves = shooting.handheld and k != shooting.reference
        motion = hand_motion(rng) if moves else STILL
        pixels = expose(
            radiance,
            exposure_time_s=float(time),
            f_number=float(f_number),
            iso=iso,
            camera=camera,
            rng=rng,
            motion=motion,
            size=size,
        )
        # A camera held upright still reads its sensor in landscape; 6 says: turn clockwise.
        exif = ExifData(
            make=camera.make,
            model=camera.model,
            serial=camera.serial,
            exposure_time_s=time,
            f_number=f_number,
            iso=iso,
            bias_ev=Fraction(bias).limit_denominator(3),
            captured=moment,
            orientation=6 if shooting.portrait else 1,
        )
        truth = FrameTruth(
            path=path,
            exposure_time_s=float(time),
            f_number=float(f_number),
            iso=iso,
            bias_ev=float(exif.bias_ev),
            captured=moment,
            motion=motion,
        )
        yield truth, photo_bytes(np.rot90(pixels) if shooting.portrait else pixels, exif)
        moment += timedelta(seconds=round(float(time) + (0.9 if shooting.handheld else 0.4), 2))
