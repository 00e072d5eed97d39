# SPDX-License-Identifier: Apache-2.0
"""TOML files that ship, by name, and people's own, by path: recipes and studies."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any, Literal

from pipeline import storage
from pipeline.errors import BracketflowError, UsageError
from pipeline.strict import did_you_mean

__all__ = ["Kind", "packaged_names", "read_toml"]

Kind = Literal["recipe", "study"]

_FOLDERS: dict[Kind, str] = {"recipe": "recipes", "study": "studies"}
_MAX_BYTES = 1 << 20


def packaged_names(kind: Kind) -> tuple[str, ...]:
    """Those that ship, sorted."""
    files = (file.name for file in _folder(kind).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def read_toml(kind: Kind, name_or_path: str) -> tuple[str, dict[str, Any]]:
    """Where a file is, and its table; ``name`` is the file's own unless the table says another.

    Args:
        name_or_path: name of one that ships, or a path or URI that ends in ``.toml``.

    Raises:
        UsageError: ``recipe-invalid`` or ``study-invalid``; there is none, or it is no TOML.
    """
    where, text = _read(kind, name_or_path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{kind}-invalid", f"{where} is no valid TOML: {error}.") from error
    stem = where.replace("\\", "/").rpartition("/")[2].removesuffix(".toml")
    return where, {"name": stem} | table


def _read(kind: Kind, name_or_path: str) -> tuple[str, str]:
    names = packaged_names(kind)
    if name_or_path in names:
        file = _folder(kind).joinpath(f"{name_or_path}.toml")
        return f"{name_or_path}.toml", file.read_text("utf-8")
    if not name_or_path.endswith(".toml"):
        raise UsageError(
            f"{kind}-invalid",
            f"There is no {kind} {name_or_path!r}{did_you_mean(name_or_path, names)}; choose one "
            f"of {', '.join(names)}, or a file that ends in .toml.",
        )
    uri = storage.absolute(name_or_path)
    try:
        with storage.open_read(uri) as handle:
            return uri, handle.read(_MAX_BYTES).decode("utf-8")
    except (BracketflowError, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{kind}-invalid", f"The {kind} {uri} cannot be read: {error} Check the path."
        ) from error


def _folder(kind: Kind) -> Any:
    return resources.files("pipeline").joinpath(_FOLDERS[kind])
