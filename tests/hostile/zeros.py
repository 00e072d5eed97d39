# SPDX-License-Identifier: Apache-2.0
"""Much of nothing."""

from __future__ import annotations

import zlib

__all__ = ["deflated_zeros"]


def deflated_zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join([*parts, packer.flush()])
