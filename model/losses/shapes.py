# SPDX-License-Identifier: Apache-2.0
"""What every loss asks of the pictures that it compares."""

from __future__ import annotations

import torch

__all__ = ["check_shapes"]


def check_shapes(
    fused: torch.Tensor, frames: torch.Tensor, *, channels: int, least_px: int
) -> None:
    """Refuse a fusion that does not belong to its frames.

    Args:
        fused: Must be (B, channels, H, W).
        frames: Must be (B, K, H, W), or (B, K, channels, H, W) if channels > 1; K >= 2.
        least_px: Least H and W.

    Raises:
        ValueError: A shape differs; the message names both.
    """
    shape = tuple(fused.shape)
    colour = (channels,) if channels > 1 else ()
    fits = fused.ndim == 4 and shape[1] == channels and frames.ndim == 4 + len(colour)
    if not fits or tuple(frames.shape) != (shape[0], frames.shape[1], *colour, *shape[2:]):
        wanted = ", ".join(["B", "K", *map(str, colour), "H", "W"])
        raise ValueError(
            f"a fusion is (B, {channels}, H, W) and its frames are ({wanted}), "
            f"not {shape} and {tuple(frames.shape)}"
        )
    if frames.shape[1] < 2:
        raise ValueError(f"a stack has at least two frames, not {frames.shape[1]}")
    if min(shape[2:]) < least_px:
        raise ValueError(f"pictures need {least_px} px at least, not {shape[2]} x {shape[3]}")
