# SPDX-License-Identifier: Apache-2.0
"""What a file's header says of its pixels, the same words for every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PhotoError
from pipeline.images.source import Limits

__all__ = ["ColorModel", "ImageFormat", "Layout", "check_size"]

ImageFormat = Literal["jpeg", "png", "tiff", "avif", "hdr", "exr", "raw"]
ColorModel = Literal["grey", "rgb", "cmyk", "other"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The header of an image file.

    ``width`` and ``height`` are as stored, before any orientation. ``bits`` are per channel as
    stored; ``channels`` counts colours and alpha after a palette is expanded. ``orientation`` is
    set where the container itself, not EXIF, says how to turn the image. ``exif`` is a TIFF
    block without any prefix, ``icc`` an ICC profile.
    """

    format: ImageFormat
    width: int
    height: int
    bits: int
    channels: int
    color: ColorModel
    floating: bool = False
    orientation: int | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def check_size(uri: str, width: int, height: int, channels: int, limits: Limits) -> None:
    """Refuse images without pixels and images over the cap, before anything is decoded.

    Raises:
        PhotoError: ``decode-failed`` or ``image-too-large``.
    """
    if width <= 0 or height <= 0:
        raise PhotoError(
            "decode-failed", f"{uri} claims {width} x {height} px; the file is damaged, restore it."
        )
    # Sixteen spectral channels need the memory of four images.
    if width * height * max(1.0, channels / 4) > limits.max_pixels:
        raise PhotoError(
            "image-too-large",
            f"{uri} claims {width} x {height} px with {channels} channels, more than the cap of "
            f"{limits.max_pixels} px; raise the cap if the file is genuine.",
        )
