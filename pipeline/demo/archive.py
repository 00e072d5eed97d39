# SPDX-License-Identifier: Apache-2.0
"""The demo archive: a photographer's days out with two cameras.

Every bracket is a pure function of its index and the plan, so brackets can be made in any order
and by any number of workers, and a benchmark's archive may have any number of them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR

from pipeline.demo.camera import (
    CAMERA_A,
    CAMERA_B,
    Camera,
    balanced,
    base_exposure,
    coverage,
    expose,
    nominal_time,
)
from pipeline.demo.files import ExifData, photo_bytes
from pipeline.demo.noise import Array
from pipeline.demo.scenes import SCENES, render
from pipeline.demo.taking import Shooting, take_bracket
from pipeline.demo.truth import ArchivePlan, ArchiveTruth, BracketTruth, FrameTruth
from pipeline.errors import UsageError

__all__ = [
    "ArchivePlan",
    "ArchiveTruth",
    "BracketTruth",
    "FrameTruth",
    "make_archive",
    "make_bracket",
    "make_single",
]

_COUNTS = (3, 5, 3, 7, 2, 4, 3, 3, 5, 3, 6, 5)
_TIFF, _HANDHELD, _PORTRAIT = (1, 8), (2, 9), (6,)
_STEPS = (1.0, 4 / 3, 5 / 3, 2.0, 8 / 3, 3.0)
_SPAN_EV = 10.0  # from the darkest to the brightest frame, at most
_FIRST_DAY = datetime(2025, 6, 14, 9, 10)
_MARGIN = 0.035  # of each side, rendered around the frames of a handheld bracket


def make_archive(
    folder: Path,
    *,
    brackets: int = 12,
    plan: ArchivePlan | None = None,
    seed: int = 0,
    megapixels: float = 1.0,
    workers: int = 2,
    truth_path: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveTruth:
    """Write a mixed archive below ``folder``, which must be empty or not exist.

    With the defaults: a dozen brackets of 2 to 7 frames over three days, JPEG and 16-bit TIFF,
    two cameras, two brackets handheld, one with a truncated file, and a single a day.

    Args:
        plan: overrides ``seed`` and ``megapixels`` and decides the rest.
        workers: threads; they do not change a byte.
        truth_path: where to write the truth as JSON, outside of ``folder``.
        progress: called with (brackets done, brackets) after each.

    Raises:
        UsageError: ``option-invalid``, or ``destination-invalid`` if the folder holds something.
    """
    if brackets < 1:
        raise UsageError("option-invalid", f"An archive of {brackets} brackets is none; ask for 1.")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            "destination-invalid", f"{folder} is not empty; name a new folder or empty it."
        )
    if truth_path is not None and truth_path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            "destination-invalid", f"{truth_path} lies in the archive; put the truth beside it."
        )
    if plan is None:
        broken = min(7, brackets - 1) if brackets > 1 else None
        plan = ArchivePlan(seed=seed, megapixels=megapixels, broken_index=broken)
    found: list[BracketTruth] = []
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for truth in pool.map(lambda index: make_bracket(folder, index, plan), range(brackets)):
            found.append(truth)
            if progress is not None:
                progress(len(found), brackets)
    days = -(-brackets // plan.per_day)
    singles = tuple(make_single(folder, day, plan) for day in range(days))
    truth_of_all = ArchiveTruth(plan=plan, brackets=tuple(found), singles=singles)
    if truth_path is not None:
        truth_path.parent.mkdir(parents=True, exist_ok=True)
        truth_path.write_text(truth_of_all.to_json(), encoding="utf-8")
    return truth_of_all


def make_bracket(folder: Path, index: int, plan: ArchivePlan) -> BracketTruth:
    """Write the frames of bracket ``index`` and tell the truth about them."""
    kind = index % len(_COUNTS)
    scene = SCENES[index % len(SCENES)]
    scene_seed = plan.seed * 100_003 + index // len(SCENES)
    count = plan.frames or _COUNTS[kind]
    format_ = plan.format or ("tiff" if kind in _TIFF else "jpeg")
    handheld, portrait = kind in _HANDHELD, kind in _PORTRAIT
    height, width = plan.landscape_size()
    if portrait:
        height, width = width, height
    rng = np.random.default_rng([plan.seed, index, 1])
    border_y, border_x = (
        (int(np.ceil(height * _MARGIN)), int(np.ceil(width * _MARGIN))) if handheld else (0, 0)
    )
    radiance = render(scene, scene_seed, height + 2 * border_y, width + 2 * border_x)

    second = index % 3 == 1
    camera = replace(CAMERA_B if second else CAMERA_A, bits=16 if format_ == "tiff" else 8)
    camera = balanced(camera, radiance)
    f_number, iso = Fraction(8), 100
    if scene in ("night_street", "candle_table", "desk", "city_dusk"):
        f_number, iso = Fraction(4), 200
    biases = _biases(radiance, camera, count, float(f_number), iso)
    base = base_exposure(radiance, camera, biases, f_number=float(f_number), iso=iso)
    # Camera A takes the metered frame first, camera B goes from dark to bright.
    order = biases if second else sorted(biases, key=lambda bias: (abs(bias), bias))
    day, slot = divmod(index, plan.per_day)
    shooting = Shooting(
        camera=camera,
        f_number=f_number,
        iso=iso,
        base_s=base,
        biases_ev=tuple(order),
        started=_moment(plan, day, slot),
        handheld=handheld,
        portrait=portrait,
    )
    paths = [_name(day, slot * 10 + k, format_, second=second) for k in range(count)]
    broken = index == plan.broken_index
    truths: list[FrameTruth] = []
    for truth, data in take_bracket(radiance, shooting, paths, rng, (height, width)):
        cut = broken and truth.path == paths[-1]
        _store(folder / truth.path, data[: len(data) * 2 // 5] if cut else data)
        truths.append(replace(truth, broken=cut))
    radiance_path = None
    if plan.radiance:
        stem = truths[shooting.reference].path.rsplit(".", 1)[0]
        radiance_path = f"truth/{stem}.exr"
        inner = radiance[border_y : border_y + height, border_x : border_x + width]
        _write_radiance(folder.parent / radiance_path, inner)
    return BracketTruth(
        index=index,
        scene=scene,
        scene_seed=scene_seed,
        camera=camera,
        frames=tuple(truths),
        width=width,
        height=height,
        format=format_,
        handheld=handheld,
        broken=broken,
        orientation=6 if portrait else 1,
        radiance_path=radiance_path,
    )


def make_single(folder: Path, day: int, plan: ArchivePlan) -> FrameTruth:
    """Write the day's single frame, taken with camera A after the last bracket."""
    rng = np.random.default_rng([plan.seed, day, 2])
    height, width = plan.landscape_size()
    scene = SCENES[(5 * day + 1) % len(SCENES)]
    radiance = render(scene, plan.seed * 100_003 + 50_000 + day, height, width)
    camera = balanced(CAMERA_A, radiance)
    time = nominal_time(base_exposure(radiance, camera, (0.0,), f_number=5.6, iso=200))
    pixels = expose(
        radiance, exposure_time_s=float(time), f_number=5.6, iso=200, camera=camera, rng=rng
    )
    moment = _moment(plan, day, plan.per_day)
    exif = ExifData(
        make=camera.make,
        model=camera.model,
        serial=camera.serial,
        exposure_time_s=time,
        f_number=Fraction(28, 5),
        iso=200,
        bias_ev=Fraction(0),
        captured=moment,
        bracketing=False,
    )
    path = _name(day, plan.per_day * 10, "jpeg", second=False)
    _store(folder / path, photo_bytes(pixels, exif))
    return FrameTruth(
        path=path, exposure_time_s=float(time), f_number=5.6, iso=200, bias_ev=0.0, captured=moment
    )


def _biases(radiance: Array, camera: Camera, count: int, f_number: float, iso: int) -> list[float]:
    """Exposure biases, dark to bright: the smallest step that covers the scene."""
    middle = count // 2 if count % 2 else (count - 1) / 2
    small = radiance[:: max(1, radiance.shape[0] // 200), :: max(1, radiance.shape[1] // 200)]
    biases: list[float] = []
    for step in _STEPS:
        if biases and step * (count - 1) > _SPAN_EV:
            break
        biases = [round((k - middle) * step * 3) / 3 for k in range(count)]
        base = base_exposure(small, camera, biases, f_number=f_number, iso=iso)
        gains = np.array(camera.white_balance, np.float32) * camera.gain(base, f_number, iso)
        if coverage(small * gains.astype(np.float32), biases, camera) >= 0.99:
            break
    return biases


def _moment(plan: ArchivePlan, day: int, slot: int) -> datetime:
    """Sessions are minutes apart; small hours are never reached, whatever ``per_day`` is."""
    gap = min(420.0, 50_000.0 / plan.per_day)
    return _FIRST_DAY + timedelta(days=day, seconds=round(slot * gap + (slot * 37 + day * 11) % 19))


def _name(day: int, number: int, format_: str, *, second: bool) -> str:
    """``2025-06-14/IMG_0412.JPG`` or ``DSC01234.TIF``; each camera has its own counter."""
    folder = (_FIRST_DAY + timedelta(days=day)).strftime("%Y-%m-%d")
    extension = "TIF" if format_ == "tiff" else "JPG"
    if second:
        return f"{folder}/DSC{(1234 + day * 40 + number) % 100_000:05d}.{extension}"
    return f"{folder}/IMG_{(412 + day * 40 + number) % 10_000:04d}.{extension}"


def _store(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_radiance(path: Path, radiance: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": np.ascontiguousarray(radiance)}).write(str(path))
