# SPDX-License-Identifier: Apache-2.0
"""A GPU whose memory a batch does not fit into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.errors import UsageError

__all__ = ["StrandedError", "gpu_memory", "too_large"]


class StrandedError(RuntimeError):
    """A worker ran out of memory where the others wait for it and cannot be told: it has to die."""


def too_large() -> UsageError:
    """What people are told."""
    return UsageError(
        "recipe-invalid",
        "A batch does not fit into the GPU's memory; lower training.batch or data.crop_px, or take "
        "more workers.",
    )


@contextmanager
def gpu_memory() -> Iterator[None]:
    """Blame the recipe where memory runs out.

    Raises:
        UsageError: ``recipe-invalid``.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise too_large() from error
