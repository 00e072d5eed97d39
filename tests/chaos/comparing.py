# SPDX-License-Identifier: Apache-2.0
"""What must be equal after any number of crashes: the tree of results, and the report as read."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.ledger import read_report

__all__ = ["Snapshot", "differences", "snapshot"]

# Who made a row, when, and how long it took.
_OF_THE_RUN = ("run_id", "worker", "finished_at")

Snapshot = dict[str, Any]


def snapshot(source: Path, destination: Path) -> Snapshot:
    """Every file of the destination's work by its hash, every row by its bracket."""
    places = {str(source): "SOURCE", str(destination): "DESTINATION"}
    found: Snapshot = {}
    for folder in ("results", "previews", "patches", "split.parquet"):
        place = destination / folder
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            # What a killed process left half-written is no result; `verify` clears it away.
            if path.is_file() and not path.name.startswith(".bracketflow-"):
                name = path.relative_to(destination).as_posix()
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = read_report(str(destination)).to_pylist()
    ids = Counter(row["bracket_id"] for row in rows)
    found["doubled rows"] = [name for name, times in ids.items() if times > 1]
    for row in rows:
        found[f"row {row['bracket_id']}"] = {
            column: _anywhere(value, places)
            for column, value in row.items()
            if column not in _OF_THE_RUN and not column.startswith("seconds_")
        }
    return found


def _anywhere(value: Any, places: dict[str, str]) -> Any:
    """The value as it would be if the folders were called otherwise."""
    if isinstance(value, list):
        return [_anywhere(item, places) for item in value]
    if isinstance(value, str):
        for place, name in places.items():
            value = value.replace(place, name)
    return value


def differences(expected: Snapshot, found: Snapshot) -> list[str]:
    """What is lost, too much or changed, one line each; nothing if all is equal."""
    lines = [f"lost: {name}" for name in expected.keys() - found.keys()]
    lines += [f"too much: {name}" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if expected[name] == found[name]:
            continue
        if not isinstance(expected[name], dict):
            lines.append(f"differs: {name}: {expected[name]} / {found[name]}")
            continue
        lines += [
            f"differs: {name}.{column}: {value!r} / {found[name].get(column)!r}"
            for column, value in expected[name].items()
            if found[name].get(column) != value
        ]
    return sorted(lines)
