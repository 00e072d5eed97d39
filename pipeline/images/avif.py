# SPDX-License-Identifier: Apache-2.0
"""AVIF still images of 8, 10 and 12 bits.

The header is read from the boxes (ISO/IEC 14496-12, 23008-12 and the AVIF specification), since
no decoder tells depth, colour and orientation without decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
from numpy.typing import NDArray

from pipeline.errors import PhotoError
from pipeline.images.layout import Layout
from pipeline.images.source import Source

__all__ = ["boxes", "decode", "is_avif", "read_layout"]

_MAX_META_BYTES = 1 << 22
_MAX_BOXES = 1024  # of the file itself; a picture has a handful
_BRANDS = (b"avif", b"avis")
# (quarter turns anticlockwise, mirror axis) -> EXIF orientation; the turn comes first.
_ORIENTATIONS: dict[tuple[int, int | None], int] = {
    (0, None): 1,
    (0, 1): 2,
    (2, None): 3,
    (0, 0): 4,
    (1, 0): 5,
    (3, 1): 5,
    (3, None): 6,
    (1, 1): 7,
    (3, 0): 7,
    (1, None): 8,
    (2, 1): 4,
    (2, 0): 2,
}
# Code points of ITU-T H.273.
_SRGB_PRIMARIES = (1, 2)
_HDR_TRANSFERS = (16, 18)


@dataclass
class _Meta:
    """What the boxes say so far."""

    primary: int = 0
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    assigned: dict[int, list[int]] = field(default_factory=dict)
    exif_item: int | None = None
    places: dict[int, tuple[int, int]] = field(default_factory=dict)


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of the boxes in a range; stops at the first that is damaged or cut."""
    stop = len(data) if end is None else end
    while start + 8 <= stop:
        size = int.from_bytes(data[start : start + 4], "big")
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        size = size or stop - start
        if size < head or start + size > stop:
            return
        yield data[start + 4 : start + 8], data[start + head : start + size]
        start += size


def is_avif(head: bytes) -> bool:
    """Whether a file that starts like this is an AVIF."""
    if head[4:8] != b"ftyp":
        return False
    brands = head[8 : min(len(head), int.from_bytes(head[:4], "big"))]
    return any(brands[at : at + 4] in _BRANDS for at in range(0, len(brands), 4))


def read_layout(source: Source) -> Layout:
    """The header of the primary image.

    Raises:
        PhotoError: ``decode-truncated``, ``decode-failed`` or ``color-unsupported``.
    """
    meta = _read_meta(source)
    found = [
        meta.properties[index - 1]
        for index in meta.assigned.get(meta.primary, ())
        if 0 < index <= len(meta.properties)
    ]
    first: dict[bytes, bytes] = {}
    for name, content in found:
        first.setdefault(name if name != b"colr" else b"colr" + content[:4], content)
    size = first.get(b"ispe", b"")
    if len(size) < 12:
        raise PhotoError(
            "decode-failed", f"{source.uri} is an AVIF file without a readable header; restore it."
        )
    codec = first.get(b"av1C", b"")
    planes = first.get(b"pixi", b"")
    grey = bool(codec[2] & 0x10) if len(codec) > 2 else planes[4:5] == b"\x01"
    bits = planes[5] if len(planes) > 5 else 8
    if len(codec) > 2:
        bits = (12 if codec[2] & 0x20 else 10) if codec[2] & 0x40 else 8
    coded = first.get(b"colrnclx", b"")
    icc = first.get(b"colrprof", first.get(b"colrrICC", b""))[4:] or None
    if icc is None:
        _check_color(source.uri, coded)
    alpha = any(name == b"auxC" and b"alpha" in content for name, content in meta.properties)
    mirror = first.get(b"imir")
    turns = first.get(b"irot", b"\0")[0] & 3
    return Layout(
        format="avif",
        width=int.from_bytes(size[4:8], "big"),
        height=int.from_bytes(size[8:12], "big"),
        bits=bits,
        channels=(1 if grey else 3) + alpha,
        color="grey" if grey else "rgb",
        orientation=_ORIENTATIONS[turns, mirror[0] & 1 if mirror else None],
        exif=_read_exif(source, meta),
        icc=icc,
    )


def decode(source: Source, layout: Layout) -> NDArray[Any]:
    """The pixels, (H, W) or (H, W, C).

    Raises:
        PhotoError: ``decode-truncated``.
        imagecodecs.AvifError: the file is damaged.
    """
    try:
        pixels: NDArray[Any] = imagecodecs.avif_decode(source.whole(), index=0)
    except imagecodecs.AvifError:
        covered = 0
        for _ in range(_MAX_BOXES):
            if covered + 8 > source.size_bytes:
                break
            size = int.from_bytes(source.at(covered, 4), "big")
            if size == 0:
                break
            covered += max(size, 8)
        if covered != source.size_bytes:
            raise _truncated(source) from None
        raise
    return pixels


def _check_color(uri: str, coded: bytes) -> None:
    primaries = int.from_bytes(coded[4:6], "big") if len(coded) >= 8 else 1
    transfer = int.from_bytes(coded[6:8], "big") if len(coded) >= 8 else 13
    if transfer in _HDR_TRANSFERS or primaries not in _SRGB_PRIMARIES:
        raise PhotoError(
            "color-unsupported",
            f"{uri} is an AVIF file with HDR or wide-gamut colour codes (primaries {primaries}, "
            f"transfer {transfer}); save it as sRGB, or with an ICC profile.",
        )


def _read_meta(source: Source) -> _Meta:
    offset = 0
    for _ in range(_MAX_BOXES):
        head = source.at(offset, 8)
        size = int.from_bytes(head[:4], "big")
        if len(head) == 8 and head[4:] == b"meta":
            break
        if size < 8:
            raise _truncated(source)
        offset += size
    else:
        raise PhotoError(
            "decode-failed", f"{source.uri} is an AVIF file without a readable header; restore it."
        )
    content = source.at(offset + 12, min(size - 12, _MAX_META_BYTES))
    if len(content) < size - 12:
        raise _truncated(source)
    meta = _Meta()
    for name, data in boxes(content):
        if name == b"pitm":
            meta.primary = int.from_bytes(data[4 : 6 if data[:1] == b"\0" else 8], "big")
        elif name == b"iinf":
            meta.exif_item = _find_exif(data)
        elif name == b"iloc":
            meta.places = _locations(data)
        elif name == b"iprp":
            for inner, inside in boxes(data):
                if inner == b"ipco":
                    meta.properties = list(boxes(inside))
                elif inner == b"ipma":
                    meta.assigned |= _associations(inside)
    return meta


def _find_exif(data: bytes) -> int | None:
    for name, entry in boxes(data, 6 if data[:1] == b"\0" else 8):
        width = 2 if entry[:1] == b"\2" else 4
        if name == b"infe" and entry[6 + width : 10 + width] == b"Exif":
            return int.from_bytes(entry[4 : 4 + width], "big")
    return None


def _locations(data: bytes) -> dict[int, tuple[int, int]]:
    """Item -> file offset and length of its only extent."""
    if len(data) < 8:
        return {}
    version = data[0]
    offset_bytes, length_bytes = data[4] >> 4, data[4] & 15
    base_bytes, index_bytes = data[5] >> 4, (data[5] & 15) if version else 0
    wide = 4 if version == 2 else 2
    at = 6 + wide
    places: dict[int, tuple[int, int]] = {}
    for _ in range(int.from_bytes(data[6:at], "big")):
        if at >= len(data):
            break
        item = int.from_bytes(data[at : at + wide], "big")
        at += wide
        method = int.from_bytes(data[at : at + 2], "big") & 15 if version else 0
        at += (2 if version else 0) + 2
        base = int.from_bytes(data[at : at + base_bytes], "big")
        extents = int.from_bytes(data[at + base_bytes : at + base_bytes + 2], "big")
        at += base_bytes + 2 + index_bytes
        start = base + int.from_bytes(data[at : at + offset_bytes], "big")
        length = int.from_bytes(data[at + offset_bytes : at + offset_bytes + length_bytes], "big")
        if method == 0 and extents == 1:
            places[item] = start, length
        at += offset_bytes + length_bytes
        at += (extents - 1) * (index_bytes + offset_bytes + length_bytes)
    return places


def _associations(data: bytes) -> dict[int, list[int]]:
    wide = 4 if data[:1] == b"\1" else 2
    large = bool(data[3:4] and data[3] & 1)
    assigned: dict[int, list[int]] = {}
    at = 8
    for _ in range(int.from_bytes(data[4:8], "big")):
        if at >= len(data):
            break
        item = int.from_bytes(data[at : at + wide], "big")
        count = int.from_bytes(data[at + wide : at + wide + 1], "big")
        at += wide + 1
        step = 2 if large else 1
        codes = [
            int.from_bytes(data[at + i * step : at + i * step + step], "big") for i in range(count)
        ]
        assigned[item] = [code & (0x7FFF if large else 0x7F) for code in codes]
        at += count * step
    return assigned


def _read_exif(source: Source, meta: _Meta) -> bytes | None:
    place = meta.places.get(meta.exif_item) if meta.exif_item is not None else None
    data = source.at(place[0], min(place[1], _MAX_META_BYTES)) if place else b""
    if len(data) <= 4:
        return None
    # Four bytes say how much of "Exif\0\0" or the like stands before the TIFF header.
    return data[4 + int.from_bytes(data[:4], "big") :] or None


def _truncated(source: Source) -> PhotoError:
    return PhotoError(
        "decode-truncated",
        f"{source.uri} ends before its last pixel; copy it again or restore it.",
    )
