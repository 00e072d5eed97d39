# SPDX-License-Identifier: Apache-2.0
"""Weights that ship: safetensors in half precision, with what is needed to build their network.

The file's metadata holds ``network`` and ``options`` (JSON) for
:func:`model.networks.build_network`, and whatever else its maker wrote down. No pickle anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import safetensors
import safetensors.torch
import torch

__all__ = ["pack_weights", "packaged_weights", "unpack_weights"]

_SIZE_BYTES = 8  # little endian, of the JSON header that follows
_ALIGN_BYTES = 8
_METADATA = "__metadata__"


def pack_weights(state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a weights file.

    Floating-point tensors are stored in float16, or float32 where they would overflow; integers,
    such as the counters of batch normalisation, as they are. The same weights give the same bytes.

    Args:
        state: a network's state, of any device.
        metadata: text for text.
    """
    data = safetensors.torch.save({name: _stored(v) for name, v in state.items()}, dict(metadata))
    # The library writes metadata in random order.
    header, numbers = _header(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % _ALIGN_BYTES)
    return len(text).to_bytes(_SIZE_BYTES, "little") + text + numbers


def unpack_weights(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The state, floating-point tensors in float32 on the CPU, and the metadata.

    Raises:
        ValueError: the content is damaged or no weights file.
    """
    try:
        state = safetensors.torch.load(data)
        header, _ = _header(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"this is no whole safetensors file: {error}") from error
    floats = {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }
    return floats, header.get(_METADATA, {})


def packaged_weights(name: str) -> bytes:
    """The content of a weights file that ships.

    Raises:
        FileNotFoundError: there is none of that name; the message lists those that there are.
    """
    folder = resources.files("model").joinpath("weights")
    file = folder.joinpath(f"{name}.safetensors")
    if not re.fullmatch(r"\w[\w.-]*", name) or not file.is_file():
        suffix = ".safetensors"
        names = sorted(
            entry.name.removesuffix(suffix)
            for entry in folder.iterdir()
            if entry.name.endswith(suffix)
        )
        raise FileNotFoundError(
            f"there are no packaged weights {name!r}; there are: {', '.join(names) or 'none yet'}"
        )
    return file.read_bytes()


def _header(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and what follows it."""
    end = _SIZE_BYTES + int.from_bytes(data[:_SIZE_BYTES], "little")
    return json.loads(data[_SIZE_BYTES:end]), data[end:]


def _stored(value: torch.Tensor) -> torch.Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    half = value.half()
    # Running variances can be larger than the 65,504 that float16 reaches.
    return half if torch.equal(half.isfinite(), value.isfinite()) else value.float()
