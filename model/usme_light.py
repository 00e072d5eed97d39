# SPDX-License-Identifier: Apache-2.0
"""What USME-HDR is told of the light in a frame: a map that says how to change features at each
place, and features of its own.

The paper's estimator learns both from the frame and its mean over the channels. It compares others
(its Table 5); here they are the same two maps, drawn from something else:

==========  =======================================================================================
learned     the paper's: the mean over all channels beside the channels, and a 5x5 convolution
global      mean and deviation of the whole picture's brightness, the same everywhere
gaussian    brightness without its details, a Gaussian of 8 px
hvi         intensity of the HVI colour space, the largest of the three channels
retinex     a small network that takes the picture apart into reflectance and illumination, after
            RetinexNet (BMVC 2018); ours learns along with all else, without losses of its own
==========  =======================================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from model.layers import conv3x3

__all__ = ["ESTIMATORS", "LightEstimator", "Lights", "Statistics", "statistics_of"]

ESTIMATORS = ("learned", "global", "gaussian", "hvi", "retinex")

_SIGMA_PX = 8.0
_REACH_PX = 24  # three deviations
_LOCAL_PX = 5
_RETINEX_WIDTH = 32

Statistics = torch.Tensor
"""Mean and standard deviation (B, 2) of the brightness of whole pictures."""


class Lights(NamedTuple):
    """``map`` (B, input channels, H, W), None where none is wanted, and ``feature``
    (B, width, H, W)."""

    map: torch.Tensor | None
    feature: torch.Tensor


class LightEstimator(nn.Module):
    """Light of a frame.

    Args:
        entering: Channels of the input, of which the last three are the display-referred frame.
        width: Channels of the light feature.
        kind: One of :data:`ESTIMATORS`.
        maps: Whether the map is wanted.
    """

    def __init__(self, entering: int, width: int, kind: str, *, maps: bool = True) -> None:
        super().__init__()
        self.kind = kind
        seen = {"learned": entering + 1, "global": 2, "gaussian": 1, "hvi": 1, "retinex": 4}[kind]
        self.decompose = _Decomposition() if kind == "retinex" else None
        self.gather = nn.Conv2d(seen, width, 1)
        self.local = (
            nn.Conv2d(width, width, _LOCAL_PX, padding=_LOCAL_PX // 2, groups=width)
            if kind == "learned"
            else None
        )
        self.map = nn.Conv2d(width, entering, 1) if maps else None

    @property
    def reach_px(self) -> int:
        """How far it looks."""
        return {"learned": _LOCAL_PX // 2, "gaussian": _REACH_PX, "retinex": 3}.get(self.kind, 0)

    def forward(self, x: torch.Tensor, statistics: Statistics | None = None) -> Lights:
        """The light of inputs (B, entering, H, W).

        Args:
            x: The inputs.
            statistics: Of the whole pictures that they are parts of, for ``global``.
        """
        feature = self.gather(self._seen(x, statistics))
        if self.local is not None:
            feature = self.local(feature)
        return Lights(None if self.map is None else self.map(feature), feature)

    def _seen(self, x: torch.Tensor, statistics: Statistics | None) -> torch.Tensor:
        frame = x[:, -3:]
        if self.kind == "learned":
            return torch.cat([x.mean(1, keepdim=True), x], 1)
        if self.kind == "global":
            assert statistics is not None
            return statistics[..., None, None].expand(-1, -1, *x.shape[-2:]).to(x.dtype)
        if self.kind == "gaussian":
            return _smoothed(frame.mean(1, keepdim=True))
        if self.decompose is None:
            return frame.amax(1, keepdim=True)
        decomposed: torch.Tensor = self.decompose(frame)
        return decomposed


def statistics_of(frame: torch.Tensor) -> Statistics:
    """Of frames (B, 3, H, W) that are whole."""
    brightness = frame.mean(1).flatten(1)
    spread = brightness.var(1, correction=0).clamp(min=1e-12).sqrt()
    return torch.stack([brightness.mean(1), spread], 1)


class _Decomposition(nn.Module):
    """Reflectance (3) and illumination (1) of frames (B, 3, H, W), each in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        width = _RETINEX_WIDTH
        self.layers = nn.ModuleList([conv3x3(4, width), conv3x3(width, width), conv3x3(width, 4)])

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        x = torch.cat([frame.amax(1, keepdim=True), frame], 1)
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        parts: torch.Tensor = self.layers[-1](x).sigmoid()
        return parts


def _smoothed(x: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) through the Gaussian; beyond the border the last pixel goes on."""
    places = torch.arange(-_REACH_PX, _REACH_PX + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (places / _SIGMA_PX) ** 2)
    kernel = kernel / kernel.sum()
    wide = functional.pad(x, (_REACH_PX,) * 4, "replicate")
    return functional.conv2d(
        functional.conv2d(wide, kernel[None, None, :, None]), kernel[None, None, None]
    )
