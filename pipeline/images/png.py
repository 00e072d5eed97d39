# SPDX-License-Identifier: Apache-2.0
"""PNG: all colour types and depths."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import imagecodecs
from numpy.typing import NDArray

from pipeline.errors import PhotoError
from pipeline.images.layout import Layout
from pipeline.images.source import Source

__all__ = ["SIGNATURE", "chunk", "decode", "read_layout"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_ICC_BYTES = 1 << 24
_MAX_EXIF_BYTES = 1 << 22
_MAX_CHUNKS = 1 << 20
_MAX_HEADER_CHUNKS = 4096
_TAIL_BYTES = 1 << 17
# Colour type -> channels.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PALETTE = 3
_ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk, ready to be written."""
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the data and their length, of all chunks that start within the file."""
    offset = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        head = source.at(offset, 8)
        if len(head) < 8 or not head[4:].isalpha():
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:], offset + 8, length
        offset += 12 + length


def read_layout(source: Source) -> Layout:
    """The header.

    Raises:
        PhotoError: ``decode-truncated`` or ``decode-failed``.
    """
    head = source.at(len(SIGNATURE), 25)
    if len(head) < 25:
        raise _truncated(source)
    bits, kind = head[16], head[17]
    if head[4:8] != b"IHDR" or kind not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise PhotoError(
            "decode-failed", f"{source.uri} is a PNG file with a damaged header; restore it."
        )
    channels = _CHANNELS[kind]
    exif = icc = None
    for name, offset, length in islice(_chunks(source), _MAX_HEADER_CHUNKS):
        # A photograph's pixels are thousands of chunks; what matters stands before them.
        if name == b"IDAT":
            break
        if name == b"tRNS" and channels in (1, 3):
            channels += 1
        elif name == b"eXIf":
            exif = source.at(offset, length) if length <= _MAX_EXIF_BYTES else None
        elif name == b"iCCP":
            icc = _inflate_profile(source.at(offset, min(length, _MAX_ICC_BYTES)))
    else:
        raise _truncated(source)
    return Layout(
        format="png",
        width=int.from_bytes(head[8:12], "big"),
        height=int.from_bytes(head[12:16], "big"),
        bits=8 if kind == _PALETTE else bits,
        channels=channels,
        color="grey" if kind in (0, 4) else "rgb",
        exif=exif or _exif_behind_pixels(source),
        icc=icc,
    )


def decode(source: Source, layout: Layout) -> NDArray[Any]:
    """The pixels, (H, W) or (H, W, C), palettes expanded and depths below 8 scaled to 8.

    Raises:
        PhotoError: ``decode-truncated``.
        imagecodecs.PngError: the file is damaged.
    """
    try:
        pixels: NDArray[Any] = imagecodecs.png_decode(_essential(source))
    except (imagecodecs.PngError, ValueError):
        if all(name != b"IEND" for name, _, _ in _chunks(source)):
            raise _truncated(source) from None
        raise
    return pixels


def _essential(source: Source) -> bytes:
    """The file without what libpng would inflate, or grumble about on standard error."""
    data = source.whole()
    kept = [SIGNATURE]
    kept += [
        data[offset - 8 : offset + length + 4]
        for name, offset, length in _chunks(source)
        if name in _ESSENTIAL
    ]
    return b"".join(kept)


def _exif_behind_pixels(source: Source) -> bytes | None:
    """Some programs append EXIF to a finished file; its checksum tells it from other bytes."""
    start = max(0, source.size_bytes - _TAIL_BYTES)
    tail = source.at(start, _TAIL_BYTES)
    at = tail.rfind(b"eXIf")
    length = int.from_bytes(tail[max(0, at - 4) : max(0, at)], "big")
    data = tail[at + 4 : at + 4 + length]
    checksum = tail[at + 4 + length : at + 8 + length]
    found = at >= 4 and zlib.crc32(b"eXIf" + data).to_bytes(4, "big") == checksum
    return data if found else None


def _inflate_profile(data: bytes) -> bytes | None:
    _, _, rest = data.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(rest[1:], _MAX_ICC_BYTES) or None
    except zlib.error:
        return None


def _truncated(source: Source) -> PhotoError:
    return PhotoError(
        "decode-truncated",
        f"{source.uri} ends before its last pixel; copy it again from the camera or a backup.",
    )
