# SPDX-License-Identifier: Apache-2.0
"""Photograph files as cameras write them: JPEG and 16-bit TIFF, both with an EXIF directory.

Pillow cannot write 16-bit colour and tifffile no EXIF sub-directory, so the directories are laid
out here (TIFF 6.0, section 2; EXIF 2.32, section 4.6). The same block serves both formats.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.bracket import Pixels

__all__ = ["ExifData", "jpeg_bytes", "photo_bytes", "tiff_bytes"]

_ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 2, 3, 4, 5, 10
_Value = str | int | Fraction | tuple[int, ...]
_Entry = tuple[int, int, _Value]


@dataclass(frozen=True, kw_only=True)
class ExifData:
    """What a camera notes about a frame. ``orientation`` is the EXIF number, 1 upright."""

    make: str
    model: str
    serial: str
    exposure_time_s: Fraction
    f_number: Fraction
    iso: int
    bias_ev: Fraction
    captured: datetime
    bracketing: bool = True
    orientation: int = 1
    focal_length_mm: Fraction = Fraction(24)

    def _entries(self, width: int, height: int) -> tuple[list[_Entry], list[_Entry]]:
        stamp = self.captured.strftime("%Y:%m:%d %H:%M:%S")
        main: list[_Entry] = [
            (0x010F, _ASCII, self.make),
            (0x0110, _ASCII, self.model),
            (0x0112, _SHORT, self.orientation),
            (0x0132, _ASCII, stamp),
        ]
        exif: list[_Entry] = [
            (0x829A, _RATIONAL, self.exposure_time_s),
            (0x829D, _RATIONAL, self.f_number),
            (0x8827, _SHORT, self.iso),
            (0x9003, _ASCII, stamp),
            (0x9204, _SRATIONAL, self.bias_ev),
            (0x920A, _RATIONAL, self.focal_length_mm),
            (0x9291, _ASCII, f"{self.captured.microsecond // 10000:02d}"),
            (0xA002, _LONG, width),
            (0xA003, _LONG, height),
            (0xA402, _SHORT, 2 if self.bracketing else 0),
            (0xA431, _ASCII, self.serial),
        ]
        return main, exif


def photo_bytes(pixels: Pixels, exif: ExifData) -> bytes:
    """A TIFF of 16-bit pixels (H, W, 3), a JPEG of others."""
    if pixels.dtype == np.uint16:
        return tiff_bytes(np.asarray(pixels, np.uint16), exif)
    return jpeg_bytes(np.ascontiguousarray(pixels, np.uint8), exif)


def jpeg_bytes(pixels: NDArray[np.uint8], exif: ExifData, *, quality: int = 93) -> bytes:
    """A JPEG of (H, W, 3) pixels as they lie on the sensor."""
    height, width = pixels.shape[:2]
    main, sub = exif._entries(width, height)
    block = b"Exif\0\0" + _directories(main, sub, at=0)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, exif=block)
    return out.getvalue()


def tiff_bytes(pixels: NDArray[np.uint16], exif: ExifData) -> bytes:
    """An uncompressed little-endian 16-bit TIFF of (H, W, 3) pixels."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels, "<u2").tobytes()
    main, sub = exif._entries(width, height)
    main += [
        (0x0100, _LONG, width),
        (0x0101, _LONG, height),
        (0x0102, _SHORT, (16, 16, 16)),
        (0x0103, _SHORT, 1),
        (0x0106, _SHORT, 2),
        (0x0111, _LONG, 8),
        (0x0115, _SHORT, 3),
        (0x0116, _LONG, height),
        (0x0117, _LONG, len(data)),
        (0x011C, _SHORT, 1),
    ]
    # Pixels come first, right after the 8-byte header, so their place is known beforehand.
    return _directories(main, sub, at=len(data), pixels=data)


def _directories(main: list[_Entry], exif: list[_Entry], *, at: int, pixels: bytes = b"") -> bytes:
    start = 8 + at + (at & 1)
    main = [*main, (0x8769, _LONG, 0)]
    length = len(_directory(main, start))
    main[-1] = (0x8769, _LONG, start + length)
    header = struct.pack("<2sHI", b"II", 42, start)
    pad = b"\0" * (at & 1)
    return header + pixels + pad + _directory(main, start) + _directory(exif, start + length)


def _directory(entries: list[_Entry], start: int) -> bytes:
    """One image file directory with its values behind it, both from file offset ``start``."""
    rows, values = [], b""
    values_start = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        count, data = _pack(kind, value)
        if len(data) <= 4:
            field = data.ljust(4, b"\0")
        else:
            field = struct.pack("<I", values_start + len(values))
            values += data + b"\0" * (len(data) & 1)
        rows.append(struct.pack("<HHI", tag, kind, count) + field)
    return struct.pack("<H", len(entries)) + b"".join(rows) + struct.pack("<I", 0) + values


def _pack(kind: int, value: _Value) -> tuple[int, bytes]:
    if isinstance(value, str):
        data = value.encode("ascii") + b"\0"
        return len(data), data
    if isinstance(value, Fraction):
        form = "<ii" if kind == _SRATIONAL else "<II"
        return 1, struct.pack(form, value.numerator, value.denominator)
    numbers = value if isinstance(value, tuple) else (value,)
    letter = "H" if kind == _SHORT else "I"
    return len(numbers), struct.pack(f"<{len(numbers)}{letter}", *numbers)
