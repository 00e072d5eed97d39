# SPDX-License-Identifier: Apache-2.0
"""What every visit to a bracket has in common: its clock, and a row whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.align.registration import Alignment
from pipeline.bracket import Bracket
from pipeline.errors import BracketflowError, InfrastructureError, PhotoError
from pipeline.planning import base_row, unexpected
from pipeline.report.schema import Row

__all__ = ["Clock", "alignment_columns", "blamed", "visit_row"]


class Clock:
    """Seconds per step, and the step at hand."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.stage = "read"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; ``seconds_<name>`` must be a column of the report."""
        self.stage = name
        began = time.perf_counter()
        try:
            yield
        finally:
            column = f"seconds_{name}"
            self.seconds[column] = self.seconds.get(column, 0.0) + time.perf_counter() - began


def visit_row(
    bracket: Bracket,
    work: Callable[[Clock], Mapping[str, Any]],
    *,
    run_id: str,
    worker: str,
    common: Mapping[str, Any],
) -> Row:
    """Work on one bracket and return its complete report row, whatever happens to it.

    Args:
        bracket: what is worked on.
        work: does it, and returns columns; ``status`` is ``fused`` unless they say otherwise.
        run_id: the run.
        worker: who works.
        common: columns that hold for good and bad rows alike.

    Raises:
        InfrastructureError: disk or storage failed; no photograph is to blame.
    """
    clock = Clock()
    try:
        columns = {"status": "fused"} | dict(work(clock))
    except Exception as error:  # the run goes on; the row names what to report
        columns = _failure(blamed(error, bracket), clock.stage)
    return base_row(bracket, run_id=run_id, worker=worker, **dict(common) | clock.seconds | columns)


def blamed(error: Exception, bracket: Bracket) -> BracketflowError:
    """What a bracket's row says of whatever went wrong with it.

    Raises:
        InfrastructureError: it is that; no photograph is to blame.
    """
    if isinstance(error, InfrastructureError):
        raise error
    if isinstance(error, BracketflowError):
        return error
    if isinstance(error, MemoryError):
        return PhotoError(
            "out-of-memory",
            f"The bracket of {bracket.frames[0].path} does not fit into memory; use fewer "
            "--workers, or a machine with more of it.",
        )
    if isinstance(error, torch.OutOfMemoryError):
        return PhotoError(
            "out-of-memory",
            f"The bracket of {bracket.frames[0].path} does not fit into the GPU's memory; let "
            "fewer workers share it (--gpus-per-worker), or use --device cpu.",
        )
    return unexpected(error, bracket)


def alignment_columns(alignment: Alignment) -> dict[str, Any]:
    """What the report says of an alignment."""
    return {
        "align_method": alignment.method,
        "align_shift_px": alignment.shift_px,
        "align_residual_px": alignment.residual_px,
        "align_transforms": [list(transform) for transform in alignment.transforms],
        "crop_px": list(alignment.crop),
    }


def _failure(error: BracketflowError, stage: str) -> dict[str, Any]:
    return {
        "status": "quarantined",
        "error_code": error.code,
        "error_message": error.message,
        "error_stage": stage,
    }
