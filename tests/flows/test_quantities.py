# SPDX-License-Identifier: Apache-2.0
"""Durations and sizes as people type them."""

from __future__ import annotations

import pytest

from flows.quantities import parse_bytes, parse_seconds
from pipeline.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("10 min", 600),
        ("2h", 7200),
        ("1d", 86400),
        (" 1.5H ", 5400),
    ],
)
def test_durations(text, seconds):
    assert parse_seconds("--settle", text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024", 1024),
        ("1b", 1),
        ("8GiB", 8 << 30),
        ("8G", 8 << 30),
        ("8gb", 8_000_000_000),
        ("1.5 MiB", 3 << 19),
        ("2T", 2 << 40),
    ],
)
def test_sizes(text, size):
    assert parse_bytes("--memory", text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1e9", "nan", "inf", "10 m s", "1..5", "٣m", "9" * 16, "10 parsecs"]
)
@pytest.mark.parametrize("parse", [parse_seconds, parse_bytes])
def test_what_is_neither_names_the_option(parse, text):
    with pytest.raises(UsageError, match=r"--it .* such as") as refused:
        parse("--it", text)
    assert refused.value.code == "option-invalid"
