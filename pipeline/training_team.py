# SPDX-License-Identifier: Apache-2.0
"""What the workers of one training tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed

from pipeline.errors import BracketflowError

__all__ = ["Team"]

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Worker ``rank`` of ``size``, on its device; one alone needs no process group."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def joined(cls, device: torch.device) -> Team:
        """The workers of torch's process group, or one alone where there is none."""
        if not distributed.is_initialized():
            return cls(0, 1, device)
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    def mean(self, values: list[float]) -> list[float]:
        """The mean over all workers of each value, the same on all of them."""
        if self.size == 1:
            return values
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        return [float(total) / self.size for total in sums]

    def gather(self, value: T) -> list[T]:
        """What every worker has, by rank, for everybody."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def from_first(self, value: T) -> T:
        """What the first worker has, for everybody."""
        if self.size == 1:
            return value
        found = [value]
        distributed.broadcast_object_list(found, src=0)
        return found[0]

    def agree(self, error: BracketflowError | None) -> None:
        """Raise on every worker what one of them ran into, so that none waits for it for ever.

        Raises:
            BracketflowError: the error of the first worker that has one.
        """
        for found in self.gather(error):
            if found is not None:
                raise found

    def from_first_in_place(self, tensors: list[torch.Tensor]) -> None:
        """Overwrite tensors with those of the first worker."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)
