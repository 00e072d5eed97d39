# SPDX-License-Identifier: Apache-2.0
"""Values as the cells of a CSV file that somebody opens in a spreadsheet.

A file's name must not become a formula there: text that begins like one gets an apostrophe in
front.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

__all__ = ["csv_cell"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: Any) -> str:
    """A value as text: lists of texts a line each, other lists and maps as JSON, none as empty."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = "\n".join(value)
    elif isinstance(value, list | dict):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
