# SPDX-License-Identifier: Apache-2.0
"""A gamma that is learned with the network, by attention over the frames."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from model.losses.gammas import gamma
from model.ssim import SSIM_WINDOW

__all__ = ["LearnedGamma"]

_HANDCRAFTED = ("v", "d", "e")
_PRIOR = "vd"
_CHANNELS = 16
_COARSE = 4
_LARGEST_FACTOR = 4.0


class LearnedGamma(torch.nn.Module):
    """How much each frame counts, learned; any K, in any order of the frames.

    What each frame shows at a window (its shares of variance, gradient and well-exposedness, its
    brightness) makes a key, the mean over the frames makes the query, and their product a score;
    at a quarter of the resolution, as neighbouring windows hardly differ.

    Left alone, a gamma that is trained to make the weighted SSIM large collapses: it picks one
    frame everywhere, and the network copies that frame. Two things keep that off, by construction
    and without a further term in the loss. Gamma sees the frames, never the fusion, so it cannot
    follow what the network happens to make. And it is the handcrafted ``vd`` times a factor that
    stays within 1/4 to 4: the ratio of two frames never moves by more than 16, and a frame that is
    far more salient than the others keeps its say. Training starts at ``vd`` itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(len(_HANDCRAFTED) + 1, _CHANNELS, 3, padding=1),
            torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(_CHANNELS, _CHANNELS, 1),
        )
        self.key = torch.nn.Conv2d(_CHANNELS, _CHANNELS, 1)
        self.query = torch.nn.Conv2d(_CHANNELS, _CHANNELS, 1)
        torch.nn.init.zeros_(self.key.weight)
        torch.nn.init.zeros_(self.key.bias)  # type: ignore[arg-type]

    def forward(self, frames_luma: torch.Tensor) -> torch.Tensor:
        """Gamma (B, K, H - 10, W - 10) of luma (B, K, H, W) in 0..1; sum 1 over K.

        Raises:
            ValueError: The frames are of another shape, or too small for SSIM's window.
        """
        shown = [gamma(frames_luma, name) for name in _HANDCRAFTED]
        shown.append(SSIM_WINDOW.mean(frames_luma))
        maps = torch.stack(shown, 2)
        batch, count, _, height, width = maps.shape
        coarse = functional.avg_pool2d(maps.flatten(0, 1), _COARSE, ceil_mode=True)
        features = self.features(coarse)
        keys = self.key(features).unflatten(0, (batch, count))
        query = self.query(features.unflatten(0, (batch, count)).mean(1)).unsqueeze(1)
        scores = (query * keys).sum(2).to(frames_luma.dtype) / math.sqrt(_CHANNELS)
        # Of what all frames have in common nothing is left to saturate the bound.
        bounded = (scores - scores.mean(1, keepdim=True)).tanh() * math.log(_LARGEST_FACTOR)
        bounded = functional.interpolate(bounded, (height, width), mode="bilinear")
        weights: torch.Tensor = (gamma(frames_luma, _PRIOR).log() + bounded).softmax(1)
        return weights
