# SPDX-License-Identifier: Apache-2.0
"""The file that a lock is: made by one, renewed by its owner, replaced only if nobody else did.

Each kind of storage has its own way: :mod:`pipeline.lock_local`, :mod:`pipeline.lock_remote`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["LockFile", "Seen"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A lock file as somebody saw it."""

    data: bytes
    version: Any
    """Changes whenever the file does."""
    age_s: float | None
    """Since it was renewed, by the storage's own clock; None where that cannot be asked."""


class LockFile(Protocol):
    """One lock file. All methods raise ``InfrastructureError`` where the storage fails."""

    def look(self) -> Seen | None:
        """What stands there, None for nothing."""

    def create(self, data: bytes) -> bool:
        """Make the file, unless one stands there."""

    def replace(self, seen: Seen, data: bytes) -> bool:
        """Put another in its place, unless it is not any more what was seen."""

    def renew(self, data: bytes) -> bool:
        """Write again to what this object made; False if that is not what stands there."""

    def remove(self) -> None:
        """Remove what this object made, and nothing else."""
