# SPDX-License-Identifier: Apache-2.0
"""What came of a study, as tables: ``OUT/table.parquet`` and ``OUT/curves.parquet``.

``table.parquet`` is tidy: one number a row, keyed by variant, seed, condition, reference and
figure, with what is needed to judge it beside it. A training that failed is one row without a
figure, with its error code. ``curves.parquet`` holds the curves of all trainings, one below the
other.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import BracketflowError
from pipeline.evaluation import KEYS
from pipeline.runs import git_revision, versions
from pipeline.study import Study, Trial
from pipeline.training_log import CURVE_SCHEMA, read_curve

__all__ = [
    "CURVES_SCHEMA",
    "TABLE_SCHEMA",
    "WINS",
    "curves_of",
    "failed_row",
    "rows_of",
    "table_of",
    "write_parquet",
]

WINS = "wins"


def _field(name: str, kind: pa.DataType, about: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null, metadata={"description": about})


_VARIANT = _field("variant", pa.string(), "label of the variant")
_SEED = _field("seed", pa.int64(), "training.seed")

TABLE_SCHEMA = pa.schema(
    [
        _field("study", pa.string(), "name of the study"),
        _VARIANT,
        _SEED,
        _field("condition", pa.string(), "see pipeline.robustness; null if it failed", null=True),
        _field("against", pa.string(), "clean, noisy or truth, see pipeline.evaluation", null=True),
        _field(
            "figure",
            pa.string(),
            "a column of evaluation.parquet, or wins: patches where the first of them is above the "
            "last rival's (see model.measures)",
            null=True,
        ),
        _field("value", pa.float64(), "mean over the patches; of wins their number", null=True),
        _field("patches", pa.int64(), "how many patches were measured", null=True),
        _field("stops_mean", pa.float64(), "between the outermost fused frames", null=True),
        _field("stops_min", pa.float64(), "the same, least", null=True),
        _field("stops_max", pa.float64(), "the same, most", null=True),
        _field("steps", pa.int64(), "steps trained", null=True),
        _field("best_step", pa.int64(), "after which the weights were the best", null=True),
        _field("seconds", pa.float64(), "of training, in s", null=True),
        _field("device", pa.string(), "trained on", null=True),
        _field("workers", pa.int64(), "training processes", null=True),
        _field("recipe_sha256", pa.string(), "hash of the recipe"),
        _field("error_code", pa.string(), "why there are no figures", null=True),
        _field("error_message", pa.string(), "the same in words", null=True),
    ]
)
"""Columns of ``OUT/table.parquet``."""

CURVES_SCHEMA = pa.schema([_VARIANT, _SEED, *CURVE_SCHEMA])
"""Columns of ``OUT/curves.parquet``."""


def rows_of(
    study: Study, trial: Trial, facts: Mapping[str, Any], evaluation: pa.Table
) -> list[dict[str, Any]]:
    """The table's rows of a training.

    Args:
        study: the study.
        trial: the training.
        facts: its manifest.
        evaluation: of its weights.
    """
    about = _about(study, trial) | {
        "steps": facts["step"],
        "best_step": facts["best_step"],
        "seconds": facts["seconds"],
        "device": facts["device"],
        "workers": facts["workers"],
    }
    rows = []
    for (condition, against), part in _parts(evaluation):
        stops = [value for value in part["stops"] if value is not None]
        where = {
            "condition": condition,
            "against": against,
            "patches": len(part["patch"]),
            "stops_mean": float(np.mean(stops)) if stops else None,
            "stops_min": min(stops, default=None),
            "stops_max": max(stops, default=None),
        }
        figures = {
            name: float(np.mean(values))
            for name, values in part.items()
            if name not in KEYS and None not in values
        }
        headline = study.measures.figures[0].name
        there = [r.name for r in study.measures.rivals if f"{headline}_{r.name}" in figures]
        if there:
            ahead = np.greater(part[headline], part[f"{headline}_{there[-1]}"])
            figures[WINS] = float(np.count_nonzero(ahead))
        rows += [about | where | {"figure": n, "value": value} for n, value in figures.items()]
    return rows


def failed_row(study: Study, trial: Trial, error: BracketflowError) -> dict[str, Any]:
    """The table's row of a training that failed."""
    return _about(study, trial) | {"error_code": error.code, "error_message": error.message}


def table_of(study: Study, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table; its metadata hold the study, the base recipe and the versions."""
    facts = {
        "study": asdict(study),
        "recipe": asdict(study.base),
        "versions": versions(),
        "git_revision": git_revision(),
    }
    schema = TABLE_SCHEMA.with_metadata({"bracketflow.study": json.dumps(facts)})
    return pa.Table.from_pylist(list(rows), schema=schema)


def curves_of(out: str, trials: Sequence[Trial]) -> pa.Table:
    """The curves of those trainings below ``out`` that have one."""
    tables = [CURVES_SCHEMA.empty_table()]
    for trial in trials:
        try:
            curve = read_curve(storage.join(out, *trial.folder))
        except (BracketflowError, pa.ArrowException, OSError, KeyError, ValueError):
            continue  # it failed before it had one
        label = pa.array([trial.variant] * len(curve), pa.string())
        seed = pa.array([trial.seed] * len(curve), pa.int64())
        tables.append(pa.Table.from_arrays([label, seed, *curve.columns], schema=CURVES_SCHEMA))
    return pa.concat_tables(tables)


def write_parquet(uri: str, table: pa.Table) -> None:
    """Write a whole table.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.write_atomic(uri, buffer.getbuffer())


def _about(study: Study, trial: Trial) -> dict[str, Any]:
    return {
        "study": study.name,
        "variant": trial.variant,
        "seed": trial.seed,
        "recipe_sha256": trial.recipe.sha256,
    }


def _parts(evaluation: pa.Table) -> Iterator[tuple[tuple[str, str], dict[str, list[Any]]]]:
    """The columns of every condition and reference, in the order in which they first come."""
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in evaluation.to_pylist():
        parts.setdefault((row["condition"], row["against"]), []).append(row)
    for place, rows in parts.items():
        yield place, {name: [row[name] for row in rows] for name in evaluation.column_names}
