# SPDX-License-Identifier: Apache-2.0
"""What a single picture shows, without a reference: clipping and entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.metrics.strips import Rgb8, check_same_size, gray, strips

__all__ = ["PictureFacts", "picture_facts"]


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """Figures of one 8-bit picture.

    ``clipped_low`` is the share (0..1) of pixels that are black, all channels 0; one channel at 0
    is no loss, saturated colours have it. ``clipped_high`` is the share of pixels with any channel
    at 255: it ran into the ceiling, and the colour is off at least. ``entropy_bits`` is the
    Shannon entropy of the grey picture's histogram, 0 (flat) to 8.
    """

    clipped_low: float
    clipped_high: float
    entropy_bits: float


def picture_facts(picture: Rgb8) -> PictureFacts:
    """Look at one picture, (H, W, 3) uint8.

    Raises:
        ValueError: The picture is of another shape or type.
    """
    height, width = check_same_size([picture])
    low = high = 0
    histogram = np.zeros(256, np.int64)
    for start, stop in strips(height, width):
        rows = picture[start:stop]
        low += int((rows.max(2) == 0).sum())
        high += int((rows.max(2) == 255).sum())
        histogram += np.bincount(gray(rows).ravel(), minlength=256)
    shares = histogram[histogram > 0] / (height * width)
    return PictureFacts(
        clipped_low=low / (height * width),
        clipped_high=high / (height * width),
        entropy_bits=max(0.0, float(-(shares * np.log2(shares)).sum())),
    )
