# SPDX-License-Identifier: Apache-2.0
"""What a run is to do again, and what it may remove; nothing of it changes how a result looks."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WorkOptions"]


@dataclass(frozen=True, kw_only=True)
class WorkOptions:
    """What a run does beyond what is new. No part of any key."""

    force: bool = False
    """Work on every bracket again, whatever stands."""
    retry_quarantined: bool = False
    """Work again on what failed before and has not changed since."""
    prune: bool = False
    """Remove the results of brackets whose photographs are gone."""
