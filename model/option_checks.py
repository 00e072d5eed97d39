# SPDX-License-Identifier: Apache-2.0
"""Options as recipes and weights files give them: of the right type and within reason, or refused
with a sentence that says what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["amount", "choice", "flag", "whole"]

_MOST = 4096


def flag(name: str, value: object) -> bool:
    """``value`` if it is a truth value.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def whole(name: str, value: object, *, least: int = 1) -> int:
    """``value`` if it is a whole number from ``least`` to 4096.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError(f"{name} must be a whole number from {least} to {_MOST}, not {value!r}")
    return value


def amount(name: str, value: object) -> float:
    """``value`` if it is a finite number of at least 0.

    Raises:
        ValueError: It is something else.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < math.inf:  # type: ignore[arg-type]
        raise ValueError(f"{name} must be a number of at least 0, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """``value`` if it is one of the words allowed.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value
