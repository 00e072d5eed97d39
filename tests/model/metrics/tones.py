# SPDX-License-Identifier: Apache-2.0
"""A picture for scores that need no reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def picture(height: int = 70, width: int = 90, seed: int = 0) -> NDArray[np.uint8]:
    """Waves with a little noise, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width] / 9
    tones = 128 + 60 * np.sin(rows) * np.cos(cols) + rng.normal(0, 4, (height, width))
    rgb = np.clip(tones[..., None] + [0, 10, -10], 0, 255)
    return np.asarray(rgb, np.uint8)
