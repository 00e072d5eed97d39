# SPDX-License-Identifier: Apache-2.0
"""What networks for radiance see of a batch of stacks, and what their results may begin with.

Everything here stands in the scale of the shortest exposure: 1 is what just saturates it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from model.layers import apart
from model.merge import merge
from model.radiance import Response, linearise, mu_law

__all__ = ["Start", "brightest", "first_guess", "followed_inputs", "inputs_of", "padded", "shown"]

_BURNT = 0.9  # display values above this begin to say nothing of how bright it is

Start = Literal["nothing", "followed"]
"""What a network's result begins with: nothing, as all of them were published; or the triangle
merge of frames that optical flow laid on the reference, mended where the reference is burnt out,
which it gets beside the frames and corrects, all after the mu-law. The second is at once better
than the merge; it can do nothing without the flow."""


def brightest(times_s: torch.Tensor, reference: int) -> torch.Tensor:
    """The radiance that just saturates the shortest exposure, (B, 1, 1, 1), in the scale of the
    reference: ``t_ref / t_shortest``."""
    return (times_s[:, reference] / times_s.amin(1))[:, None, None, None]


def shown(frames: torch.Tensor, times_s: torch.Tensor, response: Response) -> torch.Tensor:
    """What each frame shows of the radiance, (B, n, 3, H, W) in 0..1, the scale of the shortest
    exposure."""
    ratios = times_s / times_s.amin(1, keepdim=True)
    return linearise(frames, response) / ratios.to(frames.dtype)[..., None, None, None]


@torch.no_grad()
def first_guess(
    frames: torch.Tensor,
    aligned: torch.Tensor,
    times_s: torch.Tensor,
    reference: int,
    response: Response,
) -> torch.Tensor:
    """The triangle merge of aligned frames after the mu-law, (B, 3, H, W) in 0..1, the scale of the
    shortest exposure.

    Where the reference is burnt out and the flow found nothing, an aligned frame shows the
    reference, which tells only that it is brighter there than its white. So there the merge is
    raised to what the darker frames show as they are: more light than the white is nearer to the
    truth than the white, whatever has moved.
    """
    light = torch.stack(
        [
            merge(stack, times, reference, response)
            for stack, times in zip(aligned, times_s.tolist(), strict=True)
        ]
    )
    merged = mu_law((light / brightest(times_s, reference).to(light.dtype)).clamp(0, 1))
    darker = times_s < times_s[:, reference, None]
    seen = mu_law(shown(frames, times_s, response)) * darker[..., None, None, None]
    burnt = ((frames[:, reference] - _BURNT) / (1 - _BURNT)).clamp(0, 1)
    return merged + burnt * (seen.amax(1) - merged).clamp(min=0)


def inputs_of(frames: torch.Tensor, times_s: torch.Tensor, response: Response) -> torch.Tensor:
    """(B, n, 6, H, W) in 0..1: what each frame shows of the radiance, then the frame itself."""
    return torch.cat([shown(frames, times_s, response), frames], 2)


def followed_inputs(
    frames: torch.Tensor,
    aligned: torch.Tensor,
    times_s: torch.Tensor,
    reference: int,
    response: Response,
) -> torch.Tensor:
    """(B, n, 12, H, W) in 0..1: what each aligned frame shows of the radiance, after the mu-law,
    and that frame; then the same of the frame as it is. The reference is the same both ways: in
    its second place stands the first guess, twice."""
    parts = [(mu_law(shown(x, times_s, response)), x) for x in (aligned, frames)]
    inputs = torch.cat([part for pair in parts for part in pair], 2)
    guess = first_guess(frames, aligned, times_s, reference, response)
    inputs[:, reference, 6:] = torch.cat([guess, guess], 1)
    return inputs


def padded(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """(B, n, C, H, W) with the last row and column repeated up to a multiple of ``multiple``."""
    down, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not down and not right:
        return x
    return apart(functional.pad(x.flatten(0, 1), (0, right, 0, down), "replicate"), x.shape[1])
