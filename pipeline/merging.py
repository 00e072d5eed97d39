# SPDX-License-Identifier: Apache-2.0
"""The classical way to a radiance: exposures, optical flow onto the reference, triangle merge.

The baseline that networks have to beat, without flow (the plain merge) and with it. A plain
function over a stack in memory; the merge itself is ``model.merge``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from model import tiles
from model.hdr_network import middle
from model.merge import Merge, estimate_ratios
from pipeline.align.flow import lay_on_reference
from pipeline.bracket import Stack

__all__ = [
    "Exposures",
    "Merged",
    "estimated_exposures",
    "exposures_of",
    "laid_by_flow",
    "merge_stack",
]

_LONG_SIDE_PX = 512


@dataclass(frozen=True, kw_only=True)
class Exposures:
    """Exposure of each frame of a stack.

    Attributes:
        times_s: K exposure times; where they are estimates, times in the scale in which the
            middle frame has one second.
        estimated: whether they were told from the pixels.
        notes: why, for the report.
    """

    times_s: tuple[float, ...]
    estimated: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A merged stack.

    Attributes:
        radiance: (3, H, W) float32, linear, >= 0; 1 is the light that makes the reference white.
        reference: index of the frame whose moment and place it shows.
        exposures: what it was merged with.
        valid_share: of the pixels of each frame, how many lay on the reference; all 1 without flow.
    """

    radiance: torch.Tensor
    reference: int
    exposures: Exposures
    valid_share: tuple[float, ...]


def exposures_of(stack: Stack) -> Exposures:
    """The stack's exposure times, or estimates where none are known or they cannot be true."""
    times = stack.exposure_times_s
    why = ""
    if times is None:
        why = "are not recorded"
    elif not all(math.isfinite(time) and time > 0 for time in times):
        why = "are not all positive numbers"
    elif len(set(times)) < 2:
        why = "are recorded as all the same"
    if times is not None and not why:
        return Exposures(times_s=times, estimated=False)
    return estimated_exposures(stack, why)


def estimated_exposures(stack: Stack, why: str) -> Exposures:
    """Exposures told from the pixels.

    Args:
        stack: the frames.
        why: what is wrong with the recorded times, such as "are not recorded".
    """
    scale = min(1.0, _LONG_SIDE_PX / max(stack.height, stack.width))
    ratios = estimate_ratios(
        stack.reduced(max(1, round(stack.height * scale)), max(1, round(stack.width * scale)))
    )
    base = ratios.exposures[middle(stack.count)]
    notes = [f"exposure times {why}: their ratios were estimated from the pixels"]
    if ratios.assumed:
        notes.append(
            f"{ratios.assumed} of {stack.count - 1} exposure steps could not be told from the "
            "pixels and were taken for two stops"
        )
    return Exposures(
        times_s=tuple(exposure / base for exposure in ratios.exposures),
        estimated=True,
        notes=tuple(notes),
    )


def laid_by_flow(
    stack: Stack, exposures: Exposures, reference: int
) -> tuple[Stack, NDArray[np.uint8]]:
    """The stack as seen from one of its frames, with exposure times, and masks (K, H, W) uint8.

    Where a mask is 0 the frame could not be followed; it shows the reference there, re-exposed.
    """
    laid = lay_on_reference(stack.frames, exposures.times_s, reference)
    return Stack(frames=laid.frames, exposure_times_s=exposures.times_s), laid.masks


def merge_stack(stack: Stack, *, reference: int | None = None, flow: bool = False) -> Merged:
    """Merge a stack to a radiance.

    Args:
        stack: K >= 2 frames, dark to bright.
        reference: index of the frame whose moment is shown; the middle one by default.
        flow: lay the frames on the reference by optical flow first; else they are taken as
            they are, and what moved shows as ghosts.

    Raises:
        ValueError: fewer than two frames, or no frame of that number.
    """
    base = middle(stack.count) if reference is None else reference
    if not 0 <= base < stack.count:
        raise ValueError(f"reference {base} is not one of {stack.count} frames")
    exposures = exposures_of(stack)
    valid = (1.0,) * stack.count
    timed = replace(stack, exposure_times_s=exposures.times_s)
    if flow:
        timed, masks = laid_by_flow(stack, exposures, base)
        valid = tuple(float(mask.mean(dtype=np.float64)) / 255 for mask in masks)
    return Merged(
        radiance=tiles.fuse(Merge(reference=base), timed),
        reference=base,
        exposures=exposures,
        valid_share=valid,
    )
