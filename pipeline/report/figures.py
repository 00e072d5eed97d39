# SPDX-License-Identifier: Apache-2.0
"""The figures that a page draws: a few numbers of every row, in arrays.

About 60 bytes a row stay, whatever the rows hold; what is shown of them is worked out from whole
columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["FIGURE_COLUMNS", "STEPS", "Figures", "figures_of"]

STEPS = ("read", "align", "fuse", "score", "write")
"""What a visit to a bracket is made of, in order."""
FIGURE_COLUMNS = (
    "status",
    "error_code",
    "model",
    "camera",
    "run_id",
    "frame_count",
    "evs",
    "exposure_times_s",
    "source_width",
    "source_height",
    "mef_ssim",
    "mef_ssim_preview",
    *(f"seconds_{step}" for step in STEPS),
)

Floats = NDArray[np.float32]
_LEVELS = ("status", "error_code", "model", "camera", "run_id")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Columns over all rows; NaN where a row has no such figure.

    ``words`` are the texts of a column, ``levels`` numbers into them, -1 for none.
    ``score`` is MEF-SSIM, of a radiance that of its tone-mapped picture. ``range_ev`` is what lies
    between the darkest and the brightest frame, in stops. ``megapixels`` counts all frames of
    brackets that were fused. ``seconds`` has a row for each of :data:`STEPS`.
    """

    words: dict[str, list[str]]
    levels: dict[str, NDArray[np.int32]]
    score: NDArray[np.float64]
    range_ev: Floats
    megapixels: Floats
    seconds: Floats

    def __len__(self) -> int:
        return len(self.score)

    def has(self, column: str, word: str) -> NDArray[np.bool_]:
        """Mask of the rows that have this text in a column."""
        words = self.words[column]
        number = words.index(word) if word in words else -2
        return np.asarray(self.levels[column] == number)

    def counts(self, column: str) -> dict[str, int]:
        """How many rows have each text, the most frequent first."""
        there = self.levels[column][self.levels[column] >= 0]
        times = np.bincount(there, minlength=len(self.words[column])).tolist()
        return dict(Counter(dict(zip(self.words[column], times, strict=True))).most_common())

    def groups(self, column: str, most: int) -> list[tuple[str, NDArray[np.float64]]]:
        """Scores by the texts of a column, the largest groups first; the others as one.

        Args:
            column: ``model`` or ``camera``.
            most: groups, that of the others included.
        """
        scored = np.isfinite(self.score)
        levels, scores = self.levels[column][scored], self.score[scored]
        numbers, times = np.unique(levels, return_counts=True)
        order = numbers[np.argsort(-times, kind="stable")].tolist()
        names = [self.words[column][number] if number >= 0 else "unknown" for number in order]
        own = order if len(order) <= most else order[: most - 1]
        groups = [
            (name, scores[levels == number]) for name, number in zip(names, own, strict=False)
        ]
        if len(own) < len(order):
            rest = ~np.isin(levels, own)
            groups.append((f"{len(order) - len(own)} others", scores[rest]))
        return groups


def figures_of(tables: Iterable[pa.Table]) -> Figures:
    """The figures of all rows.

    Args:
        tables: with the columns of :data:`FIGURE_COLUMNS`.
    """
    words: dict[str, dict[str | None, int]] = {name: {} for name in _LEVELS}
    parts: list[dict[str, Any]] = []
    for table in tables:
        fused = np.asarray(pc.equal(table["status"], "fused").fill_null(False))
        part = {name: _levels(table[name], words[name]) for name in _LEVELS}
        score = _floats(table["mef_ssim"])
        part["score"] = np.where(np.isnan(score), _floats(table["mef_ssim_preview"]), score)
        times = _spread(table["exposure_times_s"], stops=True)
        evs = _spread(table["evs"], stops=False)
        part["range_ev"] = np.where(np.isnan(evs), times, evs).astype(np.float32)
        pixels = _floats(table["source_width"]) * _floats(table["source_height"])
        megapixels = pixels * _floats(table["frame_count"]) / 1e6
        part["megapixels"] = np.where(fused, megapixels, np.nan).astype(np.float32)
        part["seconds"] = np.stack(
            [_floats(table[f"seconds_{step}"]).astype(np.float32) for step in STEPS], 1
        )
        parts.append(part)
    levels = {
        name: np.concatenate([np.empty(0, np.int32), *(part[name] for part in parts)])
        for name in _LEVELS
    }
    return Figures(
        words={name: [str(word) for word in known] for name, known in words.items()},
        levels=levels,
        score=_joined(parts, "score", np.empty(0)),
        range_ev=_joined(parts, "range_ev", np.empty(0, np.float32)),
        megapixels=_joined(parts, "megapixels", np.empty(0, np.float32)),
        seconds=_joined(parts, "seconds", np.empty((0, len(STEPS)), np.float32)).T,
    )


def _joined(parts: Sequence[dict[str, Any]], name: str, empty: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([empty, *(part[name] for part in parts)])


def _levels(column: pa.ChunkedArray, known: dict[str | None, int]) -> NDArray[np.int32]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    own = [known.setdefault(word, len(known)) for word in encoded.dictionary.to_pylist()]
    numbers = np.array([*own, -1], np.int32)
    return np.asarray(numbers[encoded.indices.fill_null(len(own)).to_numpy()])


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _spread(column: pa.ChunkedArray, *, stops: bool) -> NDArray[np.float64]:
    """Largest less smallest of each list, NaN where a value is not known; of times in stops."""
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    sizes = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    values = lists.flatten().fill_null(np.nan).to_numpy(zero_copy_only=False)
    found = np.full(len(lists), np.nan)
    some = np.flatnonzero(sizes)
    if len(some):
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log2(values) if stops else values
            starts = (np.cumsum(sizes) - sizes)[some].astype(np.int64)
            spread = np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)
        # A single frame has no range.
        found[some] = np.where(np.isfinite(spread) & (sizes[some] > 1), spread, np.nan)
    return found
