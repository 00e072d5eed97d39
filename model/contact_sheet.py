# SPDX-License-Identifier: Apache-2.0
"""Pictures side by side, to look at what a network does."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["contact_sheet", "lightness"]

_GAP_PX = 6
_GROUND = 0.12  # dark, so that it disturbs neither shadows nor whites


def contact_sheet(rows: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """One picture of many: (3, H, W) float32 on the CPU, rows below each other.

    Args:
        rows: Pictures (3, h, w) or (1, h, w), all of one size, in 0..1; rows may differ in length.

    Raises:
        ValueError: There are no pictures, or they differ in size.
    """
    sizes = {tuple(picture.shape[1:]) for row in rows for picture in row}
    if len(sizes) != 1:
        raise ValueError(f"a contact sheet needs pictures of one size, not {sorted(sizes)}")
    ((height, width),) = sizes
    columns = max(len(row) for row in rows)
    step_y, step_x = height + _GAP_PX, width + _GAP_PX
    sheet = torch.full((3, len(rows) * step_y + _GAP_PX, columns * step_x + _GAP_PX), _GROUND)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * step_y + _GAP_PX, x * step_x + _GAP_PX
            shown = picture.detach().float().clamp(0, 1).cpu()
            sheet[:, top : top + height, left : left + width] = shown
    return sheet


def lightness(share: torch.Tensor) -> torch.Tensor:
    """Shares 0..1 as greys (sRGB, 0..1) whose CIE lightness L* is 100 times the share.

    Equal steps look equal, and one half looks half as light as white.
    """
    # CIE 15: L* to relative luminance; then the curve of IEC 61966-2-1.
    raised = (share + 0.16) / 1.16
    luminance = torch.where(share > 0.08, raised**3, share / 9.033)
    curve = 1.055 * luminance.clamp(min=1e-9) ** (1 / 2.4) - 0.055
    return torch.where(luminance <= 0.0031308, 12.92 * luminance, curve)
