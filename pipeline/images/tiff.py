# SPDX-License-Identifier: Apache-2.0
"""TIFF: strips and tiles, planar or not, any byte order, 1 to 16 bits and float, BigTIFF."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.errors import PhotoError
from pipeline.images import jpeg
from pipeline.images.directories import Directory, read_directory, read_start
from pipeline.images.exifblock import block_of
from pipeline.images.layout import ColorModel, Layout, check_size
from pipeline.images.source import Source

__all__ = ["decode", "ends_early", "first_directory", "is_raw", "read_layout"]

# tifffile logs what it then raises, without the file's name.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _STRIP_COUNTS, _TILE_WIDTH, _TILE_HEIGHT = 273, 277, 279, 322, 323
_TILE_OFFSETS, _TILE_COUNTS, _SUB_IFDS, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 324, 325, 330, 338, 339
_ICC, _DNG_VERSION = 34675, 50706
_CFA, _LINEAR_RAW = 32803, 34892
_MIN_IS_WHITE, _PALETTE = 0, 3
_COLORS: dict[int, ColorModel] = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk", 6: "rgb"}
_BASE = {"grey": 1, "rgb": 3, "cmyk": 4, "other": 3}
_UNSIGNED, _FLOAT = 1, 3
_YCBCR, _JPEG = 6, 7
_STRAIGHT_ALPHA = 2
_ROWS_PER_STRIP, _PLANES = 278, 284
# None, LZW, JPEG, deflate twice, PackBits, LZMA, Zstandard. Others hold a picture of its own, of
# any size and kind, which the caps would not see.
_COMPRESSIONS = (1, 5, _JPEG, 8, 32_773, 32_946, 34_925, 34_926, 50_000)
_STRUCTURAL = (_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT)
_MAX_PIECES = 1 << 17
_LEAST_PIECE_PX = 256  # of more pieces than that, on average
_BLOCK = 16  # JPEG pads to as much


def first_directory(source: Source) -> Directory | None:
    """The first directory of a TIFF-like file."""
    start = read_start(source.at)
    return read_directory(source.at, start[0], start[1], big=start[2]) if start else None


def is_raw(source: Source) -> bool:
    """Whether a TIFF-like file holds a sensor's mosaic (DNG, NEF, ARW, CR2, PEF, ...)."""
    if source.at(8, 2) == b"CR":
        return True
    main = first_directory(source)
    if main is None:
        return False
    if _DNG_VERSION in main.entries:
        return True
    below = [
        read_directory(source.at, main.order, offset) for offset in main.integers(_SUB_IFDS)[:16]
    ]
    return any(
        directory.integer(_PHOTOMETRIC) in (_CFA, _LINEAR_RAW)
        for directory in (main, *below)
        if directory is not None
    )


def read_layout(source: Source) -> Layout:
    """The header of the first page.

    Raises:
        PhotoError: ``decode-truncated``, ``decode-failed``, ``image-too-large`` (of tiles) or
            ``color-unsupported``.
    """
    page = first_directory(source)
    if page is None or not page.integer(_WIDTH):
        start = read_start(source.at)
        code = "decode-truncated" if start and start[1] >= source.size_bytes else "decode-failed"
        raise PhotoError(
            code, f"{source.uri} is a TIFF file without a readable header; restore it."
        )
    if any(tag in page.entries and not page.numbers(tag) for tag in _STRUCTURAL):
        # A default in its place would make another picture of the same bytes.
        raise PhotoError(
            "decode-truncated",
            f"{source.uri} ends before its header does; copy it again or restore it.",
        )
    photometric = page.integer(_PHOTOMETRIC, -1)
    color = _COLORS.get(photometric, "other")
    compression = page.integer(_COMPRESSION, 1)
    if color == "other" or (photometric == _YCBCR and compression != _JPEG):
        raise PhotoError(
            "color-unsupported",
            f"{source.uri} is a TIFF file of colour model {photometric}; save it as RGB.",
        )
    if compression not in _COMPRESSIONS:
        raise PhotoError(
            "format-unsupported",
            f"{source.uri} is a TIFF file of compression {compression}; save it with LZW, with "
            "ZIP or without.",
        )
    bits = set(page.integers(_BITS)) or {1}
    kinds = set(page.integers(_SAMPLE_FORMAT)) or {_UNSIGNED}
    kind, depth = min(kinds), min(bits)
    if len(bits) > 1 or len(kinds) > 1 or not _depth_is_known(kind, depth):
        raise PhotoError(
            "color-unsupported",
            f"{source.uri} is a TIFF file of a sample type that is no photograph's "
            f"(bits {sorted(bits)}, format {sorted(kinds)}); save it with 8 or 16 bits.",
        )
    samples = 3 if photometric == _PALETTE else page.integer(_SAMPLES, 1)
    if samples < _BASE[color]:
        raise PhotoError(
            "decode-failed", f"{source.uri} is a TIFF file that lacks channels; restore it."
        )
    check_size(source.uri, page.integer(_WIDTH), page.integer(_HEIGHT), samples, source.limits)
    if _TILE_WIDTH in page.entries:
        # A tile is decoded whole, however little of it lies within the image.
        tile = page.integer(_TILE_WIDTH), page.integer(_TILE_HEIGHT)
        check_size(source.uri, *tile, samples, source.limits)
    # Only this kind is transparency: premultiplied colours stand over black already, and what is
    # unspecified is some editor's saved selection.
    alpha = color != "cmyk" and page.integer(_EXTRA_SAMPLES) == _STRAIGHT_ALPHA
    return Layout(
        format="tiff",
        width=page.integer(_WIDTH),
        height=page.integer(_HEIGHT),
        bits=8 if photometric == _PALETTE else depth,
        channels=_BASE[color] + alpha,
        color=color,
        floating=kind == _FLOAT,
        exif=block_of(page),
        icc=page.raw(_ICC),
        notes=("only the first page was read",) if page.next_offset else (),
    )


def decode(source: Source, layout: Layout) -> NDArray[Any]:
    """The pixels of the first page, (H, W) or (H, W, C); CMYK comes with 0 for no ink.

    Raises:
        PhotoError: ``decode-truncated``.
        Exception: whatever tifffile raises on a damaged file.
    """
    data = source.whole()
    page = first_directory(source)
    if page is None or ends_early(source, page):
        raise PhotoError(
            "decode-truncated",
            f"{source.uri} ends before its last pixel; copy it again or restore it.",
        )
    _check_pieces(source, page)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first: Any = file.pages[0]
        pixels: NDArray[Any] = first.asarray()
        if pixels.ndim == 3 and first.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, -1)
        palette: Any = first.colormap
    if pixels.ndim == 3:
        pixels = pixels[..., : layout.channels]
    photometric = page.integer(_PHOTOMETRIC)
    if photometric == _PALETTE:
        # Colour maps have 16 bits; some programs write the 8-bit value into the low byte.
        wide = palette >> 8 if palette.max() > 255 else palette
        return np.ascontiguousarray(wide.astype(np.uint8).T[pixels])
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if photometric == _MIN_IS_WHITE:
        peak = 1.0 if layout.floating else (1 << layout.bits) - 1
        pixels = (peak - pixels).astype(pixels.dtype)
    return pixels


def _depth_is_known(kind: int, bits: int) -> bool:
    if kind == _FLOAT:
        return bits in (16, 32, 64)
    return kind in (_UNSIGNED, 4) and 1 <= bits <= 16


def ends_early(source: Source, page: Directory) -> bool:
    """Whether strips or tiles of a directory's picture lie behind the end of the file."""
    for starts, counts in ((_STRIP_OFFSETS, _STRIP_COUNTS), (_TILE_OFFSETS, _TILE_COUNTS)):
        ends = zip(page.numbers(starts), page.numbers(counts), strict=False)
        if any(start + count > source.size_bytes for start, count in ends):
            return True
        if starts in page.entries and not page.numbers(starts):
            return True
    return False


def _check_pieces(source: Source, page: Directory) -> None:
    """Refuse strips or tiles that are missing, too many, or hold more than their share.

    Raises:
        PhotoError: ``decode-failed``.
    """
    width, height = page.integer(_WIDTH), page.integer(_HEIGHT)
    tiled = _TILE_WIDTH in page.entries
    across, down = (_TILE_WIDTH, _TILE_HEIGHT) if tiled else (_WIDTH, _ROWS_PER_STRIP)
    wide, high = page.integer(across) or width, page.integer(down) or height
    high = high if tiled else min(high, height)
    planes = page.integer(_SAMPLES, 1) if page.integer(_PLANES, 1) == 2 else 1
    count = -(-width // wide) * -(-height // high) * planes
    starts, sizes = (_TILE_OFFSETS, _TILE_COUNTS) if tiled else (_STRIP_OFFSETS, _STRIP_COUNTS)
    places = list(zip(page.integers(starts), page.integers(sizes), strict=False))
    if count > max(_MAX_PIECES, width * height // _LEAST_PIECE_PX):
        raise _damaged(source, f"{count} strips or tiles are too many for its size")
    if count == 1 and sizes not in page.entries and page.integer(_COMPRESSION, 1) == 1:
        # What one strip takes follows from its size.
        row_bits = width * page.integer(_SAMPLES, 1) * max(page.integers(_BITS) or [1])
        if page.integer(starts) + -(-row_bits // 8) * height > source.size_bytes:
            raise _damaged(source, "its pixels are not all there")
        return
    if len(places) < count or not all(size for _, size in places[:count]):
        raise _damaged(source, f"{len(places)} of {count} strips or tiles")
    if page.integer(_COMPRESSION, 1) == _JPEG:
        room = (wide + _BLOCK) * (high + _BLOCK)
        for start, size in places[:count]:
            if jpeg.pixels_of(source.at(start, size)) > room:
                raise _damaged(source, "a strip or tile holds a larger picture")


def _damaged(source: Source, why: str) -> PhotoError:
    return PhotoError(
        "decode-failed", f"{source.uri} is a damaged TIFF file ({why}); restore it or save it anew."
    )
