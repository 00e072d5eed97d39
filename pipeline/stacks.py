# SPDX-License-Identifier: Apache-2.0
"""Reading a bracket: all frames decoded once, checked against each other."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipeline.archive.exposure import exposure_contradiction
from pipeline.archive.shot import RAW_EXTENSIONS
from pipeline.bracket import Bracket, Pixels, Stack
from pipeline.errors import PhotoError
from pipeline.images.reading import Limits, Photo, read_photo

__all__ = ["ReadBracket", "read_bracket"]


@dataclass(frozen=True, kw_only=True)
class ReadBracket:
    """A bracket's pixels and what the reading taught.

    ``frame_sha256s`` are the hashes of the frames' files, in the bracket's order.
    ``exif`` is the EXIF block of the middle frame, to be carried over to the result. ``notes``
    holds remarks, ``confidence`` is the bracket's, lowered where EXIF contradicts the pixels.
    """

    stack: Stack
    frame_sha256s: tuple[str, ...]
    exif: bytes | None
    notes: tuple[str, ...]
    confidence: float


def read_bracket(
    bracket: Bracket, *, limits: Limits | None = None, threads: int = 2, least: int = 2
) -> ReadBracket:
    """Decode all frames of a bracket, in its order.

    Frames of 8 and 16 bits mixed become 16-bit ones; nothing ever loses bits.

    Args:
        bracket: what is read.
        limits: caps for reading.
        threads: frames decoded side by side.
        least: fewest frames; 1 lets singles in.

    Raises:
        PhotoError: ``bracket-too-short``, ``frames-differ-in-size``, ``frames-identical``, or
            what :func:`pipeline.images.reading.read_photo` says of the first bad frame.
        InfrastructureError: ``storage-failed``.
    """
    first = bracket.frames[0].path
    if len(bracket.frames) < least:
        raise PhotoError(
            "bracket-too-short",
            f"The bracket of {first} has one frame; add its other exposures or list it no more.",
        )
    photos = _decode(bracket, limits or Limits(), threads)
    _check_sizes(bracket, photos)
    pixels = _same_depth([photo.pixels for photo in photos])
    if len(pixels) > 1 and all(np.array_equal(pixels[0], other) for other in pixels[1:]):
        raise PhotoError(
            "frames-identical",
            f"All frames of the bracket of {first} are the same picture; there is nothing to "
            "fuse. Remove the copies.",
        )
    notes = list(
        dict.fromkeys([*bracket.notes, *(note for photo in photos for note in photo.notes)])
    )
    confidence = bracket.confidence
    evs = [frame.ev for frame in bracket.frames]
    if all(ev is not None for ev in evs):
        means = [float(p[::8, ::8].mean(dtype=np.float64)) for p in pixels]
        contradiction = exposure_contradiction([ev for ev in evs if ev is not None], means)
        if contradiction and contradiction not in notes:
            notes.append(contradiction)
            confidence = min(confidence, 0.5)
    times = [frame.exposure_time_s for frame in bracket.frames]
    known = tuple(time for time in times if time is not None)
    return ReadBracket(
        stack=Stack(
            frames=tuple(pixels), exposure_times_s=known if len(known) == len(times) else None
        ),
        frame_sha256s=tuple(photo.sha256 for photo in photos),
        exif=photos[len(photos) // 2].exif,
        notes=tuple(notes),
        confidence=confidence,
    )


def _decode(bracket: Bracket, limits: Limits, threads: int) -> list[Photo]:
    uris = [frame.uri for frame in bracket.frames]
    middle = len(uris) // 2
    with ThreadPoolExecutor(max_workers=threads) as pool:
        if not any(posixpath.splitext(uri)[1].lower() in RAW_EXTENSIONS for uri in uris):
            return list(pool.map(lambda uri: read_photo(uri, limits), uris))
        # RAW frames of one bracket are developed with one white balance: the middle frame's.
        reference = read_photo(uris[middle], limits)
        rest = pool.map(
            lambda uri: read_photo(uri, limits, white_balance=reference.white_balance),
            uris[:middle] + uris[middle + 1 :],
        )
        photos = list(rest)
    return [*photos[:middle], reference, *photos[middle:]]


def _check_sizes(bracket: Bracket, photos: Sequence[Photo]) -> None:
    sizes = [(photo.pixels.shape[1], photo.pixels.shape[0]) for photo in photos]
    for frame, size in zip(bracket.frames, sizes, strict=True):
        if size != sizes[0]:
            raise PhotoError(
                "frames-differ-in-size",
                f"{frame.path} is {size[0]} x {size[1]} px, {bracket.frames[0].path} is "
                f"{sizes[0][0]} x {sizes[0][1]}; export all frames of a bracket in one size.",
            )


def _same_depth(pixels: Sequence[Pixels]) -> list[Pixels]:
    if all(p.dtype == pixels[0].dtype for p in pixels):
        return list(pixels)
    return [p if p.dtype == np.uint16 else (p.astype(np.uint16) * np.uint16(257)) for p in pixels]
