# SPDX-License-Identifier: Apache-2.0
"""Perceptual loss: radiance compared by what a network trained on photographs sees in it.

Features of VGG19 (K. Simonyan and A. Zisserman, ICLR 2015) after relu3_2, relu4_2 and relu5_2 of
the mu-law, as FlexHDR and SelfHDR use them. The weights are somebody else's and large: they come
from a file that the user names, and nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from model.losses.hdr import compressed

__all__ = ["LEAST_PX", "VggLoss"]

LEAST_PX = 16
"""Least side of a patch: it is halved four times."""

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 2))  # channels and convolutions
_COMPARED = {(2, 1): 0.25, (3, 1): 0.25, (4, 1): 0.5}  # block and convolution -> how much it counts
_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, which the weights expect
_DEVIATION = (0.229, 0.224, 0.225)
_CURE = (
    "name a file with torchvision's VGG19 weights, .safetensors or .pth (features.0.weight and so "
    "on), or leave the perceptual term out (perceptual = 0)"
)


class VggLoss(nn.Module):
    """Weighted mean absolute difference of features; its weights are fixed and not part of any
    checkpoint.

    Args:
        path: A file of VGG19's weights, safetensors or a PyTorch state that holds tensors alone.

    Raises:
        ValueError: There is no such file, or it holds something else.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        state = _read(path)
        self._names: list[list[str]] = []
        entering, index = 3, 0
        for width, count in _BLOCKS:
            names = []
            for _ in range(count):
                names.append(f"conv{index}")
                for part, shape in (("weight", (width, entering, 3, 3)), ("bias", (width,))):
                    value = _part(state, f"features.{index}.{part}", shape, path)
                    # Buffers, not parameters: they move with the network and are never trained.
                    self.register_buffer(f"conv{index}_{part}", value, persistent=False)
                entering, index = width, index + 2  # a rectifier stands between
            index += 1  # and a pooling
            self._names.append(names)
        for name, numbers in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(numbers)[:, None, None], persistent=False)

    def forward(self, radiance: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compare (B, 3, H, W), linear in 0..1; gradients flow to the first.

        Raises:
            ValueError: The pictures are too small.
        """
        if min(radiance.shape[-2:]) < LEAST_PX:
            raise ValueError(f"the perceptual loss needs {LEAST_PX} px at least")
        ours = self._features(radiance)
        with torch.no_grad():
            theirs = self._features(label)
        terms = [
            weight * (one - two).abs().mean()
            for weight, one, two in zip(_COMPARED.values(), ours, theirs, strict=True)
        ]
        return torch.stack(terms).sum()

    def _features(self, radiance: torch.Tensor) -> list[torch.Tensor]:
        x = compressed(radiance) - self.get_buffer("mean")
        x = x / self.get_buffer("deviation")
        found = []
        for block, names in enumerate(self._names):
            if block:
                x = functional.max_pool2d(x, 2)
            for place, name in enumerate(names):
                weight, bias = (self.get_buffer(f"{name}_{part}") for part in ("weight", "bias"))
                x = functional.conv2d(x, weight, bias, padding=1).relu()
                if (block, place) in _COMPARED:
                    found.append(x)
        return found


def _read(path: str) -> Mapping[str, torch.Tensor]:
    if not path:
        raise ValueError(f"the perceptual term needs the weights of VGG19 (vgg_weights): {_CURE}")
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path} (vgg_weights): {_CURE}")
    # An objective may be built on the meta device, to be looked at; files are read all the same.
    with torch.device("cpu"):
        try:
            if path.endswith(".safetensors"):
                return safetensors.torch.load_file(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in any way it likes
            raise ValueError(
                f"{path} (vgg_weights) cannot be read ({str(error)[:100]}): {_CURE}"
            ) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} (vgg_weights) holds no weights: {_CURE}")
    return state


def _part(
    state: Mapping[str, torch.Tensor], name: str, shape: tuple[int, ...], path: str
) -> torch.Tensor:
    value = state.get(name)
    if not isinstance(value, torch.Tensor) or tuple(value.shape) != shape:
        raise ValueError(f"{path} (vgg_weights) has no {name} of {shape}: {_CURE}")
    return value.detach().float()
