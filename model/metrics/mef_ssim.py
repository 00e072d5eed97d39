# SPDX-License-Identifier: Apache-2.0
"""MEF-SSIM: how much of the structure of all exposures a fused photograph keeps.

K. Ma, K. Zeng and Z. Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE
TIP 2015, in the numbers of the authors' own code: ``gray_ms3`` over three scales is what is
published as "MEF-SSIM" and is the headline here; :mod:`model.metrics.mef_ssim_color` holds two
younger single-scale forms. Numbers of different variants must never be compared.

Everything runs in float64 over strips of rows, so memory depends on the photograph's width and
the number of frames, not on its height. The reference (what the exposures ask for) is worked out
once for any number of fused pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from model.metrics.mef_ssim_color import ColorVariant, color_scores
from model.moments import Window

__all__ = ["GRAY_VARIANTS", "VARIANTS", "MefSsim", "Variant", "score", "score_many", "to_8bit"]

Rgb8 = NDArray[np.uint8]
GrayVariant = Literal["gray_ms3", "gray_scale1", "gray_scale2", "gray_scale3"]
Variant = GrayVariant | ColorVariant
GRAY_VARIANTS: tuple[GrayVariant, ...] = get_args(GrayVariant)
VARIANTS: tuple[Variant, ...] = (*GRAY_VARIANTS, *get_args(ColorVariant))
