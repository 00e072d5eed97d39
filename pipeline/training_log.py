# SPDX-License-Identifier: Apache-2.0
"""What a training run writes down as it goes: the curve, TensorBoard events, pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline import storage
from pipeline.errors import BracketflowError
from pipeline.images.writing import write_photo
from pipeline.tensorboard import Events

__all__ = ["CURVE_SCHEMA", "TrainingLog", "read_curve"]

_CURVE = "curve.parquet"

CURVE_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False, metadata={"description": "steps done"}),
        pa.field("split", pa.string(), nullable=False, metadata={"description": "whose figure"}),
        pa.field("name", pa.string(), nullable=False, metadata={"description": "which figure"}),
        pa.field("value", pa.float64(), nullable=False, metadata={"description": "the figure"}),
        pa.field(
            "seconds",
            pa.float64(),
            nullable=False,
            metadata={"description": "of training until then", "unit": "s"},
        ),
    ]
)
"""Columns of ``OUT/curve.parquet``; (step, split, name) is its key."""


def read_curve(out: str) -> pa.Table:
    """The training curve of a run: figures of ``train`` are means since the last row's step.

    Raises:
        BracketflowError: there is none.
    """
    with storage.open_read(storage.join(out, _CURVE)) as handle:
        return pq.read_table(handle).cast(CURVE_SCHEMA)


class TrainingLog:
    """The log of a run, of its first worker.

    Args:
        out: the run's folder.
        step: steps done before, None for a new run; what an earlier attempt wrote of later ones is
            dropped.
        note: told when an earlier curve cannot be read.
    """

    def __init__(self, out: str, *, step: int | None, note: Callable[[str], None]) -> None:
        self._out = out
        self._rows: dict[tuple[int, str, str], tuple[float, float]] = {}
        if step is not None:
            self._restore(step, note)
        folder = storage.local_path(storage.join(out, "tensorboard"))
        self._events = Events(folder, step=step, note=note)

    def _restore(self, step: int, note: Callable[[str], None]) -> None:
        try:
            rows = read_curve(self._out).to_pylist()
        except (BracketflowError, pa.ArrowException, OSError, KeyError) as error:
            note(f"The training curve of the steps before {step} cannot be read: {error}")
            return
        for row in rows:
            if row["step"] <= step:
                key = (row["step"], row["split"], row["name"])
                self._rows[key] = (row["value"], row["seconds"])

    def add(self, step: int, split: str, figures: Mapping[str, float], seconds: float) -> None:
        """Take figures down; they are on disk after the next :meth:`write`."""
        for name, value in figures.items():
            self._rows[step, split, name] = (float(value), seconds)
            self._events.scalar(f"{split}/{name}", float(value), step)

    def picture(self, step: int, picture: torch.Tensor) -> None:
        """Write a picture (3, H, W) in 0..1.

        Raises:
            InfrastructureError: ``disk-full`` or ``storage-failed``.
        """
        uri = storage.join(self._out, "pictures", f"step-{step:08d}.png")
        shown = torch.nan_to_num(picture.detach().float().cpu()).clamp(0, 1)
        write_photo(shown, uri, format="png", bits=8)
        self._events.image("validation", shown, step)

    def write(self) -> None:
        """Write the curve, whole.

        Raises:
            InfrastructureError: ``disk-full`` or ``storage-failed``.
        """
        keys = list(self._rows)
        values = list(self._rows.values())
        columns = [*zip(*keys, strict=True), *zip(*values, strict=True)] if keys else [()] * 5
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, CURVE_SCHEMA, strict=True)
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=CURVE_SCHEMA), buffer)
        storage.write_atomic(storage.join(self._out, _CURVE), buffer.getbuffer())
        self._events.flush()

    def close(self) -> None:
        """End the events."""
        self._events.close()
