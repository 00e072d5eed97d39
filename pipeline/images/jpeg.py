# SPDX-License-Identifier: Apache-2.0
"""JPEG: baseline, progressive, grey, CMYK and YCCK, 8 and 12 bits."""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import simplejpeg
from numpy.typing import NDArray

from pipeline.errors import PhotoError
from pipeline.images.directories import ReadAt
from pipeline.images.layout import ColorModel, Layout
from pipeline.images.source import Source

__all__ = ["check_scans", "decode", "pixels_of", "read_layout", "segments"]

_EXIF_PREFIX, _ICC_PREFIX = b"Exif\0\0", b"ICC_PROFILE\0"
_APP1, _APP2, _SOS, _EOI = 0xE1, 0xE2, 0xDA, 0xD9
# Start of frame, without the Huffman, arithmetic and JPEG extension markers among them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_WANTED = _FRAMES | {_APP1, _APP2}
_MAX_SEGMENTS = 4096
_MAX_SCANS = 100  # encoders write a dozen; each goes over all pixels, however few bytes it has
_COLORS: dict[int, ColorModel] = {1: "grey", 3: "rgb", 4: "cmyk"}


def segments(read_at: ReadAt) -> tuple[list[tuple[int, bytes]], int]:
    """The marker segments before the first scan, and where that scan's header begins.

    Returns:
        Markers with their payload (empty for those nobody wants), and the offset of the
        start-of-scan marker, or -1 where the file ends or is damaged before it.
    """
    found: list[tuple[int, bytes]] = []
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        head = read_at(offset, 4)
        if len(head) < 4 or head[0] != 0xFF:
            return found, -1
        marker = head[1]
        if marker == _SOS:
            return found, offset
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in _STANDALONE:
            offset += 2
            continue
        length = int.from_bytes(head[2:4], "big")
        if marker == _EOI or length < 2:
            return found, -1
        payload = read_at(offset + 4, length - 2) if marker in _WANTED else b""
        found.append((marker, payload))
        offset += 2 + length
    return found, -1


def read_layout(source: Source) -> Layout:
    """The header.

    Raises:
        PhotoError: ``decode-truncated`` or ``decode-failed``.
    """
    found, scan = segments(source.at)
    frame = next((data for marker, data in found if marker in _FRAMES and len(data) >= 6), None)
    if frame is None or scan < 0:
        code = "decode-failed" if source.at(source.size_bytes - 2, 2) == b"\xff\xd9" else None
        raise PhotoError(
            code or "decode-truncated",
            f"{source.uri} is a JPEG file without a readable header; restore it from a backup.",
        )
    channels = frame[5]
    if channels not in _COLORS:
        raise PhotoError(
            "color-unsupported",
            f"{source.uri} is a JPEG file with {channels} channels; save it as RGB.",
        )
    exif = next(
        (
            data[len(_EXIF_PREFIX) :]
            for marker, data in found
            if marker == _APP1 and data.startswith(_EXIF_PREFIX)
        ),
        None,
    )
    parts = sorted(
        (data[len(_ICC_PREFIX)], data[len(_ICC_PREFIX) + 2 :])
        for marker, data in found
        if marker == _APP2 and data.startswith(_ICC_PREFIX) and len(data) > len(_ICC_PREFIX) + 2
    )
    return Layout(
        format="jpeg",
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        bits=frame[0],
        channels=channels,
        color=_COLORS[channels],
        exif=exif,
        icc=b"".join(part for _, part in parts) or None,
    )


def decode(source: Source, layout: Layout) -> NDArray[Any]:
    """The pixels, (H, W) or (H, W, C); CMYK comes with 0 for no ink.

    Raises:
        PhotoError: ``decode-truncated`` or ``decode-failed``.
        imagecodecs.Jpeg8Error: the file is damaged.
    """
    data = source.whole()
    # libjpeg paints what is missing grey and only warns.
    if not check_scans(data, source.uri):
        raise PhotoError(
            "decode-truncated",
            f"{source.uri} ends before its last pixel; copy it again from the camera or a backup.",
        )
    if layout.bits == 8 and layout.color in ("grey", "rgb"):
        return _decode_strictly(data, grey=layout.color == "grey", uri=source.uri)
    pixels: NDArray[Any] = imagecodecs.jpeg8_decode(data)
    # Adobe stores inks inverted, and everybody who writes CMYK JPEG follows.
    return (1 << layout.bits) - 1 - pixels if layout.color == "cmyk" else pixels


def pixels_of(data: bytes) -> int:
    """Width times height of a JPEG stream as its header claims, 0 where it has none."""
    found, _ = segments(lambda offset, count: data[offset : offset + count])
    frames = [part for marker, part in found if marker in _FRAMES and len(part) >= 5]
    sizes = [struct.unpack_from(">HH", part, 1) for part in frames]
    return max((height * width for height, width in sizes), default=0)


def check_scans(data: bytes, uri: str) -> bool:
    """Whether the scans of a JPEG file are there to their end.

    Raises:
        PhotoError: ``decode-failed``, so many that a decoder would be busy with them for minutes.
    """
    _, scan = segments(lambda offset, count: data[offset : offset + count])
    # Within a scan the byte FF is always stuffed, so the first end-of-image marker after its
    # start is the image's own.
    end = data.find(b"\xff\xd9", scan) if scan >= 0 else -1
    if end < 0:
        return False
    count = data.count(b"\xff\xda", scan, end)
    if count > _MAX_SCANS:
        raise PhotoError(
            "decode-failed",
            f"{uri} is a JPEG file of {count} scans, which no camera or editor writes; save it "
            "anew if it is genuine.",
        )
    return True


def _decode_strictly(data: bytes, *, grey: bool, uri: str) -> NDArray[Any]:
    """Decode, and take libjpeg's warnings seriously: behind each is a part that shows garbage."""
    try:
        pixels: NDArray[Any] = simplejpeg.decode_jpeg(
            data, colorspace="GRAY" if grey else "RGB", strict=True
        )
    except ValueError as error:
        raise PhotoError(
            "decode-failed",
            f"{uri} is damaged inside ({error}); restore it from a backup, or save it anew if it "
            "looks right.",
        ) from error
    return pixels[..., 0] if grey else pixels
