# SPDX-License-Identifier: Apache-2.0
"""Scores of a fused photograph, as the report wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Crop", "Scores", "score_pixels"]

Crop = tuple[int, int, int, int]
"""top, left, height, width in pixels of the frames."""

_VARIANTS = (
    "gray_ms3",
    "gray_scale1",
    "gray_scale2",
    "gray_scale3",
    "color_8x8_adaptive_lum",
    "color_8x8_patch_lum",
    "mefnet_y_lum",
    "mefnet_y_nolum",
)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Report columns with the scores, and the MEF-SSIM map of the finest scale (-1..1)."""

    columns: dict[str, Any]
    quality_map: NDArray[np.float32] | None
