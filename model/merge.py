# SPDX-License-Identifier: Apache-2.0
"""The classical merge: exposures weighed by triangles into one linear radiance.

A pixel's weights follow from the reference alone, as N. Kalantari and R. Ramamoorthi have it
(SIGGRAPH 2017): where it is well exposed it counts most, where it is bright darker frames take
over, where it is dark brighter ones do. With three frames these are their weights A1, A2 and A3;
with more, what goes to the darker (brighter) frames is shared out by P. Debevec's and J. Malik's
hat of each frame's own value (SIGGRAPH 1997). A brighter frame that is white itself gives its share
back to the reference.

The result is in the reference's scale: 1 is the light that makes the reference just white. Frames
are taken as they lie; ``pipeline.align`` lays them on the reference beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from model.fusion_model import StackPixels, Tile
from model.radiance import GAMMA, Response, blend_weights, linearise, middle, triangle_weights

__all__ = ["Merge", "MergeContext", "Ratios", "estimate_ratios", "merge", "merge_weights"]

_WHITE = 0.05  # a display value this near to 1 begins to lose its trust
_LEAST_HAT = 1e-3  # of the outermost frames, which nothing lies beyond
# Display values that tell an exposure ratio, best first: cameras' curves are steeper than the
# assumed one below and flatter above, which cancels out where the brighter frame is fairly bright.
_BRIGHT, _MOST_BRIGHT, _LEAST_DARK = (0.7, 0.45, 0.25), 0.92, 0.03
_LEAST_SAMPLES = 400
_LONG_SIDE_PX = 512  # exposures are told from pictures of this size
_ASSUMED_EV = 2.0  # between frames that have no tone in common


def merge_weights(
    display: torch.Tensor, exposures: Sequence[float], reference: int
) -> torch.Tensor:
    """How much each frame counts in each pixel and channel.

    Args:
        display: (K, 3, H, W) in 0..1, in any order.
        exposures: K positive numbers in proportion to the light that the frames took in.
        reference: index of the frame that decides.

    Returns:
        (K, 3, H, W) in 0..1, with the sum 1 over K.
    """
    shares = blend_weights(display[reference])
    weights = torch.zeros_like(display)
    stops = [math.log2(exposure / exposures[reference]) for exposure in exposures]
    for share, sign in ((shares.darker, -1), (shares.brighter, 1)):
        frames = [k for k, stop in enumerate(stops) if stop * sign > 0]
        if not frames:
            continue
        hats = [triangle_weights(display[k]) for k in frames]
        outermost = max(range(len(frames)), key=lambda n: abs(stops[frames[n]]))
        hats[outermost] = hats[outermost].clamp(min=_LEAST_HAT)
        total = torch.stack(hats).sum(0)
        for k, hat in zip(frames, hats, strict=True):
            weights[k] = share * hat / total
            if sign > 0:
                weights[k] *= ((1 - display[k]) / _WHITE).clamp(0, 1)
    weights[reference] = 1 - weights.sum(0)
    return weights


def merge(
    display: torch.Tensor,
    exposures: Sequence[float],
    reference: int,
    response: Response = "gamma",
) -> torch.Tensor:
    """Merge aligned frames.

    Args:
        display: (K, 3, H, W) in 0..1, display-referred.
        exposures: K positive numbers in proportion to the light that the frames took in.
        reference: index of the frame whose scale the result has.
        response: how the frames are linearised.

    Returns:
        (3, H, W) linear, >= 0. Divided by the reference's exposure time it is in the scale of
        ``Z^2.2 / t``, which the data sets' labels have.
    """
    weights = merge_weights(display, exposures, reference)
    gains = [exposures[reference] / exposure for exposure in exposures]
    total = torch.zeros_like(display[0])
    for frame, weight, gain in zip(display, weights, gains, strict=True):
        total += weight * linearise(frame, response) * gain
    return total


@dataclass(frozen=True)
class Ratios:
    """Exposures told from pixels: ``exposures`` in proportion, the darkest frame's is 1.

    ``assumed`` counts neighbouring frames that have no tone in common; between them
    two stops were assumed, as the data sets mostly have.
    """

    exposures: tuple[float, ...]
    assumed: int


def estimate_ratios(display: torch.Tensor) -> Ratios:
    """Tell the exposures of a bracket from its pixels.

    Frames are compared with their neighbours in brightness: the median, over all pixels that both
    resolve, of the quotient of their linear values. What moves does not bend a median, as long as
    it fills less than half of the picture. Right to a tenth of a stop where the response is
    a power of 2.2; with cameras' own curves it may be a quarter more or less, and worse in frames
    that are almost black.

    Args:
        display: (K, 3, h, w) in 0..1; a reduced picture will do.
    """
    means = display.mean(dim=(1, 2, 3)).tolist()
    order = sorted(range(len(means)), key=lambda k: (means[k], k))
    stops = [0.0] * len(order)
    assumed = 0
    for dark, bright in pairwise(order):
        step = _step_ev(display[dark], display[bright])
        assumed += step is None
        # Brighter by the mean, so a negative step is noise.
        stops[bright] = stops[dark] + (_ASSUMED_EV if step is None else max(step, 0.0))
    return Ratios(exposures=tuple(2.0**stop for stop in stops), assumed=assumed)


def _step_ev(dark: torch.Tensor, bright: torch.Tensor) -> float | None:
    """Stops between two frames (3, h, w); None where nothing tells."""
    for low in _BRIGHT:
        both = (dark > _LEAST_DARK) & (bright > low) & (bright < _MOST_BRIGHT)
        if int(both.sum()) >= _LEAST_SAMPLES:
            return float((bright[both] / dark[both]).double().log2().median()) * GAMMA
    return None


@dataclass(frozen=True, kw_only=True)
class MergeContext:
    """What a tile must know: the exposures, whether they are estimates, and the reference."""

    exposures: tuple[float, ...]
    estimated: bool
    reference: int


class Merge:
    """The triangle merge of K >= 2 frames as a model of the zoo; a formula, nothing to train.

    Exposure times come with the stack; where they do not, they are told from the pixels
    (:func:`estimate_ratios`), and the context says so.

    Args:
        device: where to compute.
        reference: index of the frame whose moment and scale the result has; by default the
            middle one, of an even number the darker of two.
        response: how frames are linearised.
    """

    name: str = "merge"
    output: Literal["fusion", "radiance"] = "radiance"
    align_px: int = 1
    halo_px: int = 0

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        reference: int | None = None,
        response: Response = "gamma",
    ) -> None:
        self.device = torch.device(device)
        self._reference = reference
        self._response: Response = response

    def prepare(self, stack: StackPixels) -> MergeContext:
        """Exposures and reference.

        Raises:
            ValueError: there is no frame of that number, or a time is not positive.
        """
        reference = middle(stack.count) if self._reference is None else self._reference
        if not 0 <= reference < stack.count:
            raise ValueError(f"reference {reference} is not one of {stack.count} frames")
        times = stack.exposure_times_s
        if times is not None:
            if not all(time > 0 and math.isfinite(time) for time in times):
                raise ValueError(f"exposure times {times} are not all positive")
            return MergeContext(exposures=times, estimated=False, reference=reference)
        scale = min(1.0, _LONG_SIDE_PX / max(stack.height, stack.width))
        size = (max(1, round(stack.height * scale)), max(1, round(stack.width * scale)))
        ratios = estimate_ratios(stack.reduced(*size))
        return MergeContext(exposures=ratios.exposures, estimated=True, reference=reference)

    def fuse_tile(self, tile: Tile, context: MergeContext) -> torch.Tensor:
        """(3, h, w) linear, >= 0, in the reference's scale."""
        return merge(tile.pixels, context.exposures, context.reference, self._response)
