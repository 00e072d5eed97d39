# SPDX-License-Identifier: Apache-2.0
"""Tables (of a TOML file) into frozen dataclasses, strictly: no key is guessed or ignored."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union

from pipeline.errors import BracketflowError

__all__ = ["StrictError", "did_you_mean", "from_table"]

T = TypeVar("T")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class StrictError(ValueError):
    """A table does not fit; the message names the dotted key, what is wrong and what is allowed."""


def from_table(kind: type[T], table: Mapping[str, Any], *, path: str = "") -> T:
    """Make a dataclass of a table.

    Fields may be bool, int, float, str, a Literal, a tuple of fixed or any length, a dict with text
    keys (taken as it is), another dataclass (a table of its own), or one of these or None. A whole
    number will do for a float; a value alone stands for both ends of a pair; the text "none"
    stands for None, which TOML cannot write.

    Args:
        kind: the dataclass. Its ``__post_init__`` may refuse values with a ValueError or an error
            of ours whose text begins with the field's name.
        table: keys and values.
        path: dotted key of the table itself, for messages.

    Raises:
        StrictError: a key is unknown or missing, a value is of the wrong type or impossible.
    """
    if not isinstance(table, Mapping):
        raise StrictError(f"{path} must be a table, not {_shown(table)}")
    hints = typing.get_type_hints(kind)
    known = fields(kind)  # type: ignore[arg-type]
    allowed = [field.name for field in known]
    for key in table:
        if key not in allowed:
            raise StrictError(
                f"{_dotted(path, key)} is no known key{did_you_mean(str(key), allowed)}; "
                f"allowed: {', '.join(allowed)}"
            )
    for field in known:
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in table:
            raise StrictError(f"{_dotted(path, field.name)} is missing")
    values = {key: _value(hints[key], value, _dotted(path, key)) for key, value in table.items()}
    try:
        return kind(**values)
    except StrictError:
        raise
    except (ValueError, BracketflowError) as error:
        raise StrictError(_dotted(path, str(error))) from error


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """ " (did you mean ...?)" for the nearest allowed word, or nothing."""
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _value(hint: Any, value: Any, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None or (value == "none" and types.NoneType in arguments):
            return None
        (hint,) = (argument for argument in arguments if argument is not types.NoneType)
        return _value(hint, value, key)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            choices = ", ".join(map(str, arguments))
            raise StrictError(
                f"{key} {_shown(value)} is not one of {choices}"
                f"{did_you_mean(str(value), map(str, arguments))}"
            )
        return value
    if origin is tuple:
        return _tuple(arguments, value, key)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise StrictError(f"{key} must be a table, not {_shown(value)}")
        return dict(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return value if isinstance(value, hint) else from_table(hint, value, path=key)
    return _plain(hint, value, key)


def _tuple(kinds: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        if not isinstance(value, list | tuple):
            raise StrictError(f"{key} must be a list, not {_shown(value)}")
        return tuple(_value(kinds[0], item, key) for item in value)
    if len(kinds) == 2 and kinds[0] == kinds[1] and not isinstance(value, list | tuple):
        value = (value, value)
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        raise StrictError(f"{key} must be a list of {len(kinds)} values, not {_shown(value)}")
    return tuple(_value(kind, item, key) for kind, item in zip(kinds, value, strict=True))


def _plain(kind: type, value: Any, key: str) -> Any:
    # bool is an int to Python, but not to a person.
    if isinstance(value, bool) is (kind is bool):
        if kind is float and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
        if kind is not float and isinstance(value, kind):
            return value
    raise StrictError(f"{key} must be {_NAMES[kind]}, not {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)
