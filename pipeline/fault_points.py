# SPDX-License-Identifier: Apache-2.0
"""Named places at which a test can kill a process, to prove that nothing is lost or doubled there.

A process that is killed between two writes is the one case that no ordinary test reaches. Code
that writes or commits says where it is with :func:`fault_point`; nothing happens there unless the
environment asks for it::

    BRACKETFLOW_FAULT=fuse.result.after:3      die by SIGKILL at the third passage
    BRACKETFLOW_FAULT=catalog.before,ledger.segment.after:2      either
    BRACKETFLOW_FAULT_ONCE=/folder             each of them once in all processes together

With the second variable a dying process first leaves a file ``<name>`` with its process id in that
folder, which proves that it died there, and lets its successor pass.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

__all__ = ["FAULT_POINTS", "ONCE", "VARIABLE", "fault_point"]

VARIABLE = "BRACKETFLOW_FAULT"
ONCE = "BRACKETFLOW_FAULT_ONCE"

FAULT_POINTS: tuple[str, ...] = (
    "catalog.before",
    "catalog.after",
    "lock.create.before",
    "lock.create.after",
    "lock.release.before",
    "lock.release.after",
    "ledger.intent.before",
    "ledger.intent.after",
    "ledger.segment.before",
    "ledger.segment.after",
    "ledger.alias.before",
    "ledger.alias.after",
    "ledger.manifest.before",
    "ledger.manifest.after",
    "ledger.compact.before",
    "ledger.compact.after",
    "ledger.replaces.after",
    "ledger.sweep.after",
    "fuse.preview.before",
    "fuse.preview.after",
    "fuse.map.after",
    "fuse.display.before",
    "fuse.display.after",
    "fuse.result.before",
    "fuse.result.after",
    "retire.file.before",
    "retire.file.after",
    "shard.patches.before",
    "shard.patches.after",
    "shard.split.before",
    "shard.split.after",
    "worker.ready.before",
    "worker.ready.after",
    "worker.visit.before",
    "worker.visit.after",
    "driver.row.before",
    "driver.row.after",
)
"""Every place, as ``where.what.before`` or ``.after``; a test holds it against the code."""

# Passages of this process; the only thing that a kill at the n-th one needs to remember.
_passed: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Die here if the environment asks for it; else do nothing, at the cost of one look-up.

    Args:
        name: one of :data:`FAULT_POINTS`.

    Raises:
        ValueError: the environment names a place that does not exist.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    for place in wanted.split(","):
        where, _, count = place.partition(":")
        if where not in FAULT_POINTS:
            raise ValueError(f"{VARIABLE} names {where!r}, which is no fault point")
        if where != name:
            continue
        _passed[name] += 1
        if _passed[name] == int(count or 1) and _claim(name):
            os.kill(os.getpid(), signal.SIGKILL)


def _claim(name: str) -> bool:
    """Whether this process is the one to die, where only one may."""
    folder = os.environ.get(ONCE)
    if folder is None:
        return True
    try:
        with (Path(folder) / name).open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
