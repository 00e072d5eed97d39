# SPDX-License-Identifier: Apache-2.0
"""Labels out of the frames themselves, for training without ground truth.

After Z. Zhang et al., "Self-supervised high dynamic range imaging with multi-exposure images in
dynamic scenes", ICLR 2024. Patches that were sharded with ``aligned = "flow"`` hold their frames
as laid on the middle one. Their triangle blend is the colour label: right light, but ghosts or lost
range where the flow failed. What a trained first stage makes of the same aligned frames is the
structure label. Both are linear, in the scale of the middle frame; masks say where the first holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from model.hdr_network import HdrNetwork, middle
from model.merge import merge
from model.radiance import Response
from pipeline.errors import UsageError
from pipeline.models import ChosenModel, find_model
from pipeline.patches import Patch
from pipeline.sharding.settings import ShardSettings

__all__ = [
    "StageOne",
    "check_stage_one",
    "colour_label",
    "load_stage_one",
    "structure_label",
    "with_structure",
]

Array = NDArray[np.float32]

StageOne = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A trained first stage: frames (1, K, 3, P, P) in 0..1 and exposure times (1, K) in, radiance
(1, 3, P, P) in the middle frame's scale out; an HDR network in evaluation mode is one."""


def colour_label(patch: Patch, response: Response = "gamma") -> Array:
    """The triangle blend of a patch's aligned frames, (3, P, P) float32, linear.

    Raises:
        ValueError: the patch has no aligned frames, or no exposure times.
    """
    display, times_s = _aligned(patch)
    blended = merge(display, times_s, middle(len(display)), response)
    return np.asarray(blended.numpy(), np.float32)


def structure_label(patch: Patch, stage_one: StageOne) -> Array:
    """What a first stage makes of a patch's aligned frames, (3, P, P) float32, linear, >= 0.

    Raises:
        ValueError: the patch has no aligned frames or no exposure times, or the network made
            something else than one radiance of finite numbers.
    """
    display, times_s = _aligned(patch)
    with torch.inference_mode():
        made = stage_one(display[None], torch.tensor([times_s], dtype=torch.float32))
    size = display.shape[-1]
    if made.shape != (1, 3, size, size) or not bool(made.isfinite().all()):
        raise ValueError(
            f"the first stage made {tuple(made.shape)} of {patch.key}, or numbers that are not "
            f"finite; a radiance of (1, 3, {size}, {size}) was due"
        )
    return np.asarray(made[0].float().clamp(min=0).cpu().numpy(), np.float32)


def load_stage_one(chosen: ChosenModel) -> StageOne:
    """A trained first stage, on the CPU.

    Raises:
        UsageError: ``weights-invalid``, the file is damaged or holds a network that makes no
            radiance.
    """
    network = chosen.load("cpu")
    if not isinstance(network, HdrNetwork):
        raise UsageError(
            "weights-invalid",
            f"{chosen.source} makes no radiance; give the weights of a first stage, which "
            "`bracketflow train` writes.",
        )
    if network.follows:  # what it is given has been followed already
        return lambda frames, times_s: network(frames, times_s, aligned=frames)
    return network


def check_stage_one(weights: str, settings: ShardSettings) -> ChosenModel:
    """The first stage that a file of weights holds, for patches cut in that way.

    Raises:
        UsageError: ``weights-invalid``, see :func:`load_stage_one`; ``model-unknown``; or
            ``option-invalid``, the patches hold no frames that were followed.
        InfrastructureError: ``storage-failed``.
    """
    if settings.aligned == "none":
        raise UsageError(
            "option-invalid",
            "--stage-one makes labels out of aligned frames; add --aligned flow.",
        )
    chosen = find_model(weights)
    load_stage_one(chosen)
    return chosen


def with_structure(patch: Patch, stage_one: StageOne) -> Patch:
    """The patch with its structure label.

    Raises:
        ValueError: see :func:`structure_label`.
    """
    return replace(patch, structure=structure_label(patch, stage_one))


def _aligned(patch: Patch) -> tuple[torch.Tensor, tuple[float, ...]]:
    if patch.aligned is None or patch.times_s is None:
        lacking = "aligned frames" if patch.aligned is None else "exposure times"
        raise ValueError(
            f"patch {patch.key} has no {lacking}; shard its archive with --aligned flow"
        )
    peak = float(np.iinfo(patch.aligned.dtype).max)
    display = torch.from_numpy(patch.aligned.astype(np.float32)).div_(peak)
    return display, patch.times_s
