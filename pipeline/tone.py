# SPDX-License-Identifier: Apache-2.0
"""A radiance as a photograph to look at: the display-referred picture beside an OpenEXR.

The photographic operator of E. Reinhard et al. (SIGGRAPH 2002) in its global form, with the key
that he estimates from the picture (Journal of Graphics Tools 2003): the log-average goes to
a middle grey, and a curve that is straight in the shadows bends ever more towards the
white. A pixel's tone depends on its own light alone and rises with it, so edges get no halos, and
tiles of a picture under one curve fit together. Colours keep their hue; those too bright to be
shown fade towards white instead of being cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.images.color import linear_to_srgb

__all__ = ["ToneCurve", "fit_tone", "tone_map"]

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float64)  # of linear sRGB, IEC 61966-2-1
_KEY, _KEYS = 0.18, (0.09, 0.36)
_ENDS = (0.01, 0.99)  # shares of the pixels between which the range lies
_WHITE = 0.999  # brighter ones may be white
_SATURATION = 0.9  # compressed tones look more colourful than they were
_DARKEST = 2.0**-24  # of the brightest; what is darker is black
_LARGEST = 2.0**100  # so that sums stay finite
_SAMPLES = 1 << 18

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ToneCurve:
    """How light becomes tone: ``scale`` puts it where middle grey is, ``white`` (in scaled light)
    becomes white. A ``brightest`` of 0 stands for a picture without any light."""

    scale: float
    white: float
    brightest: float

    def __call__(self, light: Array) -> Array:
        """Linear tones in 0..1 of light >= 0, of any shape; rises with it."""
        scaled = light.astype(np.float64) * self.scale
        tone = scaled * (1 + scaled / self.white**2) / (1 + scaled)
        return np.asarray(np.minimum(tone, 1), np.float32)


def fit_tone(radiance: torch.Tensor | Array) -> ToneCurve:
    """The curve for a picture; a reduced one will do.

    Args:
        radiance: (3, H, W) linear, of any unit. Values that are no light (negative, not numbers)
            count as black, infinite ones as the brightest that is finite.
    """
    pixels = _light_only(radiance)
    luma = np.einsum("chw,c->hw", pixels, _LUMA).ravel()
    luma = luma[:: max(1, luma.size // _SAMPLES)]
    brightest = float(luma.max(initial=0.0))
    if brightest <= 0:
        return ToneCurve(scale=1.0, white=1.0, brightest=0.0)
    stops = np.log2(np.maximum(luma[luma > 0] / brightest, _DARKEST))
    low, high = (float(end) for end in np.quantile(stops, _ENDS))
    middle = float(stops.mean())
    lean = 0.0 if high - low < 1e-6 else (2 * middle - low - high) / (high - low)
    key = min(max(_KEY * 4.0**lean, _KEYS[0]), _KEYS[1])
    scale = key / (2.0**middle * brightest)
    white = max(float(np.quantile(luma, _WHITE)) * scale, 1.0)
    return ToneCurve(scale=scale, white=white, brightest=brightest)


def tone_map(radiance: torch.Tensor | Array, curve: ToneCurve | None = None) -> Array:
    """A picture of a radiance; the same light gives the same picture, whatever its unit.

    Args:
        radiance: (3, H, W) linear, RGB in the primaries of sRGB.
        curve: how; by default the one fitted to it. A tile needs that of its picture.

    Returns:
        (3, H, W) float32 in 0..1, display-referred sRGB.
    """
    pixels = _light_only(radiance)
    curve = fit_tone(pixels) if curve is None else curve
    luma = np.einsum("chw,c->hw", pixels, _LUMA).astype(np.float32)
    tone = curve(luma)
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.where(luma > 0, pixels / luma, 1).astype(np.float32)
    shown = np.minimum(colour, 1 / float(_LUMA.min())) ** np.float32(_SATURATION) * tone
    peak = shown.max(0)
    # Towards grey of the same tone, just as far as the brightest channel needs.
    room = np.where(peak > 1, (1 - tone) / np.maximum(peak - tone, 1e-6), 1).astype(np.float32)
    shown = tone + (shown - tone) * np.clip(room, 0, 1)
    return np.clip(linear_to_srgb(np.clip(shown, 0, 1).astype(np.float32)), 0, 1)


def _light_only(radiance: torch.Tensor | Array) -> Array:
    """(3, H, W) float32 without what no light can be."""
    given = radiance.detach().cpu().numpy() if isinstance(radiance, torch.Tensor) else radiance
    pixels = np.asarray(given, np.float32)
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"a radiance is (3, H, W), not {pixels.shape}")
    finite = np.isfinite(pixels)
    if not finite.all():
        most = float(pixels[finite].max(initial=0.0))
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=max(most, 0.0), neginf=0.0)
    return np.clip(pixels, 0, np.float32(_LARGEST))
