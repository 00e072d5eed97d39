# SPDX-License-Identifier: Apache-2.0
"""Durations and sizes as people type them: ``90s``, ``10m``, ``2h``; ``800MB``, ``8GiB``."""

from __future__ import annotations

import re

from pipeline.errors import UsageError

__all__ = ["parse_bytes", "parse_seconds"]

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "b": 1} | {
    letter + ending: base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("", 1024), ("ib", 1024), ("b", 1000))
}
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-z]*)", re.ASCII)


def parse_seconds(option: str, text: str) -> float:
    """A duration in seconds: ``90``, ``90s``, ``10m``, ``2h``, ``1d``.

    Args:
        option: the option it was given to, for the message.
        text: what was typed.

    Raises:
        UsageError: ``option-invalid``.
    """
    return _parse(option, text, _SECONDS, "a duration such as 90s, 10m or 2h")


def parse_bytes(option: str, text: str) -> int:
    """A size in bytes: ``8GiB`` or ``8G`` (1024), ``8GB`` (1000), or plain bytes.

    Args:
        option: the option it was given to, for the message.
        text: what was typed.

    Raises:
        UsageError: ``option-invalid``.
    """
    return int(_parse(option, text, _BYTES, "a size such as 800MB or 8GiB"))


def _parse(option: str, text: str, units: dict[str, int], example: str) -> float:
    match = _NUMBER.fullmatch(text.strip().lower())
    if match is None or match[2] not in units:
        raise UsageError("option-invalid", f"{option} {text!r} is not {example}.")
    return float(match[1]) * units[match[2]]
