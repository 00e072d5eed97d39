# SPDX-License-Identifier: Apache-2.0
"""Bracketing tags in maker notes, as far as ExifRead knows them."""

from __future__ import annotations

import logging
import re
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import exifread

from pipeline.images.directories import Entry, Order

__all__ = ["BracketTags", "canon_ev", "read_bracket_tags", "with_short_note"]

# ExifRead logs damaged notes without naming the file; here they are simply missing.
logging.getLogger("exifread").setLevel(logging.CRITICAL)

_MAKER_NOTE = 37500
_SHORT_NOTE = 64  # enough to tell which kind of note it is
_MAKERS = ("canon", "nikon", "sony", "olympus", "om digital", "fujifilm")
_SEQUENCE = re.compile(r"Sequence (\d+)")
# A note of 64 KiB takes as many reads, since ExifRead fetches it byte by byte.
_MAX_READS = 200_000
_MAX_READ_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class BracketTags:
    """What a maker note says about bracketing; None where it says nothing."""

    auto_bracket: bool | None = None
    value_ev: float | None = None
    sequence_number: int | None = None


class _Metered:
    """A file that ends after so many reads.

    ExifRead believes in counts of 2^32 and follows directories that name each other; all it does
    it does by reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads = 0
        self._bytes = 0
        self.seek = file.seek
        self.tell = file.tell

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(min(count, _MAX_READ_BYTES) if count >= 0 else _MAX_READ_BYTES)
        self._reads += 1
        self._bytes += len(data)
        if self._reads > _MAX_READS or self._bytes > _MAX_READ_BYTES:
            raise EOFError("the note asks for more than any camera writes")
        return data


def with_short_note(exif: bytes, order: Order, note: Entry) -> bytes:
    """An EXIF block that says its maker note is short, with all of its bytes still in place.

    ExifRead lists the note byte by byte, which takes milliseconds, to look at the first few; what
    it makes of the note it reads by the offsets that stand in it.

    Args:
        exif: the block.
        order: its byte order.
        note: the field of the maker note.
    """
    field = struct.pack(order + "HHI", _MAKER_NOTE, note.kind, note.values)
    short = struct.pack(order + "HHI", _MAKER_NOTE, note.kind, min(note.values, _SHORT_NOTE))
    return exif.replace(field, short, 1)


def read_bracket_tags(file: BinaryIO, make: str) -> BracketTags:
    """The bracketing tags of an EXIF block or a RAW file; never raises."""
    if not make.lower().startswith(_MAKERS):
        return BracketTags()
    try:
        metered = cast(BinaryIO, _Metered(file))
        found = exifread.process_file(metered, details=True, extract_thumbnail=False)
    except Exception:  # a parser of undocumented bytes may fail in any way
        return BracketTags()
    notes = {
        name.removeprefix("MakerNote "): value
        for name, value in found.items()
        if name.startswith("MakerNote ")
    }
    return BracketTags(
        auto_bracket=_auto_bracket(notes),
        value_ev=_value_ev(notes),
        sequence_number=_sequence_number(notes),
    )


def _auto_bracket(notes: dict[str, Any]) -> bool | None:
    for name in ("BracketMode", "AutoExposureBracketing"):  # Canon
        if name in notes:
            return str(notes[name]) not in ("Off", "0", "[]")
    if "BracketingMode" in notes:  # Nikon
        return "exposure bracketing" in str(notes["BracketingMode"])
    if "MotorOrBracket" in notes:  # Fujifilm
        return str(notes["MotorOrBracket"]) == "On"
    return None


def _value_ev(notes: dict[str, Any]) -> float | None:
    canon = _first(notes.get("BracketValue"))
    if canon is not None:
        return canon_ev(int(canon))
    nikon = _first(notes.get("AEBracketCompensationApplied"))
    return nikon if nikon is not None and abs(nikon) <= 20 else None


def _sequence_number(notes: dict[str, Any]) -> int | None:
    number = _first(notes.get("BracketShotNumber")) or _first(notes.get("SequenceNumber"))
    if number is None:
        olympus = _SEQUENCE.search(str(notes.get("SpecialMode", "")))
        number = float(olympus.group(1)) if olympus else None
    return int(number) if number and 0 < number < 10_000 else None


def _first(tag: Any) -> float | None:
    """The first number of an ExifRead tag, whatever it was decoded to."""
    values = getattr(tag, "values", None)
    value: Any = values[0] if isinstance(values, list) and values else values
    try:
        return float(str(tag)) if value is None or isinstance(value, str) else float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def canon_ev(code: int) -> float | None:
    """Stops that a number of Canon's stands for, None if absurd.

    Canon counts 1/32 stops, but writes thirds as 0x0c and 0x14.
    """
    signed = code - 65_536 if code > 32_767 else code
    whole, part = divmod(abs(signed), 32)
    stops = whole + {0x0C: 1 / 3, 0x14: 2 / 3}.get(part, part / 32)
    return (-stops if signed < 0 else stops) if stops <= 20 else None
