# SPDX-License-Identifier: Apache-2.0
"""Files that were thought out to hurt: small ones that ask for much."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
import OpenEXR

from pipeline.images.png import SIGNATURE, chunk
from tests.hostile.blocks import HUGE, Bomb, blocks, loop
from tests.hostile.seeds import seeds
from tests.hostile.tiffs import tiffs
from tests.hostile.zeros import deflated_zeros

__all__ = ["bombs", "open_chunk", "png_of"]

_NOTHING = zlib.compress(bytes(4096))


def bombs() -> Iterator[Bomb]:
    """``(format and what it does, content)``."""
    yield from _png()
    yield from _jpeg()
    yield from tiffs()
    yield from _avif()
    yield from _linear()


def png_of(width: int, height: int, *, between: bytes = b"", pixels: bytes = _NOTHING) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return SIGNATURE + chunk(b"IHDR", header) + between + end


def open_chunk() -> bytes:
    return struct.pack(">I", (1 << 30) - 200) + b"eXIf"


def _png() -> Iterator[Bomb]:
    zeros = deflated_zeros(64 << 20)
    small = zlib.compress(bytes((8 * 3 + 1) * 8))
    yield "png 60,000 x 60,000", png_of(60_000, 60_000)
    yield "png 17,000 x 17,000 of nothing", png_of(17_000, 17_000)
    yield "png 2^31 wide", png_of(2**31 - 1, 1)
    yield "png no size", png_of(0, 7)
    yield "png pixels without end", png_of(8, 8, pixels=zeros)
    yield "png text bomb", png_of(8, 8, between=chunk(b"zTXt", b"k\0\0" + zeros), pixels=small)
    yield "png profile bomb", png_of(8, 8, between=chunk(b"iCCP", b"k\0\0" + zeros), pixels=small)
    yield "png two headers", png_of(8, 8, between=png_of(60_000, 60_000)[8:33], pixels=small)
    yield (
        "png chunks and chunks",
        png_of(8, 8, between=chunk(b"aaAa", b"") * 200_000, pixels=small),
    )
    yield "png exif loop", png_of(8, 8, between=chunk(b"eXIf", loop()), pixels=small)
    for name, block in blocks():
        yield f"png exif: {name}", png_of(8, 8, between=chunk(b"eXIf", block), pixels=small)


def _in_jpeg(block: bytes) -> bytes:
    """A JPEG with an EXIF block, cut to what a segment can hold."""
    whole = seeds()["jpeg grey"]
    payload = b"Exif\0\0" + block[:65_000]
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + whole[2:]


def _jpeg() -> Iterator[Bomb]:
    whole = bytearray(seeds()["jpeg grey"])
    at = whole.index(b"\xff\xc0")
    for name, size in (("65,500", 65_500), ("17,000", 17_000), ("no", 0)):
        claim = whole.copy()
        claim[at + 5 : at + 9] = struct.pack(">HH", size, size)
        yield f"jpeg {name} pixels wide of little", bytes(claim)
    for name, where, value in (
        ("12 bits", 4, 12),
        ("no channels", 9, 0),
        ("255 channels", 9, 255),
        ("sampling 15 x 15", 11, 0xFF),
        ("lossless", 1, 0xC3),
        ("arithmetic", 1, 0xC9),
    ):
        claim = whole.copy()
        claim[at + where] = value
        yield f"jpeg {name}", bytes(claim)
    yield "jpeg scan after scan", _scans(16_000, 2_000)
    yield (
        "jpeg segment after segment",
        bytes(whole[:2] + b"\xff\xe1\0\x08Exif\0\0" * 4_000 + whole[2:]),
    )
    yield "jpeg fill bytes", bytes(whole[:2] + b"\xff" * 100_000 + whole[2:])
    yield "jpeg segment of length 0", bytes(whole[:2] + b"\xff\xe1\0\0" + whole[2:])
    parts = b"".join(
        b"\xff\xe2"
        + struct.pack(">H", 16 + 50_000)
        + b"ICC_PROFILE\0"
        + bytes((1, 2))
        + bytes(50_000)
        for _ in range(60)
    )
    yield "jpeg profile of zeros", bytes(whole[:2] + parts + whole[2:])
    profile = bytearray(imagecodecs.cms_profile("gray", gamma=2.0))
    count = struct.unpack_from(">I", profile, 128)[0]
    for number in range(count):
        struct.pack_into(">I", profile, 132 + 12 * number + 8, HUGE)
    icc = b"ICC_PROFILE\0\1\1" + profile
    yield (
        "jpeg profile with lies",
        bytes(whole[:2] + b"\xff\xe2" + struct.pack(">H", len(icc) + 2) + icc + whole[2:]),
    )
    for name, block in blocks():
        yield f"jpeg exif: {name}", _in_jpeg(block)


def _scans(side: int, count: int) -> bytes:
    """A progressive grey JPEG of many scans, each of which says 'all of it is zero'."""
    size = struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)
    # One code of one bit: a run of 2^14 blocks that end at once.
    table = b"\x10" + bytes([1]) + bytes(15) + b"\xe0"
    blocks = (side // 8) ** 2
    bits = "".join("0" + "1" * 14 for _ in range(-(-blocks // (2**15 - 1))))
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 0) + packed
    start = b"\xff\xd8\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1]) * 64
    start += b"\xff\xc2" + struct.pack(">H", 2 + len(size)) + size
    start += b"\xff\xc4" + struct.pack(">H", 2 + len(table)) + table
    return start + scan * count + b"\xff\xd9"


def _avif() -> Iterator[Bomb]:
    whole = seeds()["avif"]
    at = whole.index(b"ispe") + 8
    for side in (60_000, 17_000, 0, 2**31 - 1):
        yield f"avif {side:,} wide", whole[:at] + struct.pack(">II", side, side) + whole[at + 8 :]
    head, rest = whole[: whole.index(b"meta") - 4], whole[whole.index(b"meta") - 4 :]
    yield "avif box after box", head + b"\0\0\0\x08free" * 300_000 + rest
    yield "avif meta of 2^32", head + struct.pack(">I", HUGE) + rest[4:]
    yield "avif meta of 2^63", head + b"\0\0\0\1meta" + struct.pack(">Q", 2**63 - 1) + rest[8:]
    for name in (b"iloc", b"ipma", b"iinf", b"ipco", b"pitm", b"av1C", b"pixi"):
        where = whole.index(name) + 4
        yield f"avif {name.decode()} of ones", whole[:where] + b"\xff" * 16 + whole[where + 16 :]


def _exr(**options: object) -> bytes:
    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | options
    OpenEXR.File(header, {"RGB": np.zeros((16, 16, 3), np.float16)}).write(buffer)
    return buffer.getvalue()


def _linear() -> Iterator[Bomb]:
    whole = _exr()
    at = whole.index(b"dataWindow\0box2i\0") + 21
    for name, window in (
        ("60,000 wide", (0, 0, 59_999, 59_999)),
        ("17,000 wide", (0, 0, 16_999, 16_999)),
        ("inside out", (9, 9, 0, 0)),
        ("from end to end", (-(2**31), -(2**31), 2**31 - 1, 2**31 - 1)),
        ("far away", (2**31 - 17, 2**31 - 17, 2**31 - 2, 2**31 - 2)),
    ):
        yield f"exr {name}", whole[:at] + struct.pack("<4i", *window) + whole[at + 16 :]
    parts = [
        OpenEXR.Part(
            {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, "name": name},
            {"RGB": np.zeros((16, 16, 3), np.float16)},
        )
        for name in ("a", "b")
    ]
    buffer = io.BytesIO()
    OpenEXR.File(parts).write(buffer)
    two = buffer.getvalue()
    at = two.rindex(b"dataWindow\0box2i\0") + 21
    for side in (60_000, 17_000):
        claim = struct.pack("<4i", 0, 0, side - 1, side - 1)
        yield f"exr a second part {side:,} wide", two[:at] + claim + two[at + 16 :]
    channels = (
        b"".join(b"c%05d\0" % n + struct.pack("<4i", 1, 0, 1, 1) for n in range(20_000)) + b"\0"
    )
    start = whole.index(b"channels\0chlist\0") + 16
    size = struct.unpack_from("<I", whole, start)[0]
    many = struct.pack("<I", len(channels)) + channels
    yield "exr 20,000 channels", whole[:start] + many + whole[start + 4 + size :]
    yield "exr a deep image", whole[:5] + b"\x08" + whole[6:]
    yield "exr tiles it does not have", whole[:5] + b"\x02" + whole[6:]
    tiled = whole.replace(
        b"screenWindowWidth\0",
        b"tiles\0tiledesc\0" + struct.pack("<III", 9, *[2**31 - 1] * 2) + b"\0screenWindowWidth\0",
        1,
    )
    yield "exr tiles of 2^31", tiled[:5] + b"\x02" + tiled[6:]
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n"
    for name, text in (
        ("9,999,999 wide", b"\n-Y 9999999 +X 9999999\n"),
        ("17,000 wide", b"\n-Y 17000 +X 17000\n"),
        ("2^40 wide", b"\n-Y 8 +X 1099511627776\n"),
        ("no size", b"\n-Y 0 +X 0\n"),
        ("less than no size", b"\n-Y -8 +X 8\n"),
        ("exposure 0", b"EXPOSURE=0\n\n-Y 8 +X 8\n" + b"\x80" * 256),
        ("exposure 1e999", b"EXPOSURE=1e999\n\n-Y 8 +X 8\n" + b"\x80" * 256),
        ("exposure 1e-300", b"EXPOSURE=1e-300\n\n-Y 8 +X 8\n" + b"\x80" * 256),
        ("exposure that is none", b"EXPOSURE=-+.e\n\n-Y 8 +X 8\n" + b"\x80" * 256),
        ("runs without end", b"\n-Y 16 +X 2000\n" + (b"\2\2\x07\xd0" + b"\xff\1" * 64) * 16),
        ("runs of nothing", b"\n-Y 16 +X 2000\n" + (b"\2\2\x07\xd0" + b"\0\0" * 64) * 16),
        ("header without end", b"A=" + b"x" * 300_000),
        ("lines without end", b"A=x\n" * 30_000),
        ("blank twice", b"\n\n-Y 8 +X 8\n"),
    ):
        yield f"hdr {name}", head + text
