# SPDX-License-Identifier: Apache-2.0
"""Dense optical flow between exposures: where every pixel of the reference is in another frame.

Registration (``registration``) finds one motion for a whole frame; this finds one for each pixel,
so it follows what moves by itself. Before two frames are compared the darker one is raised to the
brighter one's exposure, where both are white in the same places (S. Kang et al., High dynamic range
video, 2003). Flow is DIS (T. Kroeger et al., 2016) as OpenCV computes it.

A flow is never trusted blindly. A pixel counts as found only where going there and back ends where
it began, where the way stays inside the frame, and where both frames show the same light. Wherever
one of these fails, :func:`lay_on_reference` shows the reference itself at that frame's exposure: a
merge then loses range there, but gains no ghost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from model.radiance import GAMMA
from pipeline.bracket import Pixels

__all__ = ["Flow", "Laid", "find_flow", "lay_on_reference", "match_exposure", "warp_by_flow"]

_LEAST_PX = 48  # DIS needs some room for its pyramid; smaller frames are extended
_PATCH_PX, _REFINED = 12, 10  # of DIS: a quarter less error than its own medium preset
_BACK_PX, _BACK_SHARE = 0.7, 0.02  # how far off going there and back may end (N. Sundaram, 2010)
_LIGHT = 0.06  # how far two views of the same thing may differ, display-referred
_WINDOW = 5  # pixels over which noise is averaged before light is compared
_BINS = 24  # of the tone curve between two frames
_BIN_PX, _BIN_SHARE = 64, 0.005  # a bin with fewer pixels, or a smaller share, tells nothing
_SAMPLES = 60_000
_MOST_BEND = 0.5  # what bends the curve further is no response
_POINTS, _LEAST_POINTS, _APART_PX = 3000, 100, 1.5  # of the motion that most pixels share
_GROWN_PX = 7  # soft edges of what moves belong to it
_FEATHER_PX = 2.0

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Plane8 = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Where a reference's pixels are in a frame.

    Attributes:
        displacement: (H, W, 2) float32, in pixels: what the reference shows at (x, y) the frame
            shows at (x + d[y, x, 0], y + d[y, x, 1]).
        valid: (H, W), whether that can be relied on.
    """

    displacement: Float
    valid: Mask


@dataclass(frozen=True, kw_only=True)
class Laid:
    """Frames as the reference's moment and place would have shown them.

    Attributes:
        frames: K arrays (H, W, 3) of the frames' own type. Where a frame's mask is 0 it shows the
            reference, re-exposed.
        masks: (K, H, W) uint8, 255 where a frame itself is shown; the reference's is 255 all over.
        moved_px: K medians of the displacement over valid pixels; None where there are none.
    """

    frames: tuple[Pixels, ...]
    masks: NDArray[np.uint8]
    moved_px: tuple[float | None, ...]


def match_exposure(pixels: Pixels, gain: float) -> Pixels:
    """A frame as ``gain`` times as much light would have made it, white where that is too much.

    Linear by a power of 2.2, scaled, clipped, encoded again.

    Args:
        pixels: (H, W, 3) uint8 or uint16.
        gain: > 0.

    Returns:
        pixels of the same type and shape.
    """
    if gain == 1:
        return pixels
    peak = int(np.iinfo(pixels.dtype).max)
    # Of a pure power, the exposure is a factor of the encoded value as well.
    codes = np.arange(peak + 1, dtype=np.float64) * gain ** (1 / GAMMA)
    table = np.floor(np.minimum(codes, peak) + 0.5).astype(pixels.dtype)
    matched: Pixels = table[pixels]
    return matched


def find_flow(reference: Pixels, frame: Pixels, *, gain: float) -> Flow:
    """The flow from a reference to a frame.

    Args:
        reference: (H, W, 3) uint8 or uint16, display-referred.
        frame: the same, at another exposure.
        gain: the frame's exposure divided by the reference's, > 0; from times or pixels.

    Raises:
        ValueError: the sizes or types differ, or the gain is no positive number.
    """
    if reference.shape != frame.shape or reference.dtype != frame.dtype:
        raise ValueError(f"flow between {reference.shape} and {frame.shape}: sizes or types differ")
    if not (np.isfinite(gain) and gain > 0):
        raise ValueError(f"an exposure cannot be {gain} times another")
    # Only ever raised: what the brighter frame lost in white is lost in both then.
    one, other = match_exposure(reference, max(gain, 1.0)), match_exposure(frame, max(1 / gain, 1))
    planes = [_grey8(pixels) for pixels in (one, other)]
    there, back = _dis(planes[0], planes[1]), _dis(planes[1], planes[0])
    found = _returns(there, back)
    common, inside = _common_motion(there, found)
    curve = _curve(warp_by_flow(other, there)[found], one[found])
    found &= _same_light(one, warp_by_flow(other, there), curve)
    # Flat surfaces lead any flow astray; with the rest of the picture they lie just as well.
    displacement = np.where(found[..., None], there, common)
    valid = _same_light(one, warp_by_flow(other, displacement), curve) & (found | inside)
    return Flow(displacement=displacement, valid=_grown(valid))


def warp_by_flow(pixels: Pixels, displacement: Float) -> Pixels:
    """Pixels as seen from the reference, bicubic, of the same type; the border is repeated."""
    height, width = displacement.shape[:2]
    grid = _grid(height, width)
    warped = cv2.remap(
        np.ascontiguousarray(pixels),
        grid[..., 0] + displacement[..., 0],
        grid[..., 1] + displacement[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cast(Pixels, warped)


def lay_on_reference(frames: Sequence[Pixels], exposures: Sequence[float], reference: int) -> Laid:
    """Lay all frames of a bracket on one of them.

    Args:
        frames: K arrays (H, W, 3) of one size and type.
        exposures: K exposure times or any numbers in proportion to them, > 0.
        reference: index of the frame that stays.

    Raises:
        ValueError: see :func:`find_flow`; or the counts differ.
    """
    if len(frames) != len(exposures) or not 0 <= reference < len(frames):
        raise ValueError(f"{len(frames)} frames, {len(exposures)} exposures, frame {reference}")
    base = frames[reference]
    laid: list[Pixels] = []
    masks = np.full((len(frames), *base.shape[:2]), 255, np.uint8)
    moved: list[float | None] = []
    for k, frame in enumerate(frames):
        if k == reference:
            laid.append(frame)
            moved.append(0.0)
            continue
        gain = exposures[k] / exposures[reference]
        flow = find_flow(base, frame, gain=gain)
        laid.append(_filled(frame, flow, match_exposure(base, gain)))
        masks[k] = np.where(flow.valid, np.uint8(255), np.uint8(0))
        lengths = np.hypot(*np.moveaxis(flow.displacement[flow.valid], -1, 0))
        moved.append(float(np.median(lengths)) if lengths.size else None)
    return Laid(frames=tuple(laid), masks=masks, moved_px=tuple(moved))


def _filled(frame: Pixels, flow: Flow, instead: Pixels) -> Pixels:
    """The frame seen from the reference, where it cannot be seen something else, softly joined.

    The seam lies wholly within what is valid, so that nothing of what is not shows.
    """
    warped = warp_by_flow(frame, flow.displacement)
    if flow.valid.all():
        return warped
    radius = int(2 * _FEATHER_PX)
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    inner = cv2.erode(
        flow.valid.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1
    ).astype(np.float32)
    soft = cv2.GaussianBlur(inner, (2 * radius + 1,) * 2, _FEATHER_PX)
    share = np.where(flow.valid, soft, 0.0).astype(np.float32)[..., None]
    mixed = warped * share + instead * (1 - share)
    return cast(Pixels, np.floor(mixed + 0.5).astype(frame.dtype))


def _grey8(pixels: Pixels) -> Plane8:
    eight: Any = cv2.convertScaleAbs(pixels, alpha=1 / 257) if pixels.dtype == "u2" else pixels
    return cast(Plane8, cv2.cvtColor(eight, cv2.COLOR_RGB2GRAY))


def _dis(one: Plane8, other: Plane8) -> Float:
    height, width = one.shape
    below, right = max(0, _LEAST_PX - height), max(0, _LEAST_PX - width)
    planes: list[Any] = [one, other]
    if below or right:
        planes = [
            cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE) for plane in planes
        ]
    finder: Any = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)
    finder.setPatchSize(_PATCH_PX)
    finder.setVariationalRefinementIterations(_REFINED)
    found = finder.calc(*planes, None)
    return np.ascontiguousarray(found[:height, :width], np.float32)


def _grid(height: int, width: int) -> Float:
    grid = np.empty((height, width, 2), np.float32)
    grid[..., 0], grid[..., 1] = np.arange(width)[None, :], np.arange(height)[:, None]
    return grid


def _returns(there: Float, back: Float) -> Mask:
    """Where going there and back ends near the start, without leaving the frame."""
    x, y = np.moveaxis(_grid(*there.shape[:2]) + there, -1, 0)
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    off = ((there + returned) ** 2).sum(-1)
    far = (there**2).sum(-1) + (returned**2).sum(-1)
    return cast(Mask, _inside(there) & (off <= _BACK_PX**2 + _BACK_SHARE * far))


def _inside(displacement: Float) -> Mask:
    height, width = displacement.shape[:2]
    x, y = np.moveaxis(_grid(height, width) + displacement, -1, 0)
    return cast(Mask, (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))


def _common_motion(there: Float, found: Mask) -> tuple[Float, Mask]:
    """One homography for what most of the found pixels do, and where it stays inside the frame."""
    height, width = there.shape[:2]
    still = np.zeros_like(there)
    rows, cols = np.nonzero(found)
    if rows.size < _LEAST_POINTS:
        return still, _inside(still)
    chosen = np.linspace(0, rows.size - 1, min(rows.size, _POINTS)).astype(np.intp)
    start = np.stack([cols[chosen], rows[chosen]], -1).astype(np.float32)
    end = start + there[rows[chosen], cols[chosen]]
    matrix, agree = cv2.findHomography(start, end, cv2.RANSAC, _APART_PX)
    if matrix is None or np.count_nonzero(agree) < _LEAST_POINTS:
        return still, _inside(still)
    grid = _grid(height, width)
    moved = cv2.perspectiveTransform(grid.reshape(1, -1, 2), np.asarray(matrix))
    common = moved.reshape(height, width, 2).astype(np.float32) - grid
    return common, _inside(common)


def _same_light(one: Pixels, other: Pixels, curve: NDArray[np.float64]) -> Mask:
    """Where two frames of matched exposure show the same, once their tones are brought together."""
    peak = float(np.iinfo(one.dtype).max)
    left, right = (pixels.astype(np.float32) / np.float32(peak) for pixels in (one, other))
    toned = np.interp(right, np.linspace(0, 1, _BINS), curve).astype(np.float32)
    off = cv2.blur(left - toned, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)
    return cast(Mask, np.abs(off).max(-1) <= _LIGHT)


def _curve(values: Pixels, wanted: Pixels) -> NDArray[np.float64]:
    """Tones of one frame (knots over 0..1) to another's; near the identity where unknown.

    The response of a camera is not quite a power, and times are rounded. Medians of what was found
    (N, 3) tell how far off that is, and the little that moves cannot bend them.
    """
    knots, peak = np.linspace(0, 1, _BINS), np.float32(np.iinfo(values.dtype).max)
    step = max(1, values.shape[0] // _SAMPLES)
    x, y = (p[::step].ravel().astype(np.float32) / peak for p in (values, wanted))
    index = np.rint(x * (_BINS - 1)).astype(np.intp)
    least = max(_BIN_PX, _BIN_SHARE * x.size)
    known = [k for k in range(_BINS) if np.count_nonzero(index == k) >= least]
    if not known:
        return knots
    bends = [float(np.median((y - x)[index == k])) for k in known]
    bent = np.interp(knots, knots[known], np.clip(bends, -_MOST_BEND, _MOST_BEND))
    return np.maximum.accumulate(np.clip(knots + bent, 0, 1))


def _grown(valid: Mask) -> Mask:
    """Without the neighbourhood of what is not valid, and without specks that are."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_GROWN_PX, _GROWN_PX))
    # Single doubtful pixels are noise, not something that moved.
    holes = cv2.morphologyEx((~valid).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return cast(Mask, cv2.dilate(holes, kernel) == 0)
