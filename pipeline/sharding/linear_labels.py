# SPDX-License-Identifier: Apache-2.0
"""Ground truth of HDR data sets, brought to the scale that training wants.

Files differ in what 1 stands for: Kalantari's and its relatives have ``Z^2.2 / t`` with the times
of ``exposure.txt``, NTIRE 2021 a 16-bit picture to be divided by ``alignratio.npy`` and raised to
2.24, rendered pictures a unit of their own. Here 1 is always the light that makes the middle frame
just white (``model.radiance``).
"""

from __future__ import annotations

import posixpath

import numpy as np
import torch
from numpy.typing import NDArray

from model.hdr_network import middle
from model.radiance import linearise
from pipeline import storage
from pipeline.archive.shot import RADIANCE_EXTENSIONS, extension
from pipeline.bracket import Bracket, Stack
from pipeline.errors import PhotoError
from pipeline.images.reading import Limits, read_photo, read_radiance
from pipeline.small_arrays import numbers_in

__all__ = ["read_label", "read_linear"]

Array = NDArray[np.float32]

_NTIRE_GAMMA = 2.24  # of the challenge's scripts
_RATIO = "alignratio.npy"
_RATIO_BYTES = 4096
_RESOLVED = (0.15, 0.9)  # display values that tell how bright the label should be
_LEAST_SAMPLES = 100
_ALIKE = 1.3  # a scale that data sets document holds unless the pixels differ by more


def read_label(bracket: Bracket, stack: Stack, limits: Limits) -> tuple[Array, list[str]]:
    """The linear label of a bracket in the scale of its middle frame.

    Args:
        bracket: its ``label_kind`` is ``radiance``.
        stack: its frames, dark to bright.
        limits: caps for reading.

    Returns:
        (H, W, 3) float32 >= 0, and notes where the scale had to be told from the pixels. What is
        no number counts as black.

    Raises:
        PhotoError: the label cannot be read, or is all black.
    """
    assert bracket.label_uri is not None, "the caller has asked"
    label, own_scale = read_linear(bracket.label_uri, limits)
    reference = middle(stack.count)
    times = stack.exposure_times_s
    documented = 1.0 if own_scale else None
    if documented is None and times is not None and bracket.layout == "kalantari":
        documented = times[reference]
    measured = _measured(label, stack, reference)
    if measured is None or (
        documented is not None and 1 / _ALIKE <= measured / documented <= _ALIKE
    ):
        return label * np.float32(documented or 1.0), []
    return label * np.float32(measured), [
        "the label's scale was told from the pixels of the middle frame"
    ]


def read_linear(uri: str, limits: Limits) -> tuple[Array, bool]:
    """A label in the scale of its file, (H, W, 3) float32 >= 0, and whether 1 is the middle frame's
    white already. What is no number counts as black.

    Raises:
        PhotoError: it cannot be read, or is all black.
    """
    light, own_scale = _as_it_stands(uri, limits)
    light = np.nan_to_num(np.maximum(light, 0), nan=0.0, posinf=float(np.finfo(np.float32).max))
    if not light.any():
        raise PhotoError("radiance-unusable", f"{uri} holds no light at all; replace it.")
    return light, own_scale


def _as_it_stands(uri: str, limits: Limits) -> tuple[Array, bool]:
    if extension(uri) in RADIANCE_EXTENSIONS:
        return read_radiance(uri, limits), False
    pixels = read_photo(uri, limits).pixels
    ratio_uri = storage.join(posixpath.dirname(uri), _RATIO)
    try:
        with storage.open_read(ratio_uri) as handle:
            data = handle.read(_RATIO_BYTES)
        ratio = numbers_in(data)[0]
    except (PhotoError, ValueError, IndexError):
        ratio = 0.0
    if not (np.isfinite(ratio) and ratio > 0):
        raise PhotoError(
            "decode-failed",
            f"{ratio_uri} does not hold the number that {posixpath.basename(uri)} must be divided "
            "by; restore it.",
        )
    return (pixels.astype(np.float32) / np.float32(ratio)) ** np.float32(_NTIRE_GAMMA), True


def _measured(label: Array, stack: Stack, reference: int) -> float | None:
    """What the label must be multiplied by to look like the middle frame; None if nothing tells."""
    frame = stack.frames[reference]
    if frame.shape != label.shape:
        return None  # the caller says so
    display = frame.astype(np.float32) / np.float32(np.iinfo(frame.dtype).max)
    low, high = _RESOLVED
    both = (display > low) & (display < high) & (label > 0)
    if int(both.sum()) < _LEAST_SAMPLES:
        return None
    light = linearise(torch.from_numpy(display[both])).numpy()
    return float(np.median(light / label[both]))
