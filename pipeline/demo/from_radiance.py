# SPDX-License-Identifier: Apache-2.0
"""Brackets out of a linear HDR picture: views of it, photographed with the demo's camera.

The camera is one without faults of its own: no vignetting, no white balance, no motion. So a
bracket's ground truth is the view itself, in the units of the picture; what lies between the two
is exposure, noise, clipping, a response curve and JPEG. Everything follows from a seed and the
picture's name, whatever other pictures there are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.camera import CAMERA_A, CAMERA_B, Camera, base_exposure
from pipeline.demo.noise import Array
from pipeline.demo.taking import Shooting
from pipeline.errors import PhotoError, UsageError

__all__ = ["RenderSettings", "View", "Viewed", "clean", "shoot", "views", "with_sensitivity"]

_STEPS_EV = (1.0, 4 / 3, 5 / 3, 2.0, 7 / 3, 8 / 3, 3.0)
_COUNTS = (3, 4, 5, 6, 7)
_SPAN_EV = 10.0  # from the darkest to the brightest frame, at most
_OFF_EV = 2  # thirds of a stop that a base exposure may be off the automatic one, either way
_AUTO_EV = 1.5  # stops that auto exposure may leave the metered one, to cover more of the view
_F_NUMBER, _ISO = Fraction(8), 100
_METERED_S = (1 / 250, 1 / 30)  # times that a camera may measure, whatever the file's units are
_GREY = 0.18
_LEAST_PX = 32  # of a view's shorter side
_FIRST_DAY = datetime(2025, 6, 14, 9, 10)
_DAYS = 3650
_BETWEEN = timedelta(minutes=10)
_PANORAMA_ROWS = (0.12, 0.88)  # towards the poles an equirectangular picture is stretched
_PANORAMA_SHARES = (0.35, 0.6)  # height of a view
_SHARES = (0.6, 1.0)  # side of a view of any other picture


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """What is made of every picture.

    Raises:
        UsageError: ``option-invalid``, naming what is allowed.
    """

    brackets_per_picture: int = 4
    """Each has its own view, base exposure, step and number of frames."""
    megapixels: float = 1.0
    """Views that are larger are reduced to it by area."""
    seed: int = 0
    """Decides everything else."""

    def __post_init__(self) -> None:
        for option, value, low, high in (
            ("brackets-per-picture", self.brackets_per_picture, 1, 1000),
            ("seed", self.seed, 0, 2**32 - 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UsageError(
                    "option-invalid",
                    f"--{option} {value!r} must be a whole number within {low}..{high}.",
                )
        if not 0.01 <= self.megapixels <= 200:
            raise UsageError(
                "option-invalid", f"--megapixels {self.megapixels!r} must lie within 0.01..200."
            )


@dataclass(frozen=True, kw_only=True)
class View:
    """A rectangle of a picture in pixels, mirrored or not; a panorama goes round."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    def cut(self, radiance: Array, megapixels: float) -> Array:
        """What is seen, at most so large, (H, W, 3) float32; larger views are area-averaged."""
        columns = np.arange(self.left, self.left + self.width) % radiance.shape[1]
        seen = radiance[self.top : self.top + self.height][:, columns]
        if self.mirrored:
            seen = seen[:, ::-1]
        scale = math.sqrt(megapixels * 1e6 / (self.height * self.width))
        if scale < 1:
            size = max(1, int(self.width * scale)), max(1, int(self.height * scale))
            reduced = cv2.resize(np.ascontiguousarray(seen), size, interpolation=cv2.INTER_AREA)
            return np.asarray(reduced, np.float32)
        return np.ascontiguousarray(seen, np.float32)


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """One bracket to be: what is seen, how it is taken, and the source of its noise."""

    index: int
    view: View
    radiance: Array
    shooting: Shooting
    rng: np.random.Generator


def clean(radiance: NDArray[np.float32], name: str) -> Array:
    """The picture without what no light can be: negative and undefined values become black,
    infinite ones as bright as the brightest other.

    Raises:
        PhotoError: ``radiance-unusable``, it is all black.
    """
    known = np.isfinite(radiance)
    brightest = float(radiance[known].max()) if known.any() else 0.0
    if brightest <= 0:
        raise PhotoError(
            "radiance-unusable", f"{name} holds no light at all; check what wrote it, or remove it."
        )
    bounded = np.nan_to_num(radiance, nan=0.0, posinf=brightest, neginf=0.0)
    return np.maximum(bounded, np.float32(0))


def views(radiance: Array, name: str, settings: RenderSettings) -> Iterator[Viewed]:
    """The brackets to make of a picture, one after the other.

    The first view of an ordinary picture is all of it. Of a panorama (equirectangular, twice as
    wide as high) views are cut out between the poles, without changing the projection.

    Args:
        radiance: a clean picture (H, W, 3).
        name: of the picture, relative to its source; decides with the seed.
        settings: how many, how large.

    Raises:
        PhotoError: ``radiance-unusable``, the picture is too small, or a view is all black.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    number = int.from_bytes(digest[:8], "big")
    own = np.random.default_rng([settings.seed, number])
    body = CAMERA_A if own.random() < 0.5 else CAMERA_B
    camera = replace(body, vignetting=0.0, contrast=round(float(own.uniform(0.0, 0.4)), 3))
    day = _FIRST_DAY + timedelta(days=number % _DAYS)
    for index in range(settings.brackets_per_picture):
        rng = np.random.default_rng([settings.seed, number, index])
        view = _view(radiance.shape[0], radiance.shape[1], index, rng)
        seen = view.cut(radiance, settings.megapixels)
        if min(seen.shape[:2]) < _LEAST_PX:
            raise PhotoError(
                "radiance-unusable",
                f"A view of {name} has {seen.shape[1]} x {seen.shape[0]} px only; give larger "
                f"pictures, or more --megapixels.",
            )
        shooting = shoot(seen, camera, rng, started=day + index * _BETWEEN, name=name)
        yield Viewed(index=index, view=view, radiance=seen, shooting=shooting, rng=rng)


def shoot(
    radiance: Array, camera: Camera, rng: np.random.Generator, *, started: datetime, name: str
) -> Shooting:
    """How many frames are taken, how far apart, and around which exposure.

    Auto exposure covers as much of the view as it can, but keeps the metered frame fit to look at;
    the base exposure is up to two thirds of a stop off it. Files have units of their own, so the
    camera's sensitivity is set such that exposure times are a photographer's.

    Raises:
        PhotoError: ``radiance-unusable``, the view is all black.
    """
    count = int(rng.choice(_COUNTS))
    step = float(rng.choice([s for s in _STEPS_EV if s * (count - 1) <= _SPAN_EV]))
    biases = [(k - count // 2) * step for k in range(count)]
    shortest, longest = _METERED_S
    metered_s = shortest * (longest / shortest) ** rng.uniform()
    off_ev = int(rng.integers(-_OFF_EV, _OFF_EV + 1)) / 3
    taken = with_sensitivity(camera, radiance, metered_s, name)
    # Auto exposure is written for the demo's radiances; the ratio stays the same.
    unit = np.float32(taken.sensitivity / camera.sensitivity)
    auto_s = base_exposure(radiance * unit, camera, biases, f_number=float(_F_NUMBER), iso=_ISO)
    auto_s = min(max(auto_s, metered_s / 2**_AUTO_EV), metered_s * 2**_AUTO_EV)
    # One of the two bodies takes the metered frame first; an even number, from dark to bright.
    if camera.make == CAMERA_A.make and count % 2:
        biases.sort(key=lambda bias: (abs(bias), bias))
    return Shooting(
        camera=taken,
        f_number=_F_NUMBER,
        iso=_ISO,
        base_s=auto_s * 2.0**off_ev,
        biases_ev=tuple(biases),
        started=started,
    )


def with_sensitivity(camera: Camera, radiance: Array, metered_s: float, name: str) -> Camera:
    """The camera for which that exposure time puts the view's log-average at 18 %.

    Raises:
        PhotoError: ``radiance-unusable``, the view is all black.
    """
    tone = radiance.mean(2, dtype=np.float64)
    lit = tone[tone > 0]
    if not lit.size:
        raise PhotoError(
            "radiance-unusable",
            f"A view of {name} is all black; try another --seed, or remove the picture.",
        )
    middle = math.exp(float(np.log(lit).mean()))
    plain = replace(camera, sensitivity=1.0).gain(metered_s, float(_F_NUMBER), _ISO)
    return replace(camera, sensitivity=_GREY / middle / plain)


def _view(height: int, width: int, index: int, rng: np.random.Generator) -> View:
    mirrored = bool(rng.random() < 0.5)
    if abs(width - 2 * height) <= 0.01 * width:
        rows = round(height * rng.uniform(*_PANORAMA_SHARES))
        first, last = (round(height * share) for share in _PANORAMA_ROWS)
        return View(
            top=int(rng.integers(first, last - rows + 1)),
            left=int(rng.integers(width)),
            height=rows,
            width=min(width, round(rows * 1.5)),
            mirrored=mirrored,
        )
    share = rng.uniform(*_SHARES)
    if index == 0:
        share = 1.0
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    return View(
        top=int(rng.integers(height - rows + 1)),
        left=int(rng.integers(width - columns + 1)),
        height=rows,
        width=columns,
        mirrored=mirrored and index > 0,
    )
