# SPDX-License-Identifier: Apache-2.0
"""Every network that can be trained, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.afunet import AfuNet
from model.ahdrnet import AhdrNet
from model.flexhdr import FlexHdr
from model.fusion_network import FusionNetwork
from model.named import build_named
from model.ufm import Ufm
from model.ufm_k import UfmK
from model.usme import Usme, Usme3

__all__ = ["NETWORKS", "build_network"]

NETWORKS: dict[str, type[FusionNetwork]] = {
    "ufm": Ufm,
    "ufm_k": UfmK,
    "flexhdr": FlexHdr,
    "afunet": AfuNet,
    "ahdrnet": AhdrNet,
    "usme": Usme,
    "usme3": Usme3,
}


def build_network(name: str, options: Mapping[str, Any]) -> FusionNetwork:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        options: Keyword arguments of the network's class.

    Raises:
        ValueError: There is no such network or option, or an option has an impossible value.
    """
    return build_named("network", NETWORKS, name, options)
