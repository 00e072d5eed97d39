# SPDX-License-Identifier: Apache-2.0
"""How bright a picture is, and whether pictures show one view: cheap, from a small decode.

Used where there are no exposure data: frames are put in order by their brightness, and a folder
is one bracket only if its pictures look like one view under different exposures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.jpeg import check_scans
from pipeline.images.reading import Limits, read_header, read_photo
from pipeline.storage import open_read

__all__ = ["Thumbnail", "exposures_of_one_view", "mean_luminance", "thumbnail"]

Thumbnail = NDArray[np.float32]
"""(48, 48) luma of the display-referred pixels, 0..1, whatever the aspect of the picture."""

_SIZE = 48
_MIN_SPREAD = 1.25  # brightest mean over darkest: less is no bracketing
_MIN_AGREEMENT = 0.8  # share of places that grow brighter together with the mean
_MIN_LIKENESS = 0.3  # rank correlation of neighbouring exposures


def mean_luminance(uri: str, limits: Limits | None = None) -> float:
    """Mean luma of a picture, 0..1, from a reduced decode.

    Raises:
        PhotoError: the file cannot be read.
    """
    return float(thumbnail(uri, limits).mean())


def thumbnail(uri: str, limits: Limits | None = None) -> Thumbnail:
    """The luma of a picture in 48 x 48 places.

    JPEG is decoded at an eighth of its size, which costs a small part of a full decode; other
    formats have no such short cut.

    Raises:
        PhotoError: the file cannot be read.
    """
    caps = limits or Limits()
    header = read_header(uri, limits=caps)
    luma = None
    if header.format == "jpeg":
        luma = _reduced_jpeg(uri, min(header.width, header.height) // _SIZE)
    if luma is None:
        pixels = read_photo(uri, limits=caps).pixels
        peak = 65535.0 if pixels.dtype == np.uint16 else 255.0
        small = cv2.resize(pixels, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        weights = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(peak)
        luma = small.astype(np.float32) @ weights
    if luma.shape != (_SIZE, _SIZE):
        luma = np.asarray(
            cv2.resize(luma, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA), np.float32
        )
    return luma


def exposures_of_one_view(thumbnails: Sequence[Thumbnail]) -> bool:
    """Whether the pictures can be one view under different exposures.

    More light makes no place darker. So the means must differ, what is brighter on the whole must
    be brighter nearly everywhere (clipped places aside), and neighbouring exposures must rank the
    places of the view alike. Results of several fusion methods fail this, unrelated pictures too.
    """
    ladder = sorted(thumbnails, key=lambda picture: float(picture.mean()))
    if len(ladder) < 2:
        return False
    if float(ladder[-1].mean()) < _MIN_SPREAD * max(float(ladder[0].mean()), 1e-3):
        return False
    return all(_one_view(dark, bright) for dark, bright in pairwise(ladder))


def _one_view(dark: Thumbnail, bright: Thumbnail) -> bool:
    clipped = ((dark > 0.96) & (bright > 0.96)) | ((dark < 0.02) & (bright < 0.02))
    judged = ~clipped
    if int(judged.sum()) < 16:
        return True  # nearly all of it black or white: nothing speaks against it
    brighter = bright[judged] >= dark[judged] - 0.01
    if float(brighter.mean()) < _MIN_AGREEMENT:
        return False
    ranks_dark, ranks_bright = _ranks(dark[judged]), _ranks(bright[judged])
    if ranks_dark.std() == 0 or ranks_bright.std() == 0:
        return True
    return float(np.corrcoef(ranks_dark, ranks_bright)[0, 1]) >= _MIN_LIKENESS


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    # Equal values share a rank, or the order of the places would pass for likeness.
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2.0)[inverse]


def _reduced_jpeg(uri: str, reduction: int) -> Thumbnail | None:
    """Luma of a JPEG whose header has been checked, None where only the full decoder copes."""
    modes = {
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        1: cv2.IMREAD_GRAYSCALE,
    }
    mode = next(modes[scale] for scale in modes if scale <= max(1, reduction))
    with open_read(uri) as handle:
        data = handle.read()
    if not check_scans(data, uri):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:
        return None
    if pixels is None:
        return None
    return np.asarray(pixels, np.float32) / np.float32(255.0)
