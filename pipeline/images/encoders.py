# SPDX-License-Identifier: Apache-2.0
"""Pixels to the bytes of a file, in memory; the same input always gives the same bytes.

Every file carries the sRGB profile, and the EXIF block it is given where the container can.
"""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pipeline.bracket import Pixels
from pipeline.images import exifblock, png
from pipeline.images.color import srgb_profile
from pipeline.images.directories import read_directory, read_start

__all__ = ["encode_avif", "encode_jpeg", "encode_png", "encode_tiff"]

_EXIF_PREFIX, _ICC_PREFIX = b"Exif\0\0", b"ICC_PROFILE\0\1\1"
_MAX_SEGMENT_BYTES = 65_533
_FULL_CHROMA_ABOVE = 90
# Differences to the left neighbour and run lengths: on photographs four times as fast as zlib's
# usual search, and at 16 bits no larger.
_PNG_LEVEL, _PNG_RUN_LENGTHS, _PNG_SUB = 1, 3, 16
_AVIF_SPEED = 8
_STRIP_BYTES = 1 << 18


def encode_jpeg(pixels: NDArray[np.uint8], quality: int, exif: bytes | None) -> bytes:
    """Baseline JPEG; full chroma resolution above quality 90, half of it up to there."""
    data = bytes(
        imagecodecs.jpeg8_encode(
            pixels,
            level=quality,
            subsampling="444" if quality > _FULL_CHROMA_ABOVE else "420",
            optimize=True,
        )
    )
    segments = b""
    if exif is not None:
        block = exif
        if len(_EXIF_PREFIX) + len(block) > _MAX_SEGMENT_BYTES:
            block = exifblock.without_maker_note(exif) or b""
        if block and len(_EXIF_PREFIX) + len(block) <= _MAX_SEGMENT_BYTES:
            segments += _segment(0xE1, _EXIF_PREFIX + block)
    segments += _segment(0xE2, _ICC_PREFIX + srgb_profile())
    # JFIF demands to be first; EXIF readers accept to be second.
    start = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2
    return data[:start] + segments + data[start:]


def encode_png(pixels: Pixels, exif: bytes | None) -> bytes:
    """PNG of 8 or 16 bits, with iCCP and eXIf chunks."""
    data = bytes(
        imagecodecs.png_encode(pixels, level=_PNG_LEVEL, strategy=_PNG_RUN_LENGTHS, filter=_PNG_SUB)
    )
    end = len(png.SIGNATURE) + 25  # IHDR
    extra = png.chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile(), 9))
    if exif is not None:
        extra += png.chunk(b"eXIf", exif)
    return data[:end] + extra + data[end:]


def encode_tiff(pixels: Pixels, exif: bytes | None) -> bytes:
    """TIFF of 8 or 16 bits, deflate with predictor, with EXIF and GPS directories.

    The maker note is left out, since its offsets would point nowhere in another file.
    """
    buffer = io.BytesIO()
    height, width = pixels.shape[:2]
    tifffile.imwrite(
        buffer,
        pixels,
        bigtiff=False,
        byteorder="<",
        photometric="rgb",
        compression="zlib",
        predictor=True,
        rowsperstrip=max(1, min(height, _STRIP_BYTES // (width * 3 * pixels.itemsize))),
        maxworkers=1,
        metadata=None,
        software="bracketflow",
        iccprofile=srgb_profile(),
    )
    data = buffer.getvalue()
    return data if exif is None else _with_directories(data, exif)


def encode_avif(pixels: Pixels, bits: int, quality: int, exif: bytes | None) -> bytes:
    """AVIF; 8 bits with EXIF and profile, 10 and 12 bits (uint16 over their own range) bare.

    No encoder at hand writes EXIF beside more than 8 bits; colours are then marked as sRGB by
    code points instead of a profile.
    """
    full_chroma = quality > _FULL_CHROMA_ABOVE
    if bits > 8:
        return bytes(
            imagecodecs.avif_encode(
                pixels,
                level=quality,
                speed=_AVIF_SPEED,
                bitspersample=bits,
                pixelformat="444" if full_chroma else "420",
                primaries=1,
                transfer=13,
                numthreads=1,
            )
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer,
        "AVIF",
        quality=quality,
        speed=_AVIF_SPEED,
        subsampling="4:4:4" if full_chroma else "4:2:0",
        max_threads=1,
        icc_profile=srgb_profile(),
        exif=exif or b"",
    )
    return buffer.getvalue()


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def _with_directories(data: bytes, exif: bytes) -> bytes:
    """Append a first directory that has the image's fields, the description and EXIF."""

    def read_at(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    start = read_start(read_at)
    page = read_directory(read_at, start[0], start[1]) if start else None
    if page is None:
        return data
    described, below = exifblock.description_of(exif)
    fields = {tag: (tag, kind, values) for tag, kind, values in described}
    for tag, entry in page.entries.items():
        values = page.raw(tag)
        if values is not None:
            fields[tag] = (tag, entry.kind, values)
    padded = data + b"\0" * (len(data) % 2)
    tail = exifblock.assemble("<", list(fields.values()), below, len(padded))
    return padded[:4] + struct.pack("<I", len(padded)) + padded[8:] + tail
