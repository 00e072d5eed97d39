# SPDX-License-Identifier: Apache-2.0
"""A DNG that is made here: a Bayer mosaic of a grey ramp."""

from __future__ import annotations

import io

import numpy as np
import tifffile

__all__ = ["HEIGHT", "WHITE", "WIDTH", "dng"]

HEIGHT, WIDTH = 64, 96
WHITE = 16383


def dng(gain: float, white_balance: tuple[float, float, float] = (0.5, 1.0, 0.6)) -> bytes:
    """A Bayer mosaic (RGGB, 14 bits) of a grey ramp under a cast that the balance takes out."""
    ramp = np.linspace(0.05, 0.8, WIDTH)[None, :] * np.ones((HEIGHT, 1)) * gain
    mosaic = ramp.copy()
    mosaic[0::2, 0::2] *= white_balance[0]
    mosaic[1::2, 1::2] *= white_balance[2]
    stored = np.clip(mosaic * WHITE, 0, WHITE).astype(np.uint16)
    # XYZ to camera: the matrix of sRGB, so that the camera's colours are sRGB's.
    matrix = (3.2404542, -1.5371385, -0.4985314, -0.9692660, 1.8760108, 0.0415560)
    matrix += (0.0556434, -0.2040259, 1.0572252)
    rationals = [part for value in matrix for part in (round(value * 10_000), 10_000)]
    neutral = [part for value in white_balance for part in (round(value * 10_000), 10_000)]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        stored,
        photometric=32803,
        metadata=None,
        software=None,
        extratags=[
            (271, "s", 0, "Maker", True),
            (272, "s", 0, "Model", True),
            (274, "H", 1, 1, True),
            (33421, "H", 2, (2, 2), True),
            (33422, "B", 4, bytes((0, 1, 1, 2)), True),
            (33434, "2I", 1, (1, 125), True),
            (50706, "B", 4, bytes((1, 4, 0, 0)), True),
            (50708, "s", 0, "Maker Model", True),
            (50714, "H", 1, 0, True),
            (50717, "H", 1, WHITE, True),
            (50721, "2i", 9, rationals, True),
            (50728, "2I", 3, neutral, True),
            (50778, "H", 1, 21, True),
        ],
    )
    return buffer.getvalue()
