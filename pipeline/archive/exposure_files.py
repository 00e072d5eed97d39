# SPDX-License-Identifier: Apache-2.0
"""Exposures that stand in a file beside the frames rather than in EXIF.

Known forms: one number a frame, in the order of the sorted names (``exposure.txt``,
``exposures.txt``, ``input_exp.txt``, ``exposures.npy``); two rows, 1/t and relative EV
(``ev.txt``); a table of names and 1/t (``image_list.txt`` of the Debevec sets).
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.listing import FileInfo
from pipeline.small_arrays import numbers_in
from pipeline.storage import open_read

__all__ = ["EXPOSURE_FILES", "Exposures", "parse_exposures", "read_exposures"]

EXPOSURE_FILES = (
    "exposure.txt",
    "exposures.txt",
    "input_exp.txt",
    "exposures.npy",
    "ev.txt",
    "image_list.txt",
)
"""Names that are looked for, lower case, best first."""

_MAX_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Exposures:
    """Exposure of each frame: ``evs`` in stops and ``times_s`` in seconds, both (K,).

    Where the file gives EVs only, times are 2^EV: right up to a common factor.
    """

    evs: tuple[float, ...]
    times_s: tuple[float, ...]


def read_exposures(file: FileInfo, names: Sequence[str]) -> Exposures | None:
    """The exposures that a file gives to the frames ``names``, in that order; None if it does not.

    A file that is too large, is listed with an error or has the wrong number of entries gives none.
    Arrays are read without pickle.

    Raises:
        PhotoError: it cannot be read.
    """
    if file.size_bytes > _MAX_BYTES or file.error_code is not None:
        return None
    with open_read(file.uri) as handle:
        data = handle.read(_MAX_BYTES + 1)
    if file.path.lower().endswith(".npy"):
        try:
            values = numbers_in(data)
        except ValueError:
            return None
        text = "\n".join(str(value) for value in values)
    else:
        text = data.decode("utf-8", "replace")
    return parse_exposures(text, names)


def parse_exposures(text: str, names: Sequence[str]) -> Exposures | None:
    """The exposures in a text, for frames in the order of ``names``; None where it does not fit."""
    text = text.replace("\ufeff", "")
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    rows = [re.split(r"[\s,;]+", line.strip(",; ")) for line in lines if line]
    table = _table(rows, names, header=text.partition("\n")[0])
    if table is not None:
        return table
    numbers = [[_number(cell) for cell in row] for row in rows]
    if any(number is None for row in numbers for number in row):
        return None
    known = [[number for number in row if number is not None] for row in numbers]
    if len(known) == 2 and len(known[0]) == len(known[1]) == len(names) > 1:
        # ev.txt: a row of 1/t above a row of stops.
        return _from_times([1.0 / rate for rate in known[0]]) if min(known[0]) > 0 else None
    flat = [number for row in known for number in row]
    if len(flat) != len(names) or not flat:
        return None
    tiff_names = all(name.lower().endswith(".tiff") for name in names)
    if min(flat) > 0 and (tiff_names or _geometric(flat)):
        return _from_times(flat)
    return _from_evs(flat)


def _table(rows: Sequence[Sequence[str]], names: Sequence[str], header: str) -> Exposures | None:
    """Rows of file name and 1/t, or t if the header calls the first column exposure.

    The table may list more files than there are.
    """
    cells = {row[0].casefold(): _number(row[1]) for row in rows if len(row) > 1}
    found = [cells.get(posixpath.basename(name).casefold()) for name in names]
    numbers = [number for number in found if number is not None and number > 0]
    if not names or len(numbers) < len(names):
        return None
    titles = header.lstrip("# ").casefold().split()
    if titles[1:2] == ["exposure"]:
        return _from_times(numbers)
    return _from_times([1.0 / number for number in numbers])


def _geometric(values: Sequence[float]) -> bool:
    """Whether positive numbers look like times (equal ratios) rather than stops (equal steps)."""
    if len(values) < 3:
        return max(values) < 1.0  # two numbers: stops start at 0 or are whole
    steps = [b - a for a, b in pairwise(values)]
    ratios = [math.log2(b) - math.log2(a) for a, b in pairwise(values)]

    def unevenness(parts: Sequence[float]) -> float:
        mean = sum(parts) / len(parts)
        return (max(parts) - min(parts)) / abs(mean) if mean else math.inf

    return unevenness(ratios) < unevenness(steps)


def _from_times(times: Sequence[float]) -> Exposures | None:
    if not all(1e-7 <= time <= 1e6 for time in times):
        return None
    return Exposures(evs=tuple(math.log2(time) for time in times), times_s=tuple(times))


def _from_evs(evs: Sequence[float]) -> Exposures | None:
    if not all(abs(ev) <= 30 for ev in evs):
        return None
    return Exposures(evs=tuple(evs), times_s=tuple(2.0**ev for ev in evs))


def _number(cell: str) -> float | None:
    """A finite number, also written as a fraction (``1/60``)."""
    above, slash, below = cell.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None
