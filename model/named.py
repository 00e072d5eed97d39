# SPDX-License-Identifier: Apache-2.0
"""Building one of several classes by its name and a table of keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

__all__ = ["build_named"]

T = TypeVar("T")


def build_named(
    what: str, classes: Mapping[str, Callable[..., T]], name: str, options: Mapping[str, Any]
) -> T:
    """``classes[name](**options)``, with errors that people can act on.

    Args:
        what: how a message calls such a thing.

    Raises:
        ValueError: There is no such name or option, or an option has an impossible value.
    """
    if name not in classes:
        raise ValueError(f"there is no {what} {name!r}; choose one of: {', '.join(classes)}")
    allowed = inspect.signature(classes[name]).parameters
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"{what} {name!r} has no option {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(allowed)}"
        )
    return classes[name](**options)
