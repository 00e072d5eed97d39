# SPDX-License-Identifier: Apache-2.0
"""Luma: how bright a display-referred colour looks, as one number."""

from __future__ import annotations

import torch

__all__ = ["WEIGHTS", "luma"]

WEIGHTS = (0.299, 0.587, 0.114)
"""Of red, green and blue: ITU-R BT.601."""


def luma(rgb: torch.Tensor) -> torch.Tensor:
    """Luma (..., 1, H, W) of display-referred RGB (..., 3, H, W), in the same range.

    Raises:
        ValueError: The pictures do not have three channels.
    """
    if rgb.ndim < 3 or rgb.shape[-3] != 3:
        raise ValueError(f"luma is made of (..., 3, H, W), not {tuple(rgb.shape)}")
    red, green, blue = rgb.unbind(-3)
    total = red * WEIGHTS[0] + green * WEIGHTS[1] + blue * WEIGHTS[2]
    return total.unsqueeze(-3)
