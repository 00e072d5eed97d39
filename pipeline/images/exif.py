# SPDX-License-Identifier: Apache-2.0
"""What the camera wrote down: the facts that grouping needs.

EXIF is often damaged, edited or plainly absurd. A value that cannot be true is missing, and
nothing here raises.
"""

from __future__ import annotations

import calendar
import io
import re
from dataclasses import dataclass, replace

from pipeline.images.bracketnotes import read_note
from pipeline.images.directories import Directory, ReadAt, read_directory, read_start
from pipeline.images.makernote import BracketTags, read_bracket_tags, with_short_note

__all__ = ["CameraFacts", "is_adobe_rgb", "read_facts", "with_bracket_tags"]

_EXIF_IFD, _INTEROPERABILITY_IFD = 34665, 40965
_MAKE, _MODEL, _ORIENTATION, _DATE = 271, 272, 274, 306
_EXPOSURE_TIME, _F_NUMBER, _PROGRAM, _ISO = 33434, 33437, 34850, 34855
_ISO_ALTERNATIVES = (34867, 34866, 34865)
_SHUTTER_APEX, _APERTURE_APEX, _BIAS, _FOCAL_LENGTH = 37377, 37378, 37380, 37386
_MAKER_NOTE, _COLOR_SPACE, _EXPOSURE_MODE, _BODY_SERIAL = 37500, 40961, 41986, 42033
_DNG_SERIAL = 50735
# Date field, the field of its fraction of a second, and whether it lies in the EXIF directory.
_DATES = ((36867, 37521, True), (36868, 37522, True), (_DATE, 37520, False))
_DATE_FORM = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_AUTO_BRACKET = 2


@dataclass(frozen=True, kw_only=True)
class CameraFacts:
    """Everything optional: None means missing or absurd.

    ``captured_s`` counts seconds since 1970 in the camera's own clock, fractions included.
    ``camera`` is make, model and body serial as one text. ``exposure_program`` and
    ``exposure_mode`` are the EXIF codes (mode 2 is auto bracket). ``auto_bracket`` says whether
    the camera claims that its bracketing was on, ``bracket_value_ev`` by how much this frame was
    meant to differ, ``sequence_number`` which frame of a burst it is.
    """

    orientation: int = 1
    exposure_time_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    captured_s: float | None = None
    make: str | None = None
    camera: str | None = None
    exposure_bias_ev: float | None = None
    exposure_program: int | None = None
    exposure_mode: int | None = None
    focal_length_mm: float | None = None
    auto_bracket: bool | None = None
    bracket_value_ev: float | None = None
    sequence_number: int | None = None


def read_facts(exif: bytes | None) -> CameraFacts:
    """The facts in an EXIF block (a TIFF block without any prefix)."""
    if not exif:
        return CameraFacts()
    directories = _directories(_reader(exif))
    if directories is None:
        return CameraFacts()
    main, detail = directories
    facts = _facts(main, detail)
    if detail.raw(_MAKER_NOTE) is not None:
        note, make = detail.entries[_MAKER_NOTE], facts.make or ""
        tags = read_note(detail, make, note)
        if tags is None:
            tags = read_bracket_tags(io.BytesIO(with_short_note(exif, detail.order, note)), make)
        return with_bracket_tags(facts, tags)
    return facts


def with_bracket_tags(facts: CameraFacts, tags: BracketTags) -> CameraFacts:
    """The facts and what the maker note adds; EXIF's own claim of a bracket stands."""
    claimed = facts.exposure_mode == _AUTO_BRACKET
    return replace(
        facts,
        auto_bracket=facts.auto_bracket
        if claimed or tags.auto_bracket is None
        else tags.auto_bracket,
        bracket_value_ev=tags.value_ev,
        sequence_number=tags.sequence_number,
    )


def _facts(main: Directory, detail: Directory) -> CameraFacts:
    orientation = main.integer(_ORIENTATION, 1)
    mode = _within(_number(main, detail, _EXPOSURE_MODE), 0, 255)
    program = _within(_number(main, detail, _PROGRAM), 0, 255)
    return CameraFacts(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        exposure_time_s=_exposure_time(main, detail),
        f_number=_f_number(main, detail),
        iso=_iso(main, detail),
        captured_s=_captured(main, detail),
        make=main.text(_MAKE),
        camera=_camera(main, detail),
        exposure_bias_ev=_within(_number(main, detail, _BIAS), -20, 20),
        exposure_program=None if program is None else int(program),
        exposure_mode=None if mode is None else int(mode),
        focal_length_mm=_within(_number(main, detail, _FOCAL_LENGTH), 0.1, 10_000),
        auto_bracket=None if mode is None else mode == _AUTO_BRACKET,
    )


def is_adobe_rgb(exif: bytes | None) -> bool:
    """Whether a camera marked its file as Adobe RGB the way DCF 2.0 does, without a profile."""
    directories = _directories(_reader(exif)) if exif else None
    if directories is None:
        return False
    detail = directories[1]
    if detail.integer(_COLOR_SPACE) == 2:
        return True
    interoperability = detail.below(_INTEROPERABILITY_IFD)
    return interoperability is not None and interoperability.text(1) == "R03"


def _reader(block: bytes) -> ReadAt:
    return lambda offset, count: block[offset : offset + count] if offset >= 0 else b""


def _directories(read_at: ReadAt) -> tuple[Directory, Directory] | None:
    start = read_start(read_at)
    main = read_directory(read_at, start[0], start[1], big=start[2]) if start else None
    return None if main is None else (main, main.below(_EXIF_IFD) or main)


def _number(main: Directory, detail: Directory, tag: int) -> float | None:
    """TIFF/EP cameras keep in the first directory what EXIF keeps in its own."""
    value = detail.number(tag)
    return main.number(tag) if value is None else value


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None


def _exposure_time(main: Directory, detail: Directory) -> float | None:
    time_s = _within(_number(main, detail, _EXPOSURE_TIME), 1e-7, 86_400)
    apex = _within(_number(main, detail, _SHUTTER_APEX), -16, 23)
    if time_s is None and apex is not None:
        return float(2.0**-apex)
    return time_s


def _f_number(main: Directory, detail: Directory) -> float | None:
    f_number = _within(_number(main, detail, _F_NUMBER), 0.3, 1024)
    apex = _within(_number(main, detail, _APERTURE_APEX), 0.01, 20)
    if f_number is None and apex is not None:
        return float(2.0 ** (apex / 2))
    return f_number


def _iso(main: Directory, detail: Directory) -> float | None:
    iso = _within(_number(main, detail, _ISO), 1, 65_534)
    if iso is not None:
        return iso
    # A short holds no more than 65535, which cameras write where ISO is higher.
    values = (_within(_number(main, detail, tag), 1, 1e8) for tag in _ISO_ALTERNATIVES)
    return next((value for value in values if value is not None), None)


def _captured(main: Directory, detail: Directory) -> float | None:
    for tag, fraction_tag, in_detail in _DATES:
        text = (detail if in_detail else main).text(tag) or (
            main.text(tag) if in_detail else detail.text(tag)
        )
        match = _DATE_FORM.match(text or "")
        if not match:
            continue
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        possible = 1970 <= year <= 2200 and 1 <= month <= 12 and hour <= 23 and minute <= 59
        if not possible or not 1 <= day <= calendar.monthrange(year, month)[1] or second > 60:
            continue
        digits = (detail.text(fraction_tag) or "").strip()
        fraction = float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0
        return calendar.timegm((year, month, day, hour, minute, second)) + fraction
    return None


def _camera(main: Directory, detail: Directory) -> str | None:
    make, model = main.text(_MAKE), main.text(_MODEL)
    serial = detail.text(_BODY_SERIAL) or main.text(_BODY_SERIAL) or main.text(_DNG_SERIAL)
    if make and model and model.lower().startswith(make.split()[0].lower()):
        make = None
    parts = [part for part in (make, model, f"#{serial}" if serial else None) if part]
    return " ".join(parts)[:200] if make or model else None
