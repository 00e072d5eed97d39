# SPDX-License-Identifier: Apache-2.0
"""The network inside USME-HDR that turns one exposure into another: a U-Net whose decoder knows the
light in the frame and the ratio of the exposures.

The paper draws it and gives the number of parameters; widths and the wiring of the transform are
ours, found by counting (32, 64, 128 and 256 channels, 3,928,009 parameters of two networks).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from model.layers import conv3x3
from model.usme_light import Lights

__all__ = ["LEVELS", "REACH_PX", "ExposureNet", "SpatialTransform"]

LEVELS = 4
REACH_PX = 46
"""How far a pixel of the result looks: three convolutions of full size, then on either side of the
middle two each at a half and a quarter, two at an eighth, and two of full size again."""
# Logits of pure black and white are endless. Black hides something, so it must be easy to leave;
# what is white with more light is so for good.
_BLACK, _WHITE = 1 / 510, 1 - 1e-4


class SpatialTransform(nn.Module):
    """Composite spatial feature transform: ``(1 + alpha) x + beta``, with ``alpha`` and ``beta``
    told by the ratio of the exposures, everywhere alike, and by the light map, place by place.

    It begins close to the identity.

    Args:
        channels: Of what is transformed.
        width: Channels of what ratio and map are made into.
        hidden: Channels in between.
        light: Channels of the light map; None: the ratio alone.
        ratio: Whether the ratio is known.
    """

    def __init__(
        self, channels: int, width: int, hidden: int, *, light: int | None, ratio: bool
    ) -> None:
        super().__init__()
        self.ratio = (
            nn.Sequential(nn.Linear(1, width), nn.Mish(), nn.Linear(width, width))
            if ratio
            else None
        )
        self.light = None if light is None else nn.Conv2d(light, width, 1)
        parts = (self.ratio is not None) + (self.light is not None)
        self.mix = nn.Conv2d(parts * width, hidden, 1)
        self.last = nn.Conv2d(hidden, 2 * channels, 1)
        for parameter in self.last.parameters():
            nn.init.normal_(parameter, std=1e-3)

    def forward(
        self, x: torch.Tensor, light: torch.Tensor | None, stops: torch.Tensor
    ) -> torch.Tensor:
        """Transform (B, channels, h, w).

        Args:
            x: Features.
            light: (B, light, h, w), the light map of that size.
            stops: (B, 1), the ratio of the exposures in stops.
        """
        known = []
        if self.ratio is not None:
            known.append(self.ratio(stops)[..., None, None])
        if self.light is not None:
            known.append(self.light(light))
            if len(known) == 2:
                known[0] = known[0].expand_as(known[1])
        alpha, beta = self.last(functional.mish(self.mix(torch.cat(known, 1)))).chunk(2, 1)
        changed: torch.Tensor = x + x * alpha + beta
        return changed


class ExposureNet(nn.Module):
    """One exposure out of another.

    Args:
        entering: Channels of the input.
        width: Channels of the first level; each further one has twice as many.
        feature: Channels of the light feature; None: there is none.
        hidden: Channels within the transforms.
        light_map: Whether there is a light map, of as many channels as the input.
        ratio: Whether the ratio of the exposures is known.
    """

    def __init__(
        self,
        entering: int,
        width: int,
        feature: int | None,
        hidden: int,
        *,
        light_map: bool,
        ratio: bool,
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(LEVELS)]
        self.encoders = nn.ModuleList(
            _Block(before, after)
            for before, after in zip([entering, *widths[:-1]], widths, strict=True)
        )
        # From the coarsest up: a quarter of the channels is left when they become 2x2 pixels.
        more = feature or 0
        joined = [widths[level + 1] // 4 + widths[level] + more for level in range(LEVELS - 1)]
        self.decoders = nn.ModuleList(
            _Block(joined[level], widths[level]) for level in range(LEVELS - 1)
        )
        modulated = light_map or ratio
        self.transforms = nn.ModuleList(
            SpatialTransform(
                channels, own, hidden, light=entering if light_map else None, ratio=ratio
            )
            for channels, own in zip([*joined, widths[-1]], widths, strict=True)
            if modulated
        )
        self.head = conv3x3(width, 3)
        self._feature = feature is not None

    def forward(
        self,
        x: torch.Tensor,
        lights: Lights | None,
        stops: torch.Tensor,
        start: torch.Tensor | None,
    ) -> torch.Tensor:
        """The other exposure (B, 3, H, W), display-referred in 0..1.

        Args:
            x: (B, entering, H, W), sides multiples of 8.
            lights: Of the same frames, where they are wanted.
            stops: (B, 1), the ratio of the exposures in stops.
            start: A first guess (B, 3, H, W) in 0..1 that the network corrects; None: it makes the
                exposure by itself.
        """
        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = self._transformed(LEVELS - 1, skips.pop(), lights, stops)
        for level in reversed(range(LEVELS - 1)):
            parts = [functional.pixel_shuffle(x, 2), skips.pop()]
            if self._feature and lights is not None:
                parts.append(_reduced(lights.feature, level))
            x = self.decoders[level](self._transformed(level, torch.cat(parts, 1), lights, stops))
        # The exposure itself never in reduced precision, see model.layers.Tail.
        with torch.autocast(x.device.type, enabled=False):
            logits: torch.Tensor = self.head(x.to(self.head.weight.dtype))
            if start is not None:
                logits = logits + start.clamp(_BLACK, _WHITE).logit()
            return logits.sigmoid()

    def _transformed(
        self, level: int, x: torch.Tensor, lights: Lights | None, stops: torch.Tensor
    ) -> torch.Tensor:
        if not len(self.transforms):
            return x
        light = None if lights is None or lights.map is None else _reduced(lights.map, level)
        changed: torch.Tensor = self.transforms[level](x, light, stops)
        return changed


class _Block(nn.Module):
    """Two 3x3 convolutions, each followed by Mish."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.first, self.second = conv3x3(entering, leaving), conv3x3(leaving, leaving)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.mish(self.second(functional.mish(self.first(x))))


def _reduced(x: torch.Tensor, level: int) -> torch.Tensor:
    """A map at the size of a level: means of squares, which tiles have in common."""
    return functional.avg_pool2d(x, 1 << level) if level else x
