# SPDX-License-Identifier: Apache-2.0
"""USME-HDR: radiance out of a single frame.

After H. Wang et al., "Unsupervised single-image high dynamic range rendering via multi-exposure
priors", 2026 (doi:10.1631/ENG.ITEE.2025.0116).
Two networks make a darker and a brighter exposure of the frame, guided by the light in it and by
the ratio of the exposures; the three are blended by triangles, which nothing is to be learned for.
What a frame burnt out or lost in the dark is invented, after what real brackets have taught.

Of a stack only the reference frame is looked at, and the exposure times, which say how dark and how
bright the virtual exposures are to be: as the shortest and the longest of the stack. A frame that
comes alone gets virtual exposures ``ev`` stops away on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch

from model.fusion_model import StackPixels, Tile
from model.hdr_network import HdrContext, HdrNetwork, Reconstruction, VirtualExposures, padded
from model.option_checks import choice, flag, whole
from model.radiance import GAMMA, Response, blend_weights, encode, linearise
from model.usme_light import ESTIMATORS, LightEstimator, Statistics, statistics_of
from model.usme_parts import LEVELS, REACH_PX, ExposureNet

__all__ = ["DEFAULT_EV", "Usme", "Usme3", "blend_virtual", "curved", "gained"]

DEFAULT_EV = 2.0
"""Stops from a frame that comes alone to each of its virtual exposures, as data sets have it."""

_ROWS = 512


class Ratios(NamedTuple):
    """Light of the darker and of the brighter exposure (B,), over that of the frame."""

    darker: torch.Tensor
    brighter: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class UsmeFacts:
    """Brightness of the whole picture; None where the estimator does not ask for it."""

    statistics: Statistics | None


class Usme(HdrNetwork):
    """The network that sees the frame twice, linear and display-referred (six channels).

    Args:
        width: Channels of the finest level, an even number; 32, 64, 128 and 256 at full width.
        light_width: Channels of the light feature.
        hidden: Channels within the transforms.
        light_map: Let the light change features, place by place.
        light_feature: Show the decoder the light's features.
        ratio: Tell the networks the ratio of the exposures.
        estimator: Where the light comes from, see :mod:`model.usme_light`.
        from_gain: Let the networks correct the frame as it would be with more or less light
            (:func:`gained`), rather than make exposures by themselves as published.
        response: How frames are linearised.

    Raises:
        ValueError: An option has an impossible value.
    """

    name: ClassVar[str] = "usme"
    min_frames: ClassVar[int] = 1
    align_px: int = 1 << (LEVELS - 1)
    channels: ClassVar[int] = 6
    ev: float = DEFAULT_EV

    def __init__(
        self,
        width: int = 32,
        light_width: int = 32,
        hidden: int = 64,
        light_map: bool = True,
        light_feature: bool = True,
        ratio: bool = True,
        estimator: str = "learned",
        from_gain: bool = False,
        response: Response = "gamma",
    ) -> None:
        options = {
            "width": whole("width", width),
            "light_width": whole("light_width", light_width),
            "hidden": whole("hidden", hidden),
            "light_map": flag("light_map", light_map),
            "light_feature": flag("light_feature", light_feature),
            "ratio": flag("ratio", ratio),
            "estimator": choice("estimator", estimator, ESTIMATORS),
            "from_gain": flag("from_gain", from_gain),
        }
        super().__init__(options, response=response)
        if width % 2:
            raise ValueError(f"width must be an even number, not {width}")
        self.light = (
            LightEstimator(self.channels, light_width, estimator, maps=light_map)
            if light_map or light_feature
            else None
        )
        self.darker, self.brighter = (
            ExposureNet(
                self.channels,
                width,
                light_width if light_feature else None,
                hidden,
                light_map=light_map,
                ratio=ratio,
            )
            for _ in range(2)
        )
        self._from_gain = from_gain

    @property
    def halo_px(self) -> int:
        """The U-Net's; the light is needed no further than 16 px away."""
        return max(REACH_PX, 16 + (self.light.reach_px if self.light is not None else 0))

    def forward(
        self,
        frames: torch.Tensor,
        times_s: torch.Tensor,
        reference: int | None = None,
        aligned: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See :meth:`HdrNetwork.forward`; of a frame that comes alone the time does not matter."""
        reference = self.check_stacks(frames, times_s, reference)
        ratios = self.ratios(times_s, reference)
        made = self._made(frames[:, reference], ratios, None)
        return made.radiance / _over(ratios.darker, made.radiance)

    def reconstruct(
        self,
        frames: torch.Tensor,
        times_s: torch.Tensor,
        reference: int | None = None,
        *,
        alignment: Literal["features", "radiance"] | None = None,
        facts: Any = None,
        aligned: torch.Tensor | None = None,
    ) -> Reconstruction:
        """See :meth:`HdrNetwork.reconstruct`; it tells of the virtual exposures as well."""
        reference = self.check_stacks(frames, times_s, reference)
        return self._made(frames[:, reference], self.ratios(times_s, reference), facts)

    def ratios(self, times_s: torch.Tensor, reference: int) -> Ratios:
        """How dark and how bright virtual exposures are."""
        if times_s.shape[1] == 1:
            step = torch.full_like(times_s[:, 0], 2.0**self.ev)
            return Ratios(1 / step, step)
        own = times_s[:, reference]
        return Ratios(times_s.amin(1) / own, times_s.amax(1) / own)

    def fuse_tile(self, tile: Tile, context: HdrContext) -> torch.Tensor:
        """(3, h, w) linear radiance in the reference's scale."""
        ratios = self.ratios(context.times_s, context.reference)
        frame = tile.pixels[context.reference].unsqueeze(0)
        light = self._made(frame, ratios, context.facts).radiance
        return (light / _over(ratios.darker, light))[0]

    def _times_of(self, stack: StackPixels) -> tuple[float, ...] | None:
        """A frame that comes alone needs no time."""
        return (1.0,) if stack.count == 1 else stack.exposure_times_s

    def _facts(self, stack: StackPixels, times_s: torch.Tensor, reference: int) -> UsmeFacts:
        if self.light is None or self.light.kind != "global":
            return UsmeFacts(statistics=None)
        sums = torch.zeros(2, dtype=torch.float64)  # of brightness, and of its square
        for top in range(0, stack.height, _ROWS):
            part = stack.tile(slice(top, min(top + _ROWS, stack.height)), slice(0, stack.width))
            brightness = part[reference].mean(0).double()
            sums += torch.stack([brightness.sum(), brightness.square().sum()])
        mean, square = sums / (stack.height * stack.width)
        spread = (square - mean**2).clamp(min=1e-12).sqrt()
        return UsmeFacts(statistics=torch.stack([mean, spread])[None].to(times_s))

    def _made(self, frame: torch.Tensor, ratios: Ratios, facts: UsmeFacts | None) -> Reconstruction:
        """Radiance in the scale of the darker exposure, and the exposures, of frames
        (B, 3, H, W)."""
        height, width = frame.shape[2:]
        statistics = facts.statistics if facts is not None else self._statistics(frame)
        display = padded(frame.unsqueeze(1), self.align_px)[:, 0]
        linear = linearise(display, self.response)
        x = torch.cat([linear, display], 1) if self.channels == 6 else display
        lights = None if self.light is None else self.light(x, statistics)
        exposures = []
        for network, ratio in ((self.darker, ratios.darker), (self.brighter, ratios.brighter)):
            start = None
            if self._from_gain:
                with torch.no_grad():  # of black, its slope is endless
                    start = gained(display, ratio, self.response)
            made = network(x, lights, ratio.log2()[:, None].to(display.dtype), start)
            exposures.append(made[..., :height, :width])
        virtual = VirtualExposures(*exposures)
        light = blend_virtual(frame, virtual, ratios.darker, ratios.brighter, self.response)
        return Reconstruction(light, exposures=virtual)

    def _statistics(self, frame: torch.Tensor) -> Statistics | None:
        if self.light is None or self.light.kind != "global":
            return None
        return statistics_of(frame)


class Usme3(Usme):
    """The same for frames as they are displayed alone (three channels)."""

    name: ClassVar[str] = "usme3"
    channels: ClassVar[int] = 3


def gained(
    display: torch.Tensor, ratio: torch.Tensor, response: Response = "gamma"
) -> torch.Tensor:
    """Frames (B, 3, H, W) as they would be with ``ratio`` (B,) times their light, as far as they
    tell: what was white or black stays of one tone. In display-referred 0..1."""
    return encode(linearise(display, response) * _over(ratio, display), response)


def curved(display: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Frames (B, 3, H, W) through a power that makes middle tones as dark as ``ratio`` (B,) times
    their light, or through its inverse: virtual exposures without a network. What is white stays
    white, so that a darker one takes for brighter than the frame can show whatever was almost so.
    """
    power = 1 + ratio.log2().abs() / GAMMA
    return display ** _over(torch.where(ratio < 1, power, 1 / power), display)


def blend_virtual(
    frame: torch.Tensor,
    exposures: VirtualExposures,
    darker: torch.Tensor,
    brighter: torch.Tensor,
    response: Response = "gamma",
) -> torch.Tensor:
    """Radiance of frames (B, 3, H, W) and two more exposures of each, in 0..1, where 1 just
    saturates the darker one.

    The triangle blend of :func:`model.radiance.blend_weights`, as it is published.

    Args:
        frame: The frames, display-referred.
        exposures: What is blended with them.
        darker: (B,) light of the darker exposures over the frames'.
        brighter: The same of the brighter ones.
        response: How all of them are linearised.
    """
    low, high = exposures
    shares = blend_weights(frame)
    own, rest = _over(darker, frame), _over(darker / brighter, frame)
    return (
        shares.darker * linearise(low, response)
        + shares.middle * linearise(frame, response) * own
        + shares.brighter * linearise(high, response) * rest
    )


def _over(ratio: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B,) as (B, 1, 1, 1) of the same type."""
    return ratio.to(like.dtype)[:, None, None, None]
