# SPDX-License-Identifier: Apache-2.0
"""How good fusions of patches are, beside Mertens' fusions of the same patches."""

from __future__ import annotations

import hashlib

import torch

from model.fusion_terms import fuse_mertens
from model.losses.chroma import colour_differences
from model.losses.mef_ssim import color_mef_ssim, mef_ssim

__all__ = ["FusionScores", "to_8bit_gray", "to_8bit_rgb"]


class FusionScores:
    """Figures of a batch of fusions, each (B,), as ``bracketflow score`` would give them.

    =======================  ====================================================================
    gray_ms3                 MEF-SSIM of the 8-bit fusion, up to 1
    color                    ``color_8x8_adaptive_lum`` of the same, up to 1
    gray_ms3_mertens         MEF-SSIM of Mertens' fusion
    color_mertens            and its colour MEF-SSIM
    chroma_shift             mean absolute difference of Cb and of Cr (BT.601) between the fusion
                             and Mertens', averaged over the two, in 8-bit levels (of 255)
    =======================  ====================================================================

    Validation patches come again and again: what depends on the frames alone is kept, two numbers
    a patch.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(
        self, fused: torch.Tensor, frames: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Score fusions (B, 3, H, W) of frames (B, K, 3, H, W), both float sRGB in 0..1.

        Args:
            fused: The fusions.
            frames: What they are measured against.
            inputs: What was fused, by Mertens as well, where that is something else, such as the
                frames with noise.

        Raises:
            ValueError: The patches are too small for MEF-SSIM (44 px).
        """
        frames, ours = to_8bit_rgb(frames), to_8bit_rgb(fused)
        mertens = self.mertens(frames if inputs is None else to_8bit_rgb(inputs))
        scores = _scores(ours, frames)
        if inputs is None:
            theirs = self._mertens_scores(mertens, frames)
        else:
            theirs = _scores(mertens, frames)
        chroma = (colour_differences(ours) - colour_differences(mertens)).abs().mean((1, 2, 3))
        return {
            "gray_ms3": scores[:, 0],
            "color": scores[:, 1],
            "gray_ms3_mertens": theirs[:, 0],
            "color_mertens": theirs[:, 1],
            "chroma_shift": chroma * 255,
        }

    def mertens(self, frames: torch.Tensor) -> torch.Tensor:
        """Mertens' fusions (B, 3, H, W), in 8-bit steps."""
        return to_8bit_rgb(fuse_mertens(frames))

    def _mertens_scores(self, mertens: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        keys = [hashlib.sha256(stack.cpu().numpy().tobytes()).digest() for stack in frames]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            for index, scores in zip(new, _scores(mertens[new], frames[new]), strict=True):
                self._known[keys[index]] = scores
        return torch.stack([self._known[key] for key in keys])


def to_8bit_rgb(rgb: torch.Tensor) -> torch.Tensor:
    """Pictures of any shape in 0..1, rounded to whole steps of 1/255."""
    return rgb.float().clamp(0, 1).mul(255).add(0.5).floor() / 255


def to_8bit_gray(rgb: torch.Tensor) -> torch.Tensor:
    """Grey (..., H, W) of 8-bit pictures (..., 3, H, W), both in whole steps of 1/255.

    The rounding is that of ``model.metrics``, which changes MEF-SSIM by 1e-3.
    """
    red, green, blue = rgb.mul(255).round().long().unbind(-3)
    total = red * 298936 + green * 587043 + blue * 114021 + 500000
    return total.div(1000000, rounding_mode="floor").float() / 255


def _scores(fused: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """(B, 2): grey and colour MEF-SSIM."""
    gray = mef_ssim(to_8bit_gray(fused).unsqueeze(1), to_8bit_gray(frames))
    return torch.stack([gray, color_mef_ssim(fused, frames)], 1)
