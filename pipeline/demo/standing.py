# SPDX-License-Identifier: Apache-2.0
"""A demo archive is rendered once: what stands already, complete and the same, is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pipeline.demo.archive import ArchivePlan, make_archive
from pipeline.errors import UsageError
from pipeline.storage import write_atomic

__all__ = ["keep_or_make"]


def keep_or_make(
    folder: Path,
    *,
    brackets: int,
    plan: ArchivePlan,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make the archive at ``folder``, unless it is there already.

    It is rendered beside its place and moved when complete; a hidden file beside it then says
    what was asked for, so that the next call can tell.

    Raises:
        UsageError: ``destination-invalid``, something else stands at ``folder``.
    """
    wanted = json.dumps({"brackets": brackets, "plan": asdict(plan)}, sort_keys=True)
    note = folder.with_name(f".{folder.name}-made.json")
    if folder.exists():
        if note.is_file() and note.read_text("utf-8") == wanted:
            return
        raise UsageError(
            "destination-invalid",
            f"{folder} holds something else than the archive that was asked for; remove it, or "
            "name another folder.",
        )
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_archive(unfinished, brackets=brackets, plan=plan, progress=progress)
    write_atomic(str(note), wanted.encode("utf-8"))
    unfinished.rename(folder)
