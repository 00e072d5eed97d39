# SPDX-License-Identifier: Apache-2.0
"""Small NumPy files of anybody's making."""

from __future__ import annotations

import io

import numpy as np

__all__ = ["numbers_in"]

_MAGIC = b"\x93NUMPY"


def numbers_in(data: bytes) -> list[float]:
    """The numbers of a ``.npy`` file in C order; archives (``.npz``) and pickles are refused.

    Raises:
        ValueError: it is no such file, or promises more than it holds.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("no NumPy array")
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
        return [float(value) for value in values.ravel().astype(float)]
    except (ValueError, TypeError, EOFError, OSError, OverflowError, MemoryError) as error:
        raise ValueError(f"a damaged NumPy array ({error})") from error
