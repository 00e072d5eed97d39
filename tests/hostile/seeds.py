# SPDX-License-Identifier: Apache-2.0
"""Small whole pictures of every format, and where in them structure lies: to be damaged."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import imagecodecs
import numpy as np
import OpenEXR
import tifffile
from PIL import Image

from pipeline.images.directories import write_directory
from pipeline.images.exifblock import assemble
from pipeline.images.writing import encode_photo, encode_radiance
from tests.pipeline.images.dng import dng

__all__ = ["EXTENSIONS", "camera_block", "places", "repair_checksums", "seeds"]

EXTENSIONS = {"jpeg": "jpg", "png": "png", "tiff": "tif", "avif": "avif"} | {
    "exr": "exr",
    "hdr": "hdr",
    "raw": "dng",
}
_HEIGHT, _WIDTH = 48, 64


def camera_block(make: bytes = b"Canon", note: bytes = b"\0" * 40) -> bytes:
    """An EXIF block with exposure, date and a maker note."""
    main = [(271, 2, make + b"\0"), (272, 2, b"Some camera\0"), (274, 3, struct.pack("<H", 1))]
    detail = [
        (33434, 5, struct.pack("<II", 1, 125)),
        (33437, 5, struct.pack("<II", 8, 1)),
        (34855, 3, struct.pack("<H", 100)),
        (36867, 2, b"2024:05:01 12:00:00\0"),
        (37500, 7, note),
    ]
    return b"II*\0\x08\0\0\0" + assemble("<", main, {34665: detail}, 8)


@cache
def seeds() -> dict[str, bytes]:
    """Whole pictures; names begin with their format."""
    rng = np.random.default_rng(3)
    rows, cols = np.mgrid[0:_HEIGHT, 0:_WIDTH] / _WIDTH
    smooth = np.stack([rows, cols, 0.7 * rows * cols], axis=-1)
    wide = ((smooth * 0.9 + rng.random(smooth.shape) * 0.05) * 65535).astype(np.uint16)
    narrow = (wide >> 8).astype(np.uint8)
    grey = narrow[..., 0]
    picture = Image.fromarray(narrow)
    linear = smooth.astype(np.float32)
    profile = imagecodecs.cms_profile("rgb", gamma=1.8)
    exif = camera_block()

    def pillow(container: str, image: Image.Image = picture, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, container, **options)
        return buffer.getvalue()

    def tiff(pixels: np.ndarray, **options: object) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, **({"photometric": "rgb"} | options))
        return buffer.getvalue()

    def exr(**options: object) -> bytes:
        buffer = io.BytesIO()
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | options
        OpenEXR.File(header, {"RGB": linear.astype(np.float16)}).write(buffer)
        return buffer.getvalue()

    return {
        "jpeg": pillow("JPEG", exif=b"Exif\0\0" + exif, icc_profile=profile),
        "jpeg progressive": pillow("JPEG", progressive=True),
        "jpeg grey": pillow("JPEG", Image.fromarray(grey)),
        "jpeg inks": pillow("JPEG", picture.convert("CMYK")),
        "jpeg nikon": pillow("JPEG", exif=b"Exif\0\0" + camera_block(b"NIKON", _nikon_note())),
        "png 8": pillow("PNG", exif=exif, icc_profile=profile),
        "png 16": imagecodecs.png_encode(wide),
        "png palette": pillow("PNG", picture.convert("P")),
        "png alpha": pillow("PNG", picture.convert("RGBA")),
        "tiff": tiff(wide),
        "tiff deflate": tiff(wide, compression="zlib", predictor=True, rowsperstrip=5),
        "tiff tiles": tiff(narrow, tile=(16, 16), compression="lzw"),
        "tiff big": tiff(narrow, bigtiff=True, byteorder=">", iccprofile=profile),
        "tiff planes": tiff(np.moveaxis(narrow, -1, 0), planarconfig="separate"),
        "tiff float": tiff(linear),
        "tiff jpeg": pillow("TIFF", compression="jpeg"),
        "tiff packbits": pillow("TIFF", compression="packbits"),
        "avif": encode_photo(narrow, format="avif", bits=8, exif=exif).data,
        "avif 12": encode_photo(wide, format="avif", bits=12).data,
        "exr": encode_radiance(np.moveaxis(linear, -1, 0)).data,
        "exr piz": exr(compression=OpenEXR.PIZ_COMPRESSION),
        "exr b44": exr(compression=OpenEXR.B44_COMPRESSION),
        "exr pxr24": exr(compression=OpenEXR.PXR24_COMPRESSION),
        "exr dwaa": exr(compression=OpenEXR.DWAA_COMPRESSION),
        "exr rle": exr(compression=OpenEXR.RLE_COMPRESSION),
        "hdr rle": imagecodecs.rgbe_encode(linear, header=True, rle=True),
        "hdr flat": imagecodecs.rgbe_encode(linear, header=True, rle=False),
        "raw dng": dng(1.0),
    }


def _nikon_note() -> bytes:
    fields = [(1, 7, b"0210"), (2, 3, struct.pack("<HH", 0, 200)), (137, 3, b"\x11\0")]
    return b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0" + write_directory("<", fields, 8)


def places(name: str, data: bytes) -> list[int]:
    """Offsets at which something of a seed's structure begins."""
    walk = {
        "jpeg": _jpeg_places,
        "png": _png_places,
        "tiff": _tiff_places,
        "raw": _tiff_places,
        "avif": _box_places,
        "exr": _exr_places,
        "hdr": _line_places,
    }[name.split()[0]]
    return sorted({place for place in walk(data) if place < len(data)})


def repair_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have right checksums again, so that decoders look further."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        parts += [data[at:end], zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")]
        at = end + 4
    return b"".join([*parts, data[at:]])


def _jpeg_places(data: bytes) -> Iterator[int]:
    at = data.find(b"\xff", 2)
    while at >= 0 and at + 4 < len(data):
        if data[at + 1] not in (0, 0xFF):
            yield at
            if data[at + 1] == 0xE1:
                yield from (at + 10 + inner for inner in _tiff_places(data[at + 10 :]))
        at = data.find(b"\xff", at + 1)


def _png_places(data: bytes) -> Iterator[int]:
    at = 8
    while at + 8 <= len(data):
        yield from (at, at + 8)
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _tiff_places(data: bytes) -> Iterator[int]:
    order = "little" if data[:2] == b"II" else "big"
    big = data[2:4] in (b"+\0", b"\0+")
    count_size, width, pointer = (8, 20, 8) if big else (2, 12, 4)
    waiting = [int.from_bytes(data[8:16] if big else data[4:8], order)]
    while waiting:
        start = waiting.pop()
        yield from (start, start + count_size)
        count = min(int.from_bytes(data[start : start + count_size], order), 100)
        for number in range(count):
            entry = start + count_size + width * number
            yield from (entry, entry + 4, entry + width - pointer)
            value = int.from_bytes(data[entry + width - pointer : entry + width], order)
            if int.from_bytes(data[entry : entry + 2], order) in (34665, 330):
                waiting.append(value)
            elif value < len(data):
                yield value
        yield start + count_size + width * count


def _box_places(data: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    end = len(data) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big") or end - start
        yield from (start, start + 8)
        inside = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"iinf": 14}.get(data[start + 4 : start + 8])
        if inside:
            yield from _box_places(data, start + inside, start + size)
        start += max(size, 8)


def _exr_places(data: bytes) -> Iterator[int]:
    at = 8
    yield from (4, at)
    while at < len(data) and data[at]:
        kind = data.index(b"\0", at) + 1
        size = data.index(b"\0", kind) + 1
        yield from (at, kind, size, size + 4)
        at = size + 4 + int.from_bytes(data[size : size + 4], "little")
    yield at
    for _ in range(3):  # the table of offsets, then blocks of lines
        yield at + 1
        at = int.from_bytes(data[at + 1 : at + 9], "little")


def _line_places(data: bytes) -> Iterator[int]:
    end = data.index(b"\n\n")
    at = 0
    while at <= end + 30:
        yield at
        at = data.find(b"\n", at) + 1 or len(data)
    yield from (at, at + 4)
