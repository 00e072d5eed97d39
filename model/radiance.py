# SPDX-License-Identifier: Apache-2.0
"""Linear light: how scene-referred values are looked at."""

from __future__ import annotations

import math

import torch

__all__ = ["MU", "mu_law"]

MU = 5000.0
"""Compression of the mu-law, as in N. Kalantari and R. Ramamoorthi, SIGGRAPH 2017."""


def mu_law(radiance: torch.Tensor) -> torch.Tensor:
    """``ln(1 + mu x) / ln(1 + mu)``: linear values 0..1 of any shape, range-compressed to 0..1.

    Values above 1 are not clipped; values must not be below ``-1 / mu``.
    """
    return torch.log1p(radiance * MU) / math.log1p(MU)
