# SPDX-License-Identifier: Apache-2.0
"""Scene-referred images: Radiance .hdr and OpenEXR, to and from linear float32."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from pipeline.errors import PhotoError
from pipeline.images.layout import Layout
from pipeline.images.source import Source

__all__ = ["EXR_MAGIC", "HDR_MAGICS", "decode", "encode_exr", "read_layout"]

EXR_MAGIC = b"\x76\x2f\x31\x01"
HDR_MAGICS = (b"#?RADIANCE", b"#?RGBE")
_MAX_HEADER_BYTES = 65_536
_RESOLUTION = re.compile(rb"-Y (\d{1,7}) \+X (\d{1,7})\n")
_EXPOSURE = re.compile(rb"^EXPOSURE=\s*([-+.\deE]+)\s*$", re.MULTILINE)
_MULTI_PART, _DEEP = 0x1000, 0x800
_HALF_MAX = 65_504.0
_LEAST_EXPOSURE = 1e-12
_REC709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)  # red, green, blue, white; as sRGB


def read_layout(source: Source) -> Layout:
    """The header of either format.

    Raises:
        PhotoError: ``decode-truncated``, ``decode-failed`` or ``color-unsupported``.
    """
    if source.at(0, 4) == EXR_MAGIC:
        return _exr_layout(source)
    head, resolution = _hdr_header(source)
    if b"FORMAT=32-bit_rle_xyze" in head:
        raise PhotoError(
            "color-unsupported", f"{source.uri} holds XYZ colours; save it as RGBE or OpenEXR."
        )
    return Layout(
        format="hdr",
        width=int(resolution[2]),
        height=int(resolution[1]),
        bits=32,
        channels=3,
        color="rgb",
        floating=True,
    )


def decode(source: Source, layout: Layout) -> NDArray[np.float32]:
    """Linear pixels, (H, W, 3) float32, grey repeated, alpha left out.

    ``EXPOSURE`` lines of a Radiance header are divided out, as its specification asks.

    Raises:
        PhotoError: ``color-unsupported``.
        Exception: whatever the decoder raises on a damaged or truncated file.
    """
    if layout.format == "exr":
        return _decode_exr(source)
    # Decoders make room for all pixels before they find that there are none.
    if source.size_bytes < _least_bytes(layout.width, layout.height):
        raise _truncated(source)
    try:
        pixels: NDArray[np.float32] = imagecodecs.rgbe_decode(source.whole())
    except imagecodecs.RgbeError as error:
        if "READ_ERROR" in str(error):
            raise _truncated(source) from None
        raise
    head, _ = _hdr_header(source)
    exposure = 1.0
    for text in _EXPOSURE.findall(head):
        exposure *= float(text)
    if not _LEAST_EXPOSURE <= exposure <= 1 / _LEAST_EXPOSURE:
        raise PhotoError(
            "decode-failed", f"{source.uri} claims an EXPOSURE of {exposure:g}; restore it."
        )
    return pixels if exposure == 1.0 else (pixels / np.float32(exposure)).astype(np.float32)


def encode_exr(
    pixels: NDArray[np.float32], bits: int, facts: Mapping[str, Any] | None = None
) -> bytes:
    """An OpenEXR file of linear RGB in the primaries of sRGB, ZIP compressed.

    Args:
        pixels: (H, W, 3) float32, linear, finite.
        bits: 16 for half, 32 for float. Half ends at 65504; what is brighter is clipped.
        facts: standard attributes of OpenEXR, such as ``expTime`` in s; with them, the file says
            what its primaries are. Text that is not UTF-8 is made so.
    """
    stored = pixels if bits == 32 else np.clip(pixels, -_HALF_MAX, _HALF_MAX).astype(np.float16)
    header: dict[str, Any] = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "software": "bracketflow",
    }
    if facts is not None:
        header["chromaticities"] = _REC709
        for name, value in facts.items():
            text = isinstance(value, str)
            header[name] = value.encode("utf-8", "backslashreplace").decode() if text else value
    buffer = io.BytesIO()
    OpenEXR.File(header, {"RGB": np.ascontiguousarray(stored)}, num_threads=1).write(buffer)
    return buffer.getvalue()


def _least_bytes(width: int, height: int) -> int:
    """What the pixels of a Radiance file take at least: runs of 127 values, in four channels."""
    if not 8 <= width <= 32_767:
        return 4 * width * height
    return (4 + 8 * -(-width // 127)) * height


def _hdr_header(source: Source) -> tuple[bytes, re.Match[bytes]]:
    head = source.at(0, _MAX_HEADER_BYTES)
    end = head.find(b"\n\n")
    if end < 0:
        raise PhotoError(
            "decode-truncated", f"{source.uri} ends within its header; restore it from a backup."
        )
    resolution = _RESOLUTION.match(head, end + 2)
    if resolution is None:
        raise PhotoError(
            "decode-failed",
            f"{source.uri} has no resolution line '-Y height +X width'; save it again upright.",
        )
    return head[:end], resolution


def _exr_layout(source: Source) -> Layout:
    head = source.at(0, 1 << 20)
    flags = struct.unpack_from("<I", head, 4)[0] if len(head) >= 8 else 0
    if flags & _DEEP:
        raise PhotoError("color-unsupported", f"{source.uri} is a deep image; flatten it first.")
    attributes = _exr_attributes(head)
    window, channels = attributes.get(b"dataWindow", b""), attributes.get(b"channels", b"")
    if len(window) != 16 or not channels:
        raise PhotoError(
            "decode-failed", f"{source.uri} is an OpenEXR file with a damaged header; restore it."
        )
    left, top, right, bottom = struct.unpack("<4i", window)
    kinds = _exr_channels(channels)
    names = set(kinds)
    return Layout(
        format="exr",
        width=right - left + 1,
        height=bottom - top + 1,
        bits=16 if all(kind == 1 for kind in kinds.values()) else 32,
        channels=len(kinds),
        color="rgb" if names >= {b"R", b"G", b"B"} else "grey" if b"Y" in names else "other",
        floating=True,
        notes=("only the first part was read",) if flags & _MULTI_PART else (),
    )


def _exr_attributes(head: bytes) -> dict[bytes, bytes]:
    """The attributes of the first header: name, type, size, value, until an empty name."""
    found: dict[bytes, bytes] = {}
    at = 8
    while at < len(head):
        name_end = head.find(b"\0", at, at + 256)
        if name_end <= at:
            break
        type_end = head.find(b"\0", name_end + 1, name_end + 257)
        if type_end < 0 or type_end + 5 > len(head):
            break
        size = struct.unpack_from("<i", head, type_end + 1)[0]
        if size < 0:
            break
        found[head[at:name_end]] = head[type_end + 5 : type_end + 5 + size]
        at = type_end + 5 + size
    return found


def _exr_channels(data: bytes) -> dict[bytes, int]:
    """Channel name -> pixel type (0 integer, 1 half, 2 float)."""
    found: dict[bytes, int] = {}
    at = 0
    while at < len(data) and data[at] != 0:
        end = data.find(b"\0", at)
        if end < 0 or end + 17 > len(data):
            break
        found[data[at:end]] = struct.unpack_from("<i", data, end + 1)[0]
        at = end + 17
    return found


def _truncated(source: Source) -> PhotoError:
    return PhotoError(
        "decode-truncated",
        f"{source.uri} ends before its last pixel; copy it again or restore it.",
    )


def _decode_exr(source: Source) -> NDArray[np.float32]:
    buffer = io.BytesIO(source.whole())
    with OpenEXR.File(buffer, separate_channels=True, num_threads=1) as file:
        channels: dict[str, Any] = file.channels(0)
        names = ("R", "G", "B") if "R" in channels else ("Y", "Y", "Y")
        shapes = {channels[name].pixels.shape for name in names if name in channels}
        if any(name not in channels for name in names) or len(shapes) != 1:
            raise PhotoError(
                "color-unsupported",
                f"{source.uri} has the channels {', '.join(sorted(channels))[:80]}; save it with "
                "R, G and B, or with Y.",
            )
        planes = [channels[name].pixels.astype(np.float32) for name in names]
    return np.stack(planes, axis=-1)
