# SPDX-License-Identifier: Apache-2.0
"""The one door out: fused photographs, radiances and the report's small pictures.

Everything is encoded in memory and written atomically. The same pixels give the same bytes,
always: no time stamps, fixed profiles, one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bracket import Pixels
from pipeline.errors import BracketflowError, PhotoError, UsageError
from pipeline.images import encoders
from pipeline.images.color import srgb_to_linear
from pipeline.images.exifblock import tidied
from pipeline.images.previews import map_png, preview_jpeg
from pipeline.images.radiance import encode_exr
from pipeline.storage import sha256_of, write_atomic

__all__ = [
    "BITS",
    "EXTENSIONS",
    "OutputFormat",
    "Written",
    "check_output",
    "encode_photo",
    "encode_radiance",
    "map_png",
    "preview_jpeg",
    "quantize",
    "write_photo",
    "write_radiance",
]

OutputFormat = Literal["jpeg", "png", "tiff", "exr", "avif"]

BITS: dict[str, tuple[int, ...]] = {
    "jpeg": (8,),
    "png": (8, 16),
    "tiff": (8, 16),
    "exr": (16, 32),
    "avif": (8, 10, 12),
}
"""Format -> bits per channel that it takes; of OpenEXR they are half and float."""

EXTENSIONS: dict[str, str] = {
    "jpeg": "jpg",
    "png": "png",
    "tiff": "tif",
    "exr": "exr",
    "avif": "avif",
}
"""Format -> file name extension, without a dot."""

Image = torch.Tensor | NDArray[Any]
"""(3, H, W) float in 0..1, or (H, W, 3) uint8 or uint16; display-referred sRGB."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """An encoded image: its bytes, their hash, its size, and where it was written, if it was."""

    data: bytes
    sha256: str
    width: int
    height: int
    uri: str | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return len(self.data)


def check_output(output_format: str, bits: int, quality: int) -> None:
    """Refuse what a format cannot hold.

    Raises:
        UsageError: ``option-invalid``, naming the values that are allowed.
    """
    if output_format not in get_args(OutputFormat):
        raise UsageError(
            "option-invalid",
            f"There is no output format {output_format!r}; choose one of "
            f"{', '.join(get_args(OutputFormat))}.",
        )
    if bits not in BITS[output_format]:
        allowed = " or ".join(str(depth) for depth in BITS[output_format])
        raise UsageError(
            "option-invalid",
            f"{output_format} cannot hold {bits} bits a channel, only {allowed}"
            + ("; for 16 bits choose png or tiff." if bits == 16 else "."),
        )
    if not 1 <= quality <= 100:
        raise UsageError("option-invalid", f"Quality {quality} is not within 1..100.")


def quantize(fusion: torch.Tensor | NDArray[np.float32], bits: int) -> Pixels:
    """Round a fusion to integers, half away from zero, clipped to 0..1 first.

    Args:
        fusion: (3, H, W) float, display-referred sRGB in 0..1, on any device.
        bits: 8, 10, 12 or 16.

    Returns:
        (H, W, 3), uint8 for 8 bits, else uint16 in 0..2^bits - 1.

    Raises:
        PhotoError: ``result-unwritable``, a value is not finite.
    """
    tensor = torch.as_tensor(fusion).detach()
    if not bool(torch.isfinite(tensor).all()):
        raise PhotoError(
            "result-unwritable",
            "The fusion holds values that are no numbers; choose another model and report this.",
        )
    scaled = tensor.float().clamp(0.0, 1.0).mul_(float((1 << bits) - 1)).add_(0.5)
    # Conversion cuts fractions off, and nothing is negative here. Integers are reordered, since
    # they are smaller than floats.
    planes = scaled.to(torch.uint8 if bits == 8 else torch.int32).cpu()
    integers = planes.permute(1, 2, 0).contiguous().numpy()
    return _as_pixels(integers, bits)


def encode_photo(
    pixels: Image,
    *,
    format: OutputFormat,  # noqa: A002 - the option's name everywhere
    bits: int,
    quality: int = 95,
    exif: bytes | None = None,
) -> Written:
    """Encode a display-referred photograph.

    Args:
        pixels: (3, H, W) float tensor or array in 0..1, or (H, W, 3) uint8 or uint16.
        format: the container. OpenEXR is linear by convention: the sRGB curve is undone.
        bits: per channel, see :data:`BITS`.
        quality: 1..100 of JPEG and AVIF; others are lossless and ignore it.
        exif: the reference frame's EXIF block. It is carried over with orientation 1, without
            its thumbnail and with the result's size. AVIF of 10 and 12 bits and OpenEXR have no
            place for it; in TIFF the maker note is left out.

    Raises:
        UsageError: ``option-invalid``.
        PhotoError: ``result-unwritable``.
    """
    check_output(format, bits, quality)
    depth = bits if format != "exr" else 16
    integers = _integers(pixels, depth)
    height, width = integers.shape[:2]
    # Pillow takes an orientation out of an AVIF's block, and moves the maker note by that.
    block = tidied(exif, width, height, with_orientation=format != "avif")
    try:
        if format == "jpeg":
            data = encoders.encode_jpeg(integers.astype(np.uint8, copy=False), quality, block)
        elif format == "png":
            data = encoders.encode_png(integers, block)
        elif format == "tiff":
            data = encoders.encode_tiff(integers, block)
        elif format == "avif":
            data = encoders.encode_avif(integers, bits, quality, block)
        else:
            encoded = _floats(pixels)
            data = encode_exr(srgb_to_linear(encoded), bits)
    except (BracketflowError, MemoryError):
        raise
    except Exception as error:
        raise _unwritable(format, width, height, error) from error
    return Written(data=data, sha256=sha256_of(data), width=width, height=height)


def encode_radiance(
    radiance: torch.Tensor | NDArray[np.float32],
    *,
    bits: int = 16,
    facts: Mapping[str, Any] | None = None,
) -> Written:
    """Encode a radiance, (3, H, W) float, linear, as OpenEXR of 16 (half) or 32 bits.

    Args:
        radiance: in the primaries of sRGB.
        bits: per channel.
        facts: see :func:`pipeline.images.radiance.encode_exr`.

    Raises:
        UsageError: ``option-invalid``.
        PhotoError: ``result-unwritable``, also where a value is not finite.
    """
    check_output("exr", bits, 100)
    planes = torch.as_tensor(radiance).detach().float().cpu()
    height, width = int(planes.shape[1]), int(planes.shape[2])
    if not bool(torch.isfinite(planes).all()):
        raise PhotoError(
            "result-unwritable",
            "The radiance holds values that are no numbers; choose another model and report this.",
        )
    try:
        data = encode_exr(planes.permute(1, 2, 0).contiguous().numpy(), bits, facts or {})
    except Exception as error:
        raise _unwritable("exr", width, height, error) from error
    return Written(data=data, sha256=sha256_of(data), width=width, height=height)


def write_photo(
    pixels: Image,
    uri: str,
    *,
    format: OutputFormat,  # noqa: A002 - the option's name everywhere
    bits: int,
    quality: int = 95,
    exif: bytes | None = None,
) -> Written:
    """Encode as :func:`encode_photo` does and write atomically, over whatever stands there.

    Raises:
        UsageError: ``option-invalid``.
        PhotoError: ``result-unwritable``.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    encoded = encode_photo(pixels, format=format, bits=bits, quality=quality, exif=exif)
    return _publish(encoded, uri)


def write_radiance(
    radiance: torch.Tensor | NDArray[np.float32], uri: str, *, bits: int = 16
) -> Written:
    """Encode as :func:`encode_radiance` does and write atomically.

    Raises:
        UsageError: ``option-invalid``.
        PhotoError: ``result-unwritable``.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    return _publish(encode_radiance(radiance, bits=bits), uri)


def _publish(encoded: Written, uri: str) -> Written:
    write_atomic(uri, encoded.data)
    return Written(
        data=encoded.data,
        sha256=encoded.sha256,
        width=encoded.width,
        height=encoded.height,
        uri=uri,
    )


def _integers(pixels: Image, bits: int) -> Pixels:
    """(H, W, 3) of the wanted depth, from any of the accepted kinds of pixels."""
    if isinstance(pixels, torch.Tensor) or pixels.dtype.kind == "f":
        return quantize(pixels, bits)
    stored = 8 if pixels.dtype == np.uint8 else 16
    if stored == bits:
        return _as_pixels(pixels, bits)
    have, want = (1 << stored) - 1, (1 << bits) - 1
    scaled = (pixels.astype(np.uint32) * np.uint32(want) + np.uint32(have // 2)) // np.uint32(have)
    return _as_pixels(scaled, bits)


def _floats(pixels: Image) -> NDArray[np.float32]:
    """(H, W, 3) float32 in 0..1."""
    if isinstance(pixels, torch.Tensor):
        planes = pixels.detach().float().clamp(0.0, 1.0).cpu().numpy()
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    if pixels.dtype.kind == "f":
        return np.ascontiguousarray(np.clip(pixels, 0, 1).transpose(1, 2, 0), np.float32)
    peak = np.float32(255 if pixels.dtype == np.uint8 else 65_535)
    return np.asarray(pixels.astype(np.float32) / peak)


def _as_pixels(values: NDArray[Any], bits: int) -> Pixels:
    if bits == 8:
        return np.ascontiguousarray(values, np.uint8)
    return np.ascontiguousarray(values, np.uint16)


def _unwritable(output_format: str, width: int, height: int, error: Exception) -> PhotoError:
    return PhotoError(
        "result-unwritable",
        f"A result of {width} x {height} px cannot be written as {output_format} "
        f"({' '.join(str(error).split())[:200]}); choose another --format.",
    )
