# SPDX-License-Identifier: Apache-2.0
"""Linear light: how display-referred frames become radiance, and how radiance is looked at.

``Z`` is a display-referred frame in 0..1, ``t`` its exposure time in s (or any measure that is
proportional to the light taken in, such as ``t * ISO / f_number ** 2``; ratios alone matter).
Radiance stands in the scale of a reference frame: 1 is what just saturates that frame, so frame
``k`` shows ``linearise(Z_k) / (t_k / t_ref)``, and a static scene gives the same in every frame.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch

__all__ = [
    "GAMMA",
    "MU",
    "RESPONSES",
    "BlendWeights",
    "Response",
    "blend_weights",
    "encode",
    "exposure_ratios",
    "inverse_mu_law",
    "linearise",
    "middle",
    "mu_law",
    "to_radiance",
    "triangle_weights",
]

MU = 5000.0
"""Compression of the mu-law, as in N. Kalantari and R. Ramamoorthi, SIGGRAPH 2017."""

GAMMA = 2.2
"""Exponent of the ``gamma`` response, as in the same paper."""

Response = Literal["gamma", "srgb"]
"""What display-referred pixels say of light: a power of 2.2, which the HDR data sets and their
labels are made with, or the curve of IEC 61966-2-1."""
RESPONSES: tuple[Response, ...] = get_args(Response)


def mu_law(radiance: torch.Tensor) -> torch.Tensor:
    """``ln(1 + mu x) / ln(1 + mu)``: linear values 0..1 of any shape, range-compressed to 0..1.

    Values above 1 are not clipped; values must not be below ``-1 / mu``.
    """
    return torch.log1p(radiance * MU) / math.log1p(MU)


def inverse_mu_law(compressed: torch.Tensor) -> torch.Tensor:
    """The linear values that :func:`mu_law` makes this of."""
    return torch.expm1(compressed * math.log1p(MU)) / MU


def linearise(display: torch.Tensor, response: Response = "gamma") -> torch.Tensor:
    """Display-referred values 0..1 of any shape as linear ones 0..1.

    Raises:
        ValueError: There is no such response.
    """
    if _known(response) == "gamma":
        return display**GAMMA
    high = ((display + 0.055) / 1.055) ** 2.4
    return torch.where(display <= 0.04045, display / 12.92, high)


def encode(linear: torch.Tensor, response: Response = "gamma") -> torch.Tensor:
    """Linear values as display-referred ones, clipped to 0..1: the inverse of :func:`linearise`.

    Raises:
        ValueError: There is no such response.
    """
    clipped = linear.clamp(0, 1)
    if _known(response) == "gamma":
        return clipped ** (1 / GAMMA)
    high = 1.055 * clipped ** (1 / 2.4) - 0.055
    return torch.where(clipped <= 0.0031308, clipped * 12.92, high)


def middle(count: int) -> int:
    """The reference where none is asked for: the middle one, of an even number the darker of two,
    as what it cannot show is seen by a brighter one, and it clips less."""
    return (count - 1) // 2


def exposure_ratios(times_s: torch.Tensor, reference: int) -> torch.Tensor:
    """``t_k / t_ref``: exposure times (..., n) over that of one of them."""
    return times_s / times_s[..., reference, None]


def to_radiance(
    frames: torch.Tensor, times_s: torch.Tensor, reference: int, response: Response = "gamma"
) -> torch.Tensor:
    """What each frame says of the radiance, (..., n, 3, H, W), in the reference's scale.

    Args:
        frames: (..., n, 3, H, W) display-referred in 0..1.
        times_s: (..., n) exposure times.
        reference: Index of the frame whose scale it is.
        response: How the frames are linearised.
    """
    ratios = exposure_ratios(times_s, reference)[..., None, None, None]
    return linearise(frames, response) / ratios


def triangle_weights(display: torch.Tensor) -> torch.Tensor:
    """``1 - |2 Z - 1|``: how far a value 0..1 can be trusted; 0 at both ends, 1 in the middle.

    The hat of P. Debevec and J. Malik, SIGGRAPH 1997, equation 4.
    """
    return 1 - (2 * display - 1).abs()


class BlendWeights(NamedTuple):
    """Shares of the darker, the middle and the brighter frame; their sum is 1 everywhere."""

    darker: torch.Tensor
    middle: torch.Tensor
    brighter: torch.Tensor


def blend_weights(middle_display: torch.Tensor) -> BlendWeights:
    """Shares of three aligned frames, by what the middle one shows (0..1, each pixel and channel).

    Kalantari and Ramamoorthi, SIGGRAPH 2017, section 3.2: the middle frame counts by the triangle
    weight, the darker one makes up for what is bright, the brighter one for what is dark.
    """
    rest = 2 * middle_display - 1
    return BlendWeights(rest.clamp(min=0), 1 - rest.abs(), (-rest).clamp(min=0))


def _known(response: str) -> str:
    if response not in RESPONSES:
        raise ValueError(f"response is one of {', '.join(RESPONSES)}, not {response!r}")
    return response
