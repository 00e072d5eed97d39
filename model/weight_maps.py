# SPDX-License-Identifier: Apache-2.0
"""How much each frame counts where, of a model that weighs its frames: pictures to look at.

Meant for reduced stacks: what a person sees at that size, for little of the time that fusing takes.
A network looks as many pixels far there as in the whole picture, so its maps are coarser than what
it did.
"""

from __future__ import annotations

import torch

from model.fusion_model import FusionModel, StackPixels
from model.fusion_network import FusionNetwork
from model.hdr_network import HdrNetwork
from model.merge import Merge, merge_weights
from model.mertens import Mertens
from model.ufm_k_fast import FastUfmK

__all__ = ["weight_maps"]


def weight_maps(model: FusionModel, stack: StackPixels) -> torch.Tensor | None:
    """(K, H, W) in 0..1 on the CPU, sum 1 over K; None of models that weigh no frames.

    Args:
        model: any; ready to fuse.
        stack: what it is given, worked on as a whole.
    """
    if isinstance(model, FastUfmK):
        model = model.network  # the fast form leaves the finest levels to a rule; this shows them
    if isinstance(model, HdrNetwork) or not isinstance(model, FusionNetwork | Mertens | Merge):
        return None
    with torch.inference_mode():
        frames = stack.tile(slice(None), slice(None)).to(model.device)
        if isinstance(model, FusionNetwork):
            weights: torch.Tensor = model(frames.unsqueeze(0)).weights[0]
        elif isinstance(model, Mertens):
            weights = model.weights(frames)
        else:
            context = model.prepare(stack)
            weights = merge_weights(frames, context.exposures, context.reference)
        return weights.mean(1).float().cpu()
