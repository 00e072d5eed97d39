# SPDX-License-Identifier: Apache-2.0
"""How the loops are compiled, and where the machine code is kept.

Numba keeps it beside the source or in the user's cache folder, and looks only at the file of the
function itself when it asks whether that is still good. What is kept here is therefore made to
depend on all the files of this folder: they are hashed into a number that the kept functions hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba

__all__ = ["compiled", "kept", "revision_of"]

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": True,
    "error_model": "numpy",
    "boundscheck": False,
}


def compiled(function: Callable[..., Any]) -> Any:
    """A part of a kept function, compiled along with it."""
    return numba.njit(**_OPTIONS)(function)


def kept(make: Callable[[int], Callable[..., Any]]) -> Any:
    """A function that is compiled on its first call, once on a machine.

    Args:
        make: gives the function, which has to do nothing if the number is zero: so it holds it.
    """
    function = make(revision_of(sorted(Path(__file__).parent.glob("*.py"))))
    function.__doc__ = make.__doc__
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # there is no folder that it could be kept in
        return compiled(function)


def revision_of(sources: Iterable[Path]) -> int:
    """A number, not zero, that stands for what these files hold."""
    together = b"".join(hashlib.sha256(source.read_bytes()).digest() for source in sources)
    return int.from_bytes(hashlib.sha256(together).digest()[:7], "big") | 1
