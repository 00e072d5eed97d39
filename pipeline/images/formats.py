# SPDX-License-Identifier: Apache-2.0
"""The allow-list: which format a file has, by its first bytes and never by its name."""

from __future__ import annotations

from pipeline.errors import PhotoError
from pipeline.images import avif, jpeg, png, radiance, raw, tiff
from pipeline.images.layout import ImageFormat, Layout, check_size
from pipeline.images.source import Source

__all__ = ["identify", "read_layout"]

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW_MAGICS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
_READERS = {
    "jpeg": jpeg.read_layout,
    "png": png.read_layout,
    "tiff": tiff.read_layout,
    "avif": avif.read_layout,
    "hdr": radiance.read_layout,
    "exr": radiance.read_layout,
    "raw": raw.read_layout,
}


def identify(source: Source) -> ImageFormat:
    """The format of a file.

    Raises:
        PhotoError: ``format-unsupported``, with the cure.
    """
    head = source.at(0, 64)
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(png.SIGNATURE):
        return "png"
    if head[:4] in _TIFF_MAGICS:
        return "raw" if tiff.is_raw(source) else "tiff"
    if avif.is_avif(head):
        return "avif"
    if head.startswith(radiance.EXR_MAGIC):
        return "exr"
    if head.startswith(radiance.HDR_MAGICS):
        return "hdr"
    if head[:4] in _RAW_MAGICS or head.startswith(raw.RAF_MAGIC) or raw.is_cr3(head):
        return "raw"
    what = "an HEIC image" if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS else None
    raise PhotoError(
        "format-unsupported",
        f"{source.uri} is {what or 'no image'} of a format that bracketflow reads; export it as "
        "JPEG, PNG, TIFF, AVIF or DNG, or leave it out.",
    )


def read_layout(source: Source) -> Layout:
    """The header of a file, with its size checked against the caps.

    Raises:
        PhotoError: ``format-unsupported``, ``decode-truncated``, ``decode-failed``,
            ``color-unsupported`` or ``image-too-large``.
    """
    layout = _READERS[identify(source)](source)
    check_size(source.uri, layout.width, layout.height, layout.channels, source.limits)
    return layout
