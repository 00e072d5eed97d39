# SPDX-License-Identifier: Apache-2.0
"""What a patch goes through on its way into a batch: a choice of frames, a crop, and changes that
other cameras might have made.

Frames stay in order, dark to bright, and every frame gets the same crop, turn and tone curve.
What was clipped stays clipped: no change uncovers detail that no camera could have recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.crops import centre_cut, draw_cut, side_of
from pipeline.images.color import linear_to_srgb, srgb_to_linear

__all__ = [
    "AugmentSettings",
    "add_noise",
    "as_floats",
    "augment",
    "choose_frames",
    "plain",
]

PatchFrames = NDArray[np.uint8] | NDArray[np.uint16]
Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Which changes are made, how often and how far; pairs are (least, most).

    A probability is the chance that a patch is changed in that way; 0 switches the change off,
    and all are off by default but the flips.

    Raises:
        ValueError: a value is impossible; the message begins with its name.
    """

    flips: bool = True
    """Mirror and turn by quarters, all eight ways equally likely."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Reduce the patch by area to this share of its side, log-uniform, before it is cropped; never
    to less than the crop. Below 1 it needs a crop, as batches hold one size."""
    min_span: float = 0.5
    """Where fewer frames are taken than there are, they span at least this share (0..1) of the
    bracket's range: of stops where times are known, else of its order from dark to bright."""
    tone_probability: float = 0.0
    tone_gamma: tuple[float, float] = (0.8, 1.25)
    """Response curve common to all frames: display values to the power of this, log-uniform."""
    tone_contrast: tuple[float, float] = (-0.3, 0.5)
    """Contrast of the same curve, within -1..1: an S around middle grey, steeper where positive."""
    gain_probability: float = 0.0
    gain_ev: float = 0.3
    """Exposure of each frame by itself, at most this many stops up or down, in linear light."""
    noise_probability: float = 0.0
    noise_sigma: tuple[float, float] = (0.5, 3.0)
    """Standard deviation of Gaussian noise in the brightest frame, in 8-bit levels (of 255)."""
    noise_dark: float = 2.0
    """How many times stronger the noise of the darkest frame is; frames between lie between."""
    jpeg_probability: float = 0.0
    jpeg_quality: tuple[int, int] = (70, 98)
    """Quality of JPEG compression (1..100), the same for all frames; 16-bit frames become 8-bit."""

    @property
    def bending(self) -> tuple[str, ...]:
        """What is switched on that parts frames from their light: exposure times and linear labels
        do not hold afterwards."""
        found = [
            f"{name}_probability"
            for name in ("tone", "gain", "jpeg")
            if getattr(self, f"{name}_probability") > 0
        ]
        return (*found, *(["scale"] if self.scale != (1, 1) else []))

    def __post_init__(self) -> None:
        for name in ("tone", "gain", "noise", "jpeg"):
            key = f"{name}_probability"
            _within(key, getattr(self, key), 0, 1)
        _within("scale", self.scale, 0.01, 1)
        _within("min_span", self.min_span, 0, 1)
        _within("tone_gamma", self.tone_gamma, 0.2, 5)
        _within("tone_contrast", self.tone_contrast, -1, 1)
        _within("gain_ev", self.gain_ev, 0, 5)
        _within("noise_sigma", self.noise_sigma, 0, 128)
        _within("noise_dark", self.noise_dark, 1, 100)
        _within("jpeg_quality", self.jpeg_quality, 1, 100)


def _within(name: str, value: float | tuple[float, float], least: float, most: float) -> None:
    low, high = value if isinstance(value, tuple) else (value, value)
    if not least <= low <= high <= most:
        shown = f"[{low:g}, {high:g}]" if isinstance(value, tuple) else f"{low:g}"
        raise ValueError(f"{name} must lie within {least:g}..{most:g}, not {shown}")


def augment(
    patch_frames: PatchFrames,
    times_s: Sequence[float] | NDArray[np.float64] | None,
    settings: AugmentSettings,
    k: int,
    rng: np.random.Generator,
    *,
    crop_px: int | None = None,
) -> Float:
    """A patch as a network gets to see it in training.

    Args:
        patch_frames: (K, 3, P, P) uint8 or uint16, dark to bright.
        times_s: exposure times (K,) in seconds, or None.
        settings: what may change.
        k: how many frames, 2..K.
        rng: the only source of chance: the same state gives the same patch.
        crop_px: side of a random crop; None keeps the whole patch.

    Returns:
        (k, 3, side, side) float32 in 0..1, dark to bright.

    Raises:
        ValueError: the patch has fewer than k frames, or is smaller than the crop.
    """
    chosen = choose_frames(len(patch_frames), times_s, k, settings.min_span, rng)
    side = side_of(patch_frames.shape[-1], crop_px)
    frames = patch_frames[chosen]
    if settings.scale != (1, 1):
        if crop_px is None:
            raise ValueError(f"augment.scale {settings.scale} needs a data.crop_px")
        frames = _reduced(frames, float(np.exp(rng.uniform(*np.log(settings.scale)))), side)
    floats = as_floats(draw_cut(frames.shape[-1], side, rng, flips=settings.flips)(frames))
    if rng.random() < settings.tone_probability:
        floats = _toned(floats, settings, rng)
    if rng.random() < settings.gain_probability:
        floats = _gained(floats, rng.uniform(-settings.gain_ev, settings.gain_ev, k))
    if rng.random() < settings.noise_probability:
        floats = add_noise(floats, settings, rng)
    if rng.random() < settings.jpeg_probability:
        low, high = settings.jpeg_quality
        floats = _compressed(floats, int(rng.integers(low, high + 1)))
    return np.ascontiguousarray(floats, np.float32)


def plain(patch_frames: PatchFrames, k: int, *, crop_px: int | None = None) -> Float:
    """A patch as validation sees it: k frames spread evenly over the order, centre crop.

    Args, returns and errors are those of :func:`augment`.
    """
    count = len(patch_frames)
    _check_count(count, k)
    chosen = np.linspace(0, count - 1, k).round().astype(np.intp)
    return as_floats(centre_cut(patch_frames.shape[-1], crop_px)(patch_frames[chosen]))


def choose_frames(
    count: int,
    times_s: Sequence[float] | NDArray[np.float64] | None,
    k: int,
    min_span: float,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Which k of ``count`` frames, in order; see ``AugmentSettings.min_span``.

    The darkest and the brightest of them are drawn first, then what lies between.

    Raises:
        ValueError: there are fewer than k frames, or k is below 2.
    """
    _check_count(count, k)
    if k == count:
        return np.arange(count)
    known = times_s is not None and all(0 < time < math.inf for time in times_s)
    stops = np.log2(np.asarray(times_s)) if known else np.arange(count, dtype=np.float64)
    low, high = np.triu_indices(count, k - 1)
    spans = np.abs(stops[high] - stops[low])
    # The whole range always will do, also where the times do not follow the frames' order.
    enough = np.flatnonzero((spans >= min_span * spans.max() - 1e-9) | (high - low == count - 1))
    ends = enough[rng.integers(len(enough))]
    between = np.arange(low[ends] + 1, high[ends])
    inner = rng.choice(between, k - 2, replace=False) if k > 2 else between[:0]
    return np.sort(np.concatenate([[low[ends], high[ends]], inner])).astype(np.intp)


def _check_count(count: int, k: int) -> None:
    if not 2 <= k <= count:
        raise ValueError(f"a patch of {count} frames cannot give {k}")


def _reduced(frames: PatchFrames, share: float, least: int) -> PatchFrames:
    height, width = (max(round(size * share), least) for size in frames.shape[2:])
    smaller = [
        cv2.resize(frame.transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_AREA)
        for frame in frames
    ]
    stacked: PatchFrames = np.stack(smaller).transpose(0, 3, 1, 2)
    return stacked


def as_floats(frames: NDArray[Any]) -> Float:
    """Integers over their full range as 0..1."""
    return np.ascontiguousarray(frames, np.float32) / np.float32(np.iinfo(frames.dtype).max)


def _toned(frames: Float, settings: AugmentSettings, rng: np.random.Generator) -> Float:
    """A monotone curve through 0 and 1, the same for all frames."""
    gamma = np.exp(rng.uniform(*np.log(settings.tone_gamma)))
    contrast = rng.uniform(*settings.tone_contrast)
    x = frames ** np.float32(gamma)
    # Slope 1 - c at both ends and 1 + c / 2 in the middle: monotone for all |c| <= 1.
    s_curve = x * (1 - x) * (2 * x - 1) * np.float32(contrast)
    toned: Float = np.clip(x + s_curve, 0, 1)
    return toned


def _gained(frames: Float, stops: NDArray[np.float64]) -> Float:
    """Each frame a little brighter or darker.

    A longer exposure clips more. A shorter one would have caught what is clipped here, which
    nobody knows: so white stays where it is and the curve bends towards it.
    """
    linear = srgb_to_linear(frames)
    gains = np.exp2(stops).astype(np.float32).reshape(-1, 1, 1, 1)
    changed = gains * linear / np.where(gains < 1, 1 + (gains - 1) * linear, 1)
    return np.clip(linear_to_srgb(np.minimum(changed, 1)), 0, 1)


def add_noise(frames: Float, settings: AugmentSettings, rng: np.random.Generator) -> Float:
    """Gaussian noise in the encoded values, stronger the darker the frame, none where it is white.

    Args:
        frames: (k, 3, H, W) in 0..1, dark to bright.
        settings: ``noise_sigma`` and ``noise_dark`` say how strong; its probability is not asked.
        rng: the only source of chance.
    """
    sigma = rng.uniform(*settings.noise_sigma) / 255
    sigmas = sigma * np.geomspace(settings.noise_dark, 1, len(frames))
    noise = rng.standard_normal(frames.shape, np.float32)
    noise *= sigmas.astype(np.float32).reshape(-1, 1, 1, 1)
    noise *= np.minimum((1 - frames) * 16, 1)
    noisy: Float = np.clip(frames + noise, 0, 1)
    return noisy


def _compressed(frames: Float, quality: int) -> Float:
    """Through JPEG and back."""
    pixels = np.floor(frames.transpose(0, 2, 3, 1) * 255 + 0.5).astype(np.uint8)
    decoded = [
        simplejpeg.decode_jpeg(
            simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality, colorsubsampling="420")
        )
        for frame in pixels
    ]
    return as_floats(np.stack(decoded).transpose(0, 3, 1, 2))
