# SPDX-License-Identifier: Apache-2.0
"""TIFF files that ask for much."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
import tifffile

from pipeline.images.directories import write_directory
from tests.hostile.blocks import HUGE, Bomb
from tests.hostile.zeros import deflated_zeros

__all__ = ["tiff_of", "tiffs"]


def tiffs() -> Iterator[Bomb]:
    def long(*values: int) -> tuple[int, tuple[int, ...]]:
        return 4, values

    def behind(compression: int, data: bytes, side: int = 8) -> bytes:
        """One strip of compressed bytes."""
        return tiff_of(
            {
                256: long(side),
                257: long(side),
                278: long(side),
                259: (3, (compression,)),
                273: long(200),
                279: long(len(data)),
            },
            data,
        )

    zeros = deflated_zeros(64 << 20)
    yield "tiff 60,000 x 60,000", tiff_of({256: long(60_000), 257: long(60_000)})
    yield "tiff 17,000 x 17,000 of 192 bytes", tiff_of({256: long(17_000), 257: long(17_000)})
    yield "tiff a strip of 2^32", tiff_of({279: long(HUGE)})
    yield (
        "tiff strips by the million",
        tiff_of({278: long(1), 273: long(*[8] * 9), 279: long(*[9] * 9)}),
    )
    yield "tiff rows 0", tiff_of({278: long(0)})
    yield "tiff 65,535 samples", tiff_of({277: (3, (65_535,))})
    yield "tiff deep as 60,000 pictures", tiff_of({32997: long(60_000)})
    yield (
        "tiff tiles of 65,520",
        tiff_of({322: long(65_520), 323: long(65_520), 324: long(8), 325: long(192)}),
    )
    yield "tiff tiles of 0", tiff_of({322: long(0), 323: long(0), 324: long(8), 325: long(192)})
    yield (
        "tiff tiles of 1",
        tiff_of(
            {
                256: long(4_000),
                257: long(4_000),
                322: long(1),
                323: long(1),
                324: long(8),
                325: long(3),
            }
        ),
    )
    yield "tiff a deflate bomb", behind(8, zeros)
    yield "tiff an LZW bomb", behind(5, imagecodecs.lzw_encode(bytes(1 << 20)))
    yield "tiff a PackBits bomb", behind(32_773, b"\x81\0" * 100_000)
    yield "tiff a Zstandard bomb", behind(50_000, imagecodecs.zstd_encode(bytes(64 << 20)))
    yield "tiff an LZMA bomb", behind(34_925, imagecodecs.lzma_encode(bytes(16 << 20)))
    wide = np.zeros((3_000, 3_000, 3), np.uint8)
    yield "tiff a JPEG inside is larger", behind(7, imagecodecs.jpeg8_encode(wide))
    yield "tiff a WebP inside is larger", behind(50_001, imagecodecs.webp_encode(wide))
    yield "tiff a JPEG 2000 inside is larger", behind(34_712, imagecodecs.jpeg2k_encode(wide))
    yield "tiff a PNG inside is larger", behind(34_933, imagecodecs.png_encode(wide))
    for code in (2, 3, 4, 6, 9, 34_661, 34_887, 48_124, 50_002, 50_013, 65_000):
        yield f"tiff compression {code}", behind(code, bytes(300))
    yield "tiff palette without colours", tiff_of({262: (3, (3,)), 258: (3, (8,)), 277: (3, (1,))})
    yield "tiff Zeiss", tiff_of({34_412: (1, tuple(range(200)))})
    for name, text in (
        ("ImageJ", b"ImageJ=1.5\nimages=999999999\nslices=999999999\n\0"),
        (
            "OME",
            b"<?xml version='1.0'?><OME><Image><Pixels SizeT='99999999'/></Image></OME>\0",
        ),
        ("shaped", b'{"shape": [99999, 99999, 99999]}\0'),
    ):
        yield f"tiff {name}", tiff_of({270: (7, tuple(text))})
    looped = bytearray(tiff_of({}))
    looped[-4:] = looped[4:8]
    start = struct.unpack_from("<I", looped, 4)[0]
    struct.pack_into("<I", looped, start + 2 + 12 * 9, start)
    yield "tiff a loop of directories", bytes(looped)
    yield "tiff sub-directories in a loop", tiff_of({330: long(start, start, 8, HUGE)})
    yield "tiff 4,000 fields on one another", _piled_uptiffs()
    big = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**63)
    yield "tiff 2^63 fields", big + bytes(400)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    yield "tiff a directory behind the end", buffer.getvalue()[:4] + b"\xff\xff\xff\x7f" + bytes(99)


def tiff_of(fields: dict[int, tuple[int, tuple[int, ...]]], tail: bytes = b"") -> bytes:
    """A little-endian TIFF: tag -> type and values over the fields of an 8 x 8 picture."""
    letters = {1: "B", 3: "H", 4: "I", 7: "B"}
    plain: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (8,)),
        257: (4, (8,)),
        258: (3, (8, 8, 8)),
        259: (3, (1,)),
        262: (3, (2,)),
        273: (4, (8,)),
        277: (3, (3,)),
        278: (4, (8,)),
        279: (4, (192,)),
    }
    stored = [
        (tag, kind, struct.pack(f"<{len(values)}{letters[kind]}", *values))
        for tag, (kind, values) in (plain | fields).items()
        if values
    ]
    body = bytes(192) + tail
    body += b"\0" * (len(body) % 2)
    start = 8 + len(body)
    return b"II*\0" + struct.pack("<I", start) + body + write_directory("<", stored, start)


def _piled_uptiffs() -> bytes:
    fields = dict.fromkeys(range(40000, 44000), (7, (0,)))
    data = bytearray(tiff_of(fields, bytes(60_000)))
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * (len(fields) + 9), 12):
        if struct.unpack_from("<H", data, entry)[0] >= 40_000:
            struct.pack_into("<II", data, entry + 4, 60_000, 8)
    first = start + 2 + 12 * 9
    struct.pack_into("<HHII", data, first, 34_665, 4, 1, start)  # EXIF is this directory, too
    return bytes(data)
