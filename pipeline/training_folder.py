# SPDX-License-Identifier: Apache-2.0
"""The folder of a training or of a study: local, and taken before anything is written into it.

A small file says that a folder was taken, so that a run goes on in its own and writes over nobody
else's files; a lock keeps a second run out while the first one is there.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager

from pipeline import storage
from pipeline.checkpoints import Store
from pipeline.errors import PhotoError, UsageError
from pipeline.lock import Lease, hold
from pipeline.runs import new_run_id

__all__ = ["hold_folder", "local_folder", "take_study_folder", "take_training_folder"]

_LOCK = "_lock.json"
_CHECKPOINTS = "checkpoints"
_TRAINING = (
    "weights.safetensors",
    "card.json",
    "curve.parquet",
    "evaluation.parquet",
    "manifest.json",
    "bad-batch.json",
    _CHECKPOINTS,
    "pictures",
    "tensorboard",
)
_STUDY = ("table.parquet", "table.md", "curves.parquet", "curves.png")


def local_folder(out: str) -> str:
    """The URI of a folder as the user typed it.

    Raises:
        UsageError: ``destination-invalid``, it is not on this machine, or a file.
    """
    uri = storage.absolute(out)
    if not storage.is_local(uri):
        raise UsageError(
            "destination-invalid",
            f"{out} is not on this machine, and checkpoints and curves go into a local folder "
            "only; name one as --out (a mounted one will do) and copy what it holds afterwards.",
        )
    if storage.is_file(uri):
        raise UsageError("destination-invalid", f"{out} is a file; name a folder as --out.")
    return uri


def hold_folder(out: str) -> AbstractContextManager[Lease]:
    """Keep other runs out of a folder while a block runs.

    Raises:
        LockedError: another run is in it.
        UsageError: ``destination-invalid``, no folder can be there.
    """
    return hold(out, run_id=new_run_id(), path=_LOCK)


def take_training_folder(out: str, *, rendering: bool = False) -> None:
    """Take a folder for all runs of a training; those before this one may have taken it.

    Args:
        out: the folder's URI.
        rendering: the patches are made below it as well.

    Raises:
        UsageError: ``destination-invalid``, it holds files of ours by name that we did not write.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    _take(out, "training", _TRAINING, rendering=rendering)


def take_study_folder(out: str, *, rendering: bool = False) -> None:
    """The same for a study, whose trainings take folders of their own below it."""
    _take(out, "study", _STUDY, rendering=rendering)


def _take(out: str, kind: str, names: tuple[str, ...], *, rendering: bool) -> None:
    mark = storage.join(out, f"{kind}.json")
    if _is_mark(mark, kind):
        return
    names = (f"{kind}.json", *names, *(("shards",) if rendering else ()))
    there = [name for name in names if storage.exists(storage.join(out, name))]
    if there and not _has_checkpoint(out):
        raise UsageError(
            "destination-invalid",
            f"{out} holds {', '.join(there)}, and no {kind} of bracketflow is known to have "
            "written that; name another --out, or move it away.",
        )
    storage.write_atomic(mark, json.dumps({"bracketflow": kind}).encode("ascii"))


def _has_checkpoint(out: str) -> bool:
    """Whether a training left one: that tells as well that the folder is ours."""
    try:
        return Store(storage.join(out, _CHECKPOINTS)).newest(lambda _: None) is not None
    except UsageError:
        return False


def _is_mark(uri: str, kind: str) -> bool:
    try:
        with storage.open_read(uri) as handle:
            return bool(json.loads(handle.read(1 << 10)) == {"bracketflow": kind})
    except (PhotoError, ValueError):
        return False
