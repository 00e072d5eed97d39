# SPDX-License-Identifier: Apache-2.0
"""Camera RAW and DNG, developed by LibRaw through the optional ``rawpy``.

All frames of a bracket must be developed alike, or their exposures no longer differ by exposure
alone: no automatic brightness, no adaptive white level, and one white balance.
"""

from __future__ import annotations

import importlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PhotoError
from pipeline.images import jpeg
from pipeline.images.avif import boxes
from pipeline.images.directories import Directory, read_directory, read_start
from pipeline.images.exifblock import block_of, merged
from pipeline.images.layout import Layout, check_size
from pipeline.images.source import Source
from pipeline.images.tiff import ends_early, first_directory

__all__ = ["RAF_MAGIC", "WhiteBalance", "decode", "is_cr3", "read_layout"]

WhiteBalance = tuple[float, float, float, float]
"""Multipliers of red, green, blue and second green."""

RAF_MAGIC = b"FUJIFILMCCD-RAW "
_DNG_VERSION = 50_706
_SUB_IFDS, _WIDTH, _HEIGHT, _CROP_SIZE = 330, 256, 257, 50_720
_PIXEL_WIDTH, _PIXEL_HEIGHT, _EXIF_IFD = 40_962, 40_963, 34_665
_SRGB_GAMMA = (2.4, 12.92)


def is_cr3(head: bytes) -> bool:
    """Whether a file that starts like this is a Canon CR3."""
    return head[4:12] == b"ftypcrx "


def read_layout(source: Source) -> Layout:
    """The header, without LibRaw.

    The size is the sensor's as the header states it; the developed picture may be a few pixels
    smaller. Formats whose header says nothing of it have the size of their preview.

    Raises:
        PhotoError: ``decode-failed``.
    """
    head = source.at(0, 128)
    if head.startswith(RAF_MAGIC):
        exif = _raf_exif(source)
        width, height = _size_of_block(exif)
    elif is_cr3(head):
        exif, width, height = _cr3(source)
    else:
        start = read_start(source.at)
        main = read_directory(source.at, start[0], start[1], big=start[2]) if start else None
        exif = block_of(main) if main else None
        width, height = _sensor_size(main) if main else (0, 0)
    if not width or not height:
        raise PhotoError(
            "decode-failed", f"{source.uri} is a RAW file without a readable header; restore it."
        )
    return Layout(
        format="raw", width=width, height=height, bits=16, channels=3, color="rgb", exif=exif
    )


def decode(
    source: Source, white_balance: WhiteBalance | None
) -> tuple[NDArray[np.uint16], WhiteBalance]:
    """Develop to upright 16-bit sRGB.

    Args:
        source: the file.
        white_balance: multipliers of the bracket's reference frame; the camera's own if None.

    Returns:
        (H, W, 3) uint16, and the multipliers that were used.

    Raises:
        PhotoError: ``format-needs-extra``, ``decode-truncated``, ``image-too-large`` or
            ``decode-failed``.
        Exception: whatever rawpy raises on a damaged file.
    """
    try:
        rawpy: Any = importlib.import_module("rawpy")
    except ImportError:
        raise PhotoError(
            "format-needs-extra",
            f"{source.uri} is a RAW photograph; install the extra that reads them: "
            "pip install 'bracketflow[raw]'.",
        ) from None
    if _dng_ends_early(source):
        # LibRaw would take black for missing pixels, and guess at missing colours.
        raise PhotoError(
            "decode-truncated",
            f"{source.uri} ends before its last pixel; copy it again or restore it.",
        )
    with rawpy.imread(io.BytesIO(source.whole())) as photograph:
        # LibRaw has its own idea of where in the file the sensor's picture is.
        sizes = photograph.sizes
        check_size(source.uri, sizes.raw_width, sizes.raw_height, 3, source.limits)
        camera = [float(value) for value in photograph.camera_whitebalance]
        if not camera[0] > 0 or not camera[1] > 0 or not camera[2] > 0:
            camera = [float(value) for value in photograph.daylight_whitebalance]
        if camera[3] <= 0:
            camera[3] = camera[1]
        used = white_balance or (camera[0], camera[1], camera[2], camera[3])
        pixels: NDArray[np.uint16] = photograph.postprocess(
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,
            gamma=_SRGB_GAMMA,
            user_wb=list(used),
            no_auto_bright=True,
            # LibRaw would else lower the white level of a frame without bright pixels.
            adjust_maximum_thr=0.0,
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:  # a sensor without colour filters
        pixels = np.repeat(pixels, 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise PhotoError(
            "decode-failed", f"{source.uri} develops to {pixels.shape}, not to RGB; restore it."
        )
    return pixels, used


def _dng_ends_early(source: Source) -> bool:
    """Whether a DNG lacks fields or pixels; other makers' directories say all sorts of things."""
    main = first_directory(source)
    if main is None or _DNG_VERSION not in main.entries:
        return False
    below = [
        read_directory(source.at, main.order, offset) for offset in main.integers(_SUB_IFDS)[:16]
    ]
    return any(
        part is None
        or ends_early(source, part)
        or any(one.offset + part.size(tag) > source.size_bytes for tag, one in part.entries.items())
        for part in (main, *below)
    )


def _sensor_size(main: Directory) -> tuple[int, int]:
    """Of the largest image in the file, cropped as a DNG asks."""
    below = [
        read_directory(main.read_at, main.order, offset) for offset in main.integers(_SUB_IFDS)[:16]
    ]
    following = read_directory(main.read_at, main.order, main.next_offset)
    sizes: list[tuple[int, int]] = []
    for directory in (main, following, main.below(_EXIF_IFD), *below):
        if directory is None:
            continue
        crop = directory.numbers(_CROP_SIZE)
        if len(crop) == 2 and all(0 < side < 1e6 for side in crop):
            sizes.append((int(crop[0]), int(crop[1])))
        else:
            sizes.append((directory.integer(_WIDTH), directory.integer(_HEIGHT)))
        sizes.append((directory.integer(_PIXEL_WIDTH), directory.integer(_PIXEL_HEIGHT)))
    return max(sizes, key=lambda size: size[0] * size[1])


def _size_of_block(exif: bytes | None) -> tuple[int, int]:
    block = exif or b""

    def read_at(offset: int, count: int) -> bytes:
        return block[offset : offset + count]

    start = read_start(read_at)
    main = read_directory(read_at, start[0], start[1]) if start else None
    return _sensor_size(main) if main else (0, 0)


def _raf_exif(source: Source) -> bytes | None:
    """A Fujifilm RAF holds a JPEG preview with the EXIF block, at an offset in its header."""
    start = int.from_bytes(source.at(84, 4), "big")
    found, _ = jpeg.segments(lambda offset, count: source.at(start + offset, count))
    return next((data[6:] for _, data in found if data.startswith(b"Exif\0\0")), None)


def _cr3(source: Source) -> tuple[bytes | None, int, int]:
    """A Canon CR3 keeps main and EXIF directory as TIFF blocks of their own, CMT1 and CMT2."""
    head = source.at(0, 1 << 20)
    blocks: dict[bytes, bytes] = {}
    for name, movie in boxes(head):
        if name != b"moov":
            continue
        for inner, content in boxes(movie):
            if inner == b"uuid":
                blocks |= dict(boxes(content, 16))
    exif = merged(blocks.get(b"CMT1", b""), blocks.get(b"CMT2", b""))
    return exif, *_size_of_block(blocks.get(b"CMT1"))
