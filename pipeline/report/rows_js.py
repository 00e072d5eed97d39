# SPDX-License-Identifier: Apache-2.0
"""The rows of a page as scripts: what a browser loads from a disk without asking a server.

A table of few figures of each bracket comes at once; all else lies in files of 250 brackets each,
which the panel of a bracket loads when it is opened. Everything is JSON of ASCII letters.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.archive.lists import ID
from pipeline.errors import CODES
from pipeline.images.previews import strip_frames
from pipeline.report.figures import STEPS
from pipeline.report.gathering import Gathered
from pipeline.report.schema import COLUMNS, Row
from pipeline.verifying.tree import is_inside

__all__ = [
    "CHUNK",
    "OTHER",
    "PICTURES",
    "details_scripts",
    "first_path",
    "pictures_of",
    "rows_script",
]

CHUNK = 250
"""Brackets in a file of details."""
PICTURES = {"preview": 1, "map": 2, "strip": 4, "weights": 8}
"""The small pictures of a bracket, each a bit of a number."""
OTHER = 16
"""The same of the report that is compared with: its preview."""

_WORDS = ("folder", "status", "code", "camera", "model")
_HIDDEN = frozenset(
    {
        "bracket_id",
        "key",
        "timeless_key",
        "kind",
        "status",
        "superseded_by",
        "frame_uris",
        "frame_paths",
        "frame_sha256s",
        "exposure_times_s",
        "evs",
        "align_transforms",
        "settings_sha256",
        "result_uri",
        "display_uri",
        "display_sha256",
        "reference_sha256",
        "versions",
        *(f"{name}_uri" for name in PICTURES),
    }
)
"""Columns that a panel does not show, or shows in another form."""
_SHOWN = tuple(column for column in COLUMNS if column.name not in _HIDDEN)


def first_path(row: Row) -> str:
    """The path of the first frame by name, which a bracket goes by."""
    return str(min(row["frame_paths"] or [row["bracket_id"] or ""]))


def pictures_of(row: Row) -> int:
    """Which small pictures a row speaks of, as a sum of :data:`PICTURES`."""
    if not ID.fullmatch(row["bracket_id"] or ""):
        return 0
    return sum(bit for name, bit in PICTURES.items() if row[f"{name}_uri"] is not None)


def rows_script(
    gathered: Gathered, pictures: Sequence[int], places: Mapping[str, str | None]
) -> bytes:
    """The script with the table.

    Args:
        gathered: what the page shows.
        pictures: of each row, which small pictures the page can show.
        places: ``made``, ``previews``, ``results`` and ``otherPreviews``: where things lie as seen
            from the page, None where they cannot be reached from there.
    """
    words: dict[str, dict[str, int]] = {name: {} for name in _WORDS}
    figures, comparison = gathered.figures, gathered.comparison
    rows: list[list[Any]] = []
    fields: list[str] = []
    for row, place, shown in zip(gathered.rows, gathered.places.tolist(), pictures, strict=True):
        folder, name = posixpath.split(first_path(row))
        texts = (folder, row["status"], row["error_code"], row["camera"], row["model"])
        numbers = {
            key: -1 if text is None else words[key].setdefault(text, len(words[key]))
            for key, text in zip(_WORDS, texts, strict=True)
        }
        score = _finite(float(figures.score[place]))
        other = None if comparison is None else _finite(float(comparison.other[place]))
        values = {
            "id": row["bracket_id"],
            "name": name,
            **numbers,
            "frames": row["frame_count"],
            "range": _short(_finite(float(figures.range_ev[place]))),
            "score": _short(score),
            "color": _short(row["color_8x8_adaptive_lum"]),
            "psnr": _short(row["psnr_db"] if row["psnr_db"] is not None else row["psnr_mu_db"]),
            "seconds": _short(_seconds(row)),
            "pictures": shown,
            "width": row["width"],
            "height": row["height"],
            "delta": None if score is None or other is None else _short(score - other),
            "note": "\n".join(row["notes"] or [])[:300] or None,
        }
        fields = fields or list(values)
        rows.append(list(values.values()))
    content = {
        **places,
        "chunk": CHUNK,
        "other": None if comparison is None else comparison.label,
        "columns": [{"name": c.name, "unit": c.unit, "meaning": c.meaning} for c in _SHOWN],
        "codes": {code: CODES[code] for code in words["code"] if code in CODES},
        "words": {name: list(known) for name, known in words.items()},
        "fields": fields,
        "rows": rows,
    }
    return b"window.bracketflow=" + _json(content) + b";\n"


def details_scripts(rows: Sequence[Row]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the scripts with the details of the rows, in their order."""
    for number, start in enumerate(range(0, len(rows), CHUNK)):
        records = [_details(row) for row in rows[start : start + CHUNK]]
        script = b"bracketflow.details(%d,%s);\n" % (number, _json(records))
        yield f"details-{number:04d}.js", script


def _details(row: Row) -> dict[str, Any]:
    paths = row["frame_paths"] or []
    folder = f"{posixpath.dirname(first_path(row))}/"
    unknown = [None] * len(paths)
    times, evs = row["exposure_times_s"] or unknown, row["evs"] or unknown
    record: dict[str, Any] = {
        "frames": [
            {"name": path.removeprefix(folder)}
            | {key: _plain(one) for key, one in (("time", time), ("ev", ev)) if one is not None}
            for path, time, ev in zip(paths, times, evs, strict=False)
        ]
    }
    shown = strip_frames(len(paths))
    if len(shown) < len(paths):
        record["shown"] = shown
    for column in _SHOWN:
        value = row[column.name]
        if value is not None and value != []:
            record[column.name] = _plain(value)
    for name in ("result_path", "display_path"):
        if row[name] is not None and is_inside(row[name]):
            record[f"{name}_inside"] = 1
    return record


def _seconds(row: Row) -> float | None:
    known = [row[f"seconds_{step}"] for step in STEPS]
    return sum(one for one in known if one is not None) if any(known) else None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, float):
        return _short(_finite(value))
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _short(value: float | None) -> float | None:
    """Six digits, or all of a whole number: no eye sees more, and a page of thousands is large."""
    if value is None or not math.isfinite(value):
        return None
    return value if value == int(value) else float(f"{value:.6g}")


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
