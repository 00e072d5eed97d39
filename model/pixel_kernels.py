# SPDX-License-Identifier: Apache-2.0
"""Compiled loops between photographs, (H, W, 3) integers, and planes of float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from model.metrics.kernels.compiling import kept

__all__ = ["planes_rows"]

F32 = np.float32


@kept
def planes_rows(revision: int) -> Any:
    """Rows of (H, W, 3) integers, times ``scale``, into (3, H, W)."""

    def run(pixels: Any, scale: Any, out: Any, start: int, stop: int) -> None:
        if revision:
            for y in range(start, stop):
                row, red, green, blue = pixels[y], out[0, y], out[1, y], out[2, y]
                for x in range(row.shape[0]):
                    red[x] = F32(row[x, 0]) * scale
                    green[x] = F32(row[x, 1]) * scale
                    blue[x] = F32(row[x, 2]) * scale

    return run
