# SPDX-License-Identifier: Apache-2.0
"""How far two pictures of one view show different things: ghosts, and motion.

Like is compared with like, as objective measures of deghosting do (O. Tursun et al., An objective
deghosting quality metric for HDR images, Eurographics 2016): a radiance, exposed again as a frame
was, must show what that frame shows wherever the frame is well exposed. Cameras' curves are not
those that were assumed, so what differs in the same way at all pixels of one tone does not count;
nor does noise, which the mean over a small window takes away. Where the frame is too dark or white
nothing is known, so a ghost there goes unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.radiance import encode
from pipeline.align.flow import match_exposure
from pipeline.bracket import Pixels

__all__ = ["ghost_share", "moved_share"]

_WELL = (0.08, 0.92)  # display values of a well exposed pixel
_APART = 0.04  # of 0..1: ten 8-bit levels
_MOVED_APART = 0.08  # frames of other exposures have more noise and banding, once raised
_LEAST_SHARE = 0.01  # of the pixels; fewer tell nothing of a picture
_WINDOW = 5
_BINS, _LEAST_IN_BIN = 16, 50
_KNOTS = (np.arange(_BINS) + 0.5) / _BINS
_SAMPLES = 1 << 18
_ROWS = 512  # of a strip
_LONG_SIDE_PX = 512  # of frames that are looked at for motion

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Strip = Callable[[slice], tuple[Array, Array]]
"""Rows of two pictures (H, W, 3) in 0..1."""


def ghost_share(radiance: Array, frame: Pixels) -> float | None:
    """Share (0..1) of the well exposed pixels of the reference frame in which a radiance shows
    something else; None where hardly a pixel is well exposed.

    Args:
        radiance: (3, H, W) linear; 1 is what just saturates the frame.
        frame: (H, W, 3) the reference frame.
    """

    def strip(rows: slice) -> tuple[Array, Array]:
        shown = encode(torch.from_numpy(radiance[:, rows])).numpy().transpose(1, 2, 0)
        return _unit(frame[rows]), shown

    return _differing_share(strip, frame.shape[0], frame.shape[1], _APART)


def moved_share(frame: Pixels, reference: Pixels, gain: float) -> float | None:
    """Share (0..1) of pixels in which a frame shows something else than the reference, of those
    that both expose well; None where there are hardly any.

    Args:
        frame: (H, W, 3), laid on the reference as a whole.
        reference: the same, at another exposure.
        gain: the frame's light over the reference's.
    """
    scale = min(1.0, _LONG_SIDE_PX / max(frame.shape[:2]))
    small: list[Any] = [
        cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for one in (frame, reference)
    ]
    # Only ever raised, as flow does: noise of dark frames is not made into tones.
    one, other = match_exposure(small[0], max(1 / gain, 1)), match_exposure(small[1], max(gain, 1))
    height, width = one.shape[:2]
    return _differing_share(
        lambda rows: (_unit(one[rows]), _unit(other[rows])), height, width, _MOVED_APART
    )


def _differing_share(strip: Strip, height: int, width: int, apart: float) -> float | None:
    """Share of pixels, of those that the first of two pictures exposes well and the second does not
    show as white, that differ by more than ``apart`` in any channel; in strips of rows, so that
    photographs of any size take little memory."""
    step = max(1, math.isqrt(height * width // _SAMPLES))
    samples = [
        _samples(*strip(slice(top, top + _ROWS)), step=step) for top in range(0, height, _ROWS)
    ]
    curves = _curves(
        np.concatenate([tones for tones, _ in samples]), np.concatenate([off for _, off in samples])
    )
    count = differing = 0
    for top in range(0, height, _ROWS):
        first, last = max(top - _WINDOW, 0), min(top + _ROWS + _WINDOW, height)
        one, other = strip(slice(first, last))
        well = _well(one, other)
        differs = _differing(one, other, well, curves, apart)
        core = slice(top - first, top - first + _ROWS)
        count += int(np.count_nonzero(well[core]))
        differing += int(np.count_nonzero(differs[core]))
    return differing / count if count >= _LEAST_SHARE * height * width else None


def _well(one: Array, other: Array) -> Mask:
    low, high = _WELL
    return np.asarray(((one > low) & (one < high) & (other < 1)).all(-1), np.bool_)


def _differing(one: Array, other: Array, well: Mask, curves: Array, apart: float) -> Mask:
    # A mean over well exposed pixels alone: what borders on white says nothing.
    weight = well.astype(np.float32)
    total = np.maximum(_blurred(weight), 1e-6)
    differs = np.zeros_like(well)
    for channel, curve in enumerate(curves):
        off = other[..., channel] - one[..., channel]
        usual = np.interp(one[..., channel], _KNOTS, curve)
        # As the curves have it, not at all, or in between: none of these is another thing.
        beyond = off - np.clip(off, np.minimum(usual, 0), np.maximum(usual, 0))
        differs |= np.abs(_blurred(beyond.astype(np.float32) * weight) / total) > apart
    return differs & well


def _samples(one: Array, other: Array, *, step: int) -> tuple[Array, Array]:
    """Some well exposed pixels (N, 3), and how far they are apart."""
    few, others = one[::step, ::step], other[::step, ::step]
    well = _well(few, others)
    return few[well], others[well] - few[well]


def _curves(tones: Array, off: Array) -> Array:
    """What the median pixel of each tone differs by, (3, bins): the curves' doing, no ghost's."""
    curves = np.zeros((3, _BINS), np.float32)
    for channel, curve in enumerate(curves):
        index = np.minimum((tones[:, channel] * _BINS).astype(np.intp), _BINS - 1)
        known = [k for k in range(_BINS) if np.count_nonzero(index == k) >= _LEAST_IN_BIN]
        if known:
            medians = [float(np.median(off[index == k, channel])) for k in known]
            curve[:] = np.interp(_KNOTS, _KNOTS[known], medians)
    return curves


def _blurred(plane: Array) -> Array:
    blurred: Any = cv2.blur(plane, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _unit(pixels: Pixels) -> Array:
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
