# SPDX-License-Identifier: Apache-2.0
"""Small networks that make radiance, as if they were trained, and stacks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from model.afunet import AfuNet
from model.ahdrnet import AhdrNet
from model.flexhdr import FlexHdr
from model.hdr_network import HdrNetwork
from model.radiance import encode
from model.usme import Usme

__all__ = ["BUILDS", "Build", "afunet", "ahdrnet", "flexhdr", "seeded", "stacks", "usme"]

Build = Callable[..., HdrNetwork]


def flexhdr(**options: Any) -> FlexHdr:
    made = FlexHdr(
        **{"width": 6, "growth": 3, "layers": 3, "iterations": 4, "reach_px": 16} | options
    )
    if made.flow is not None:  # as if it were trained: it begins with no motion at all
        torch.nn.init.normal_(made.flow.last.weight, std=0.3)
    return made


def afunet(**options: Any) -> AfuNet:
    made = AfuNet(**{"width": 4, "stages": 2, "depth": 2} | options)
    for name, parameter in made.named_parameters():  # likewise: it begins with no attention at all
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5 if name.endswith("attention.bias") else 0.12)
    return made


def ahdrnet(**options: Any) -> AhdrNet:
    return AhdrNet(**{"width": 6, "growth": 3, "layers": 5} | options)


def usme(**options: Any) -> Usme:
    made = Usme(**{"width": 4, "light_width": 4, "hidden": 6} | options)
    for parameter in made.parameters():
        if parameter.ndim > 1:  # likewise: light and ratio begin with next to no say
            torch.nn.init.normal_(parameter, std=0.15)
    return made


BUILDS: tuple[Build, ...] = (flexhdr, afunet, ahdrnet, usme)


def seeded(build: Build, seed: int = 0, **options: Any) -> HdrNetwork:
    torch.manual_seed(seed)
    return build(**options).eval()


def stacks(
    batch: int, count: int, height: int, width: int, *, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Exposures of smooth scenes, clipped at both ends, and their times in s."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 5, 7, generator=generator)
    scene = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").relu()
    times = 0.02 * torch.logspace(-2, 2, count, base=2).expand(batch, -1)
    return encode(scene.unsqueeze(1) * (times / 0.02)[..., None, None, None]), times
