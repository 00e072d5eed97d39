# SPDX-License-Identifier: Apache-2.0
"""The one door in: headers, photographs and scene-referred images.

Whatever is wrong with a file comes out as a :class:`PhotoError` with a stable code and the cure;
no decoder's own exception passes this door.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bracket import Pixels
from pipeline.errors import BracketflowError, PhotoError
from pipeline.images import avif, jpeg, png, radiance, raw, tiff
from pipeline.images.color import ADOBE_RGB, to_srgb
from pipeline.images.exif import CameraFacts, is_adobe_rgb, read_facts, with_bracket_tags
from pipeline.images.formats import read_layout
from pipeline.images.layout import ImageFormat, Layout
from pipeline.images.makernote import read_bracket_tags
from pipeline.images.raw import WhiteBalance
from pipeline.images.source import Limits, Source, open_source
from pipeline.storage import sha256_of

__all__ = ["Header", "Limits", "Photo", "read_header", "read_photo", "read_radiance"]

_DECODERS = {
    "jpeg": jpeg.decode,
    "png": png.decode,
    "tiff": tiff.decode,
    "avif": avif.decode,
}
_FACTS = tuple(item.name for item in fields(CameraFacts))


@dataclass(frozen=True, kw_only=True)
class Header(CameraFacts):
    """What is known of a file without decoding it.

    ``width`` and ``height`` are upright pixels, ``stored_width`` and ``stored_height`` as they
    lie in the file. ``bits`` are per channel as stored, ``channels`` counts colours and alpha.
    The camera's facts are those of :class:`CameraFacts`.
    """

    uri: str
    format: ImageFormat
    size_bytes: int
    width: int
    height: int
    stored_width: int
    stored_height: int
    bits: int
    channels: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded photograph.

    ``pixels`` are (H, W, 3), upright, display-referred sRGB; uint8 for files of up to 8 bits a
    channel, uint16 over its full range for all others. ``exif`` is the EXIF block as it stood in
    the file (orientation included), to be carried over to a result. ``white_balance`` are the
    multipliers that a RAW was developed with, to be given to the bracket's other frames.
    ``sha256`` is the hash of the file's bytes as they were read.
    """

    pixels: Pixels
    header: Header
    sha256: str
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    white_balance: WhiteBalance | None = None


def read_header(uri: str, limits: Limits | None = None) -> Header:
    """Read the head of an image file; no pixel is decoded.

    Raises:
        PhotoError: ``file-missing``, ``file-unreadable``, ``file-link``, ``file-empty``,
            ``file-too-large``, ``format-unsupported``, ``image-too-large``,
            ``decode-truncated``, ``decode-failed`` or ``color-unsupported``.
        InfrastructureError: ``storage-failed``.
    """
    with open_source(uri, limits or Limits()) as source, _decoder_errors(uri):
        return _header(source, read_layout(source))


def read_photo(
    uri: str, limits: Limits | None = None, *, white_balance: WhiteBalance | None = None
) -> Photo:
    """Decode a photograph.

    16-bit stays 16-bit; a decoder that hands out fewer bits than the header promises is refused.
    A floating-point TIFF is taken as display-referred if its values lie within 0..1.

    Args:
        uri: the file.
        limits: caps on bytes and pixels.
        white_balance: for RAW, the multipliers of the bracket's reference frame; the frame's own
            if None. Other formats ignore it.

    Raises:
        PhotoError: what :func:`read_header` raises, and ``format-needs-extra``.
        InfrastructureError: ``storage-failed``.
    """
    with open_source(uri, limits or Limits()) as source, _decoder_errors(uri):
        layout = read_layout(source)  # before a file of gigabytes is read that is no image
        sha256 = sha256_of(source.whole())
        header = _header(source, layout)
        if layout.format in ("hdr", "exr") or layout.color == "other":
            raise PhotoError(
                "color-unsupported",
                f"{uri} holds linear light, not a photograph; a bracket's frames must be "
                "display-referred. Export them as 16-bit TIFF.",
            )
        if layout.format == "raw":
            developed, used = raw.decode(source, white_balance)
            height, width = developed.shape[:2]
            return Photo(
                pixels=developed,
                header=replace(header, width=width, height=height),
                sha256=sha256,
                exif=layout.exif,
                white_balance=used,
            )
        pixels = _DECODERS[layout.format](source, layout)
        _check_pixels(pixels, layout, uri)
        profile = layout.icc
        if profile is None and layout.color == "rgb" and is_adobe_rgb(layout.exif):
            profile = ADOBE_RGB
        converted, notes = to_srgb(pixels, layout, uri=uri, profile=profile)
        return Photo(
            pixels=_upright(converted, header.orientation),
            header=header,
            sha256=sha256,
            exif=layout.exif,
            notes=(*layout.notes, *notes),
        )


def read_radiance(uri: str, limits: Limits | None = None) -> NDArray[np.float32]:
    """Decode a scene-referred image, Radiance .hdr or OpenEXR.

    Returns:
        (H, W, 3) float32, linear, in the file's own scale and primaries; grey is repeated, alpha
        left out. Values may be negative, infinite or NaN where the file says so.

    Raises:
        PhotoError: what :func:`read_header` raises; ``format-unsupported`` for other formats.
        InfrastructureError: ``storage-failed``.
    """
    with open_source(uri, limits or Limits()) as source, _decoder_errors(uri):
        layout = read_layout(source)
        if layout.format not in ("hdr", "exr"):
            raise PhotoError(
                "format-unsupported",
                f"{uri} is a photograph, not linear light; give a Radiance .hdr or OpenEXR file.",
            )
        source.whole()
        pixels = radiance.decode(source, layout)
        if pixels.shape != (layout.height, layout.width, 3):
            raise _damaged(uri, f"{pixels.shape} instead of {layout.height} x {layout.width}")
        return np.ascontiguousarray(pixels, np.float32)


def _header(source: Source, layout: Layout) -> Header:
    facts = read_facts(layout.exif)
    if layout.format == "raw":
        # A RAW's maker note can be read only where it lies.
        source.file.seek(0)
        facts = with_bracket_tags(facts, read_bracket_tags(source.file, facts.make or ""))
    if layout.orientation is not None:
        facts = replace(facts, orientation=layout.orientation)
    turned = facts.orientation >= 5
    return Header(
        uri=source.uri,
        format=layout.format,
        size_bytes=source.size_bytes,
        width=layout.height if turned else layout.width,
        height=layout.width if turned else layout.height,
        stored_width=layout.width,
        stored_height=layout.height,
        bits=layout.bits,
        channels=layout.channels,
        notes=layout.notes,
        **{name: getattr(facts, name) for name in _FACTS},
    )


def _check_pixels(pixels: NDArray[Any], layout: Layout, uri: str) -> None:
    """The pixels must be what the header promised: no downgrade, no other size."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2] if pixels.ndim == 3 else 0
    if pixels.shape[:2] != (layout.height, layout.width) or channels < layout.channels:
        raise _damaged(uri, f"{pixels.shape} instead of {layout.height} x {layout.width}")
    expected = "f" if layout.floating else "u"
    size = 1 if layout.bits <= 8 else 2
    if pixels.dtype.kind != expected or (expected == "u" and pixels.dtype.itemsize != size):
        raise _damaged(uri, f"{pixels.dtype} instead of {layout.bits} bits")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror as EXIF orientation 1..8 asks."""
    turned: NDArray[Any] = pixels
    if orientation >= 5:
        turned = turned.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _damaged(uri: str, why: str) -> PhotoError:
    return PhotoError(
        "decode-failed", f"{uri} cannot be decoded ({why}); restore it or export it again."
    )


@contextmanager
def _decoder_errors(uri: str) -> Iterator[None]:
    """Decoders fail in ways of their own; all of them mean that the file is damaged."""
    try:
        yield
    except (BracketflowError, MemoryError):
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise _damaged(uri, why) from error
