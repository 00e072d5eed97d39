# SPDX-License-Identifier: Apache-2.0
"""UFM, the unsupervised fusion model: a pair of exposures in, a weight map for each out.

After arXiv 2510.21815: an encoder of ten convolutions like VGG16's first ten, a decoder of ten
that mirrors it, and a softmax over the exposures; the fusion is the weighted sum of the frames.
What the paper leaves open is chosen here: batch normalisation and ReLU after every 3x3
convolution, max-pooling between the blocks, bilinear upsampling, a 1x1 head.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch.nn import functional

from model.fusion_model import StackPixels, Tile
from model.fusion_network import Fusion, FusionNetwork
from model.luma import luma

__all__ = ["Encoder", "Ufm"]

Encoder = Literal["gray", "rgb"]

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3))  # channels and convolutions, finest first
_LEAST_CHANNELS = 4
_FRAMES = 2


class Ufm(FusionNetwork):
    """The pair network; a ``FusionModel`` as well, for pictures of any size.

    Pictures are padded on the right and at the bottom, by repeating the last pixel, to a multiple
    of :attr:`align_px`; so a tile that starts at such a multiple sees the grid of the whole
    picture.

    Args:
        width: Multiplies the channels of all layers, 64 to 512; none has less than 4.
        encoder: What the encoder sees: the two frames' luma, or all six channels.
        skips: Hand each encoder block's result to the decoder block of the same size.

    Raises:
        ValueError: ``width`` is not positive, or there is no such encoder.
    """

    name: ClassVar[str] = "ufm"
    min_frames: ClassVar[int] = _FRAMES
    max_frames: ClassVar[int | None] = _FRAMES
    output: Literal["fusion", "radiance"] = "fusion"
    align_px: int = 2 ** (len(_BLOCKS) - 1)

    def __init__(self, width: float = 1.0, encoder: Encoder = "gray", skips: bool = False) -> None:
        super().__init__({"width": width, "encoder": encoder, "skips": skips})
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 16:
            raise ValueError(f"width is a number above 0, at most 16, not {width!r}")
        if encoder not in get_args(Encoder):
            raise ValueError(f"encoder is 'gray' or 'rgb', not {encoder!r}")
        if not isinstance(skips, bool):
            raise ValueError(f"skips is true or false, not {skips!r}")
        widths = [max(_LEAST_CHANNELS, round(channels * width)) for channels, _ in _BLOCKS]
        depths = [convolutions for _, convolutions in _BLOCKS]
        entering = [_FRAMES if encoder == "gray" else 3 * _FRAMES, *widths[:-1]]
        self.encoder = torch.nn.ModuleList(map(_block, entering, widths, depths))
        from_skips = [own if skips else 0 for own in widths[:-1]]
        rising = [above + own for above, own in zip(widths[1:], from_skips, strict=True)]
        self.decoder = torch.nn.ModuleList(map(_block, [*rising, widths[-1]], widths, depths))
        self.head = torch.nn.Conv2d(widths[0], _FRAMES, 1)
        self._luma_only = encoder == "gray"
        self._skips = skips

    def forward(self, frames: torch.Tensor) -> Fusion:
        """Fuse (B, 2, 3, H, W), dark frame first, H and W at least 1.

        Raises:
            ValueError: The stacks are of another shape.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"stacks are (B, K, 3, H, W), not {tuple(frames.shape)}")
        self.check_count(frames.shape[1])
        height, width = frames.shape[3:]
        x = (luma(frames) if self._luma_only else frames).flatten(1, 2)
        x = functional.pad(x, (0, -width % self.align_px, 0, -height % self.align_px), "replicate")
        scores = self.head(self._features(x))[:, :, :height, :width]
        # Outside of autocast: sums of weights and pictures keep the frames' precision.
        weights = scores.to(frames.dtype).softmax(1).unsqueeze(2)
        return Fusion((weights * frames).sum(1).clamp(0, 1), weights)

    @property
    def halo_px(self) -> int:
        """How far a pixel of the fusion looks, in pixels."""
        seen = {pixel: _seen(pixel) for pixel in range(self.align_px)}
        return max(max(pixel - first, last - pixel) for pixel, (first, last) in seen.items())

    def prepare(self, stack: StackPixels) -> None:
        """Nothing is global; a stack or a state that cannot be fused is refused.

        Raises:
            ValueError: The stack is no pair, or the network is in training mode, where batch
                statistics would differ from tile to tile.
        """
        self.check_count(stack.count)
        if self.training:
            raise ValueError(f"{self.name} is in training mode; call eval() before fusing")

    def fuse_tile(self, tile: Tile, context: None) -> torch.Tensor:
        """(3, h, w) in 0..1."""
        fused: torch.Tensor = self(tile.pixels.unsqueeze(0)).fused
        return fused[0]

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        finer: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            if level:
                finer.append(x)
                x = functional.max_pool2d(x, 2)
            x = block(x)
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](x)
            if level:
                x = functional.interpolate(x, scale_factor=2, mode="bilinear")
                if self._skips:
                    x = torch.cat([x, finer[level - 1]], 1)
        return x


def _block(entering: int, leaving: int, convolutions: int) -> torch.nn.Sequential:
    """Some 3x3 convolutions in a row, each normalised and rectified."""
    layers: list[torch.nn.Module] = []
    for channels in (entering, *[leaving] * (convolutions - 1)):
        layers.append(torch.nn.Conv2d(channels, leaving, 3, padding=1))
        layers.append(torch.nn.BatchNorm2d(leaving))
        layers.append(torch.nn.ReLU(inplace=True))
    return torch.nn.Sequential(*layers)


def _seen(pixel: int) -> tuple[int, int]:
    """First and last input pixel along one axis that an output pixel depends on."""
    first = last = pixel
    *upper, (_, depth) = _BLOCKS
    for _, convolutions in upper:
        first, last = first - convolutions, last + convolutions
        first, last = (first - 1) // 2, (last + 1) // 2  # bilinear, from the next coarser level
    first, last = first - 2 * depth, last + 2 * depth  # the last blocks of both
    for _, convolutions in reversed(upper):
        first, last = 2 * first - convolutions, 2 * last + 1 + convolutions
    return first, last
