# SPDX-License-Identifier: Apache-2.0
"""The files of a destination: walking them, knowing our temporary ones, taking them away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline import storage
from pipeline.errors import InfrastructureError
from pipeline.uris import is_temporary

__all__ = ["SET_ASIDE", "Entry", "Tree", "is_inside"]

SET_ASIDE = "set-aside"
"""Folder of a destination that gets what ``--repair`` takes out of the way."""


@dataclass(frozen=True)
class Entry:
    """A file: its path relative to the destination, and when it changed (seconds since 1970)."""

    path: str
    changed_s: float | None

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_temporary(self) -> bool:
        """Whether it is one that ``storage.open_atomic`` makes, and removes unless it is killed."""
        return is_temporary(self.name)


@dataclass(frozen=True)
class Tree:
    """A destination, as files. Links to folders are not followed."""

    destination: str

    def uri(self, path: str) -> str:
        return storage.join(self.destination, *path.split("/"))

    def walk(self, folder: str) -> Iterator[Entry]:
        """All files below a folder of the destination, hidden ones too, a folder at a time.

        Raises:
            InfrastructureError: ``storage-failed``, a folder cannot be listed.
        """
        fs, root = storage.file_system(self.destination)
        root = root.rstrip("/")
        base = f"{root}/{folder}"
        try:
            if not storage.is_local(self.destination):
                fs.invalidate_cache()  # what others did since the last listing counts as well
            if not fs.isdir(base):
                return
            for _, _, files in fs.walk(base, detail=True, on_error="raise"):
                for name in sorted(files):
                    info = files[name]
                    yield Entry(str(info["name"])[len(root) + 1 :], _changed_s(info))
        except OSError as error:
            raise InfrastructureError(
                "storage-failed", f"Cannot list {self.destination}: {error}. Mend it and try again."
            ) from error

    def remove(self, path: str) -> None:
        """Remove one file."""
        storage.delete(self.uri(path))

    def set_aside(self, path: str) -> str:
        """Move a file out of the way, to the same place below ``set-aside/``; where it is now.

        Raises:
            InfrastructureError: ``storage-failed``.
        """
        target, number = f"{SET_ASIDE}/{path}", 0
        while storage.exists(self.uri(target)):
            number += 1
            target = f"{SET_ASIDE}/{path}.{number}"
        fs, old = storage.file_system(self.uri(path))
        _, new = storage.file_system(self.uri(target))
        try:
            fs.makedirs(new.rsplit("/", 1)[0], exist_ok=True)
            fs.mv(old, new)
        except OSError as error:
            raise InfrastructureError(
                "storage-failed", f"Cannot move {self.uri(path)} to {self.uri(target)}: {error}."
            ) from error
        return target


def is_inside(path: str) -> bool:
    """Whether a path that a row names stays inside the folders that results go to."""
    top, *parts = path.split("/")
    return (
        top in ("results", "patches")
        and bool(parts)
        and all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    )


def _changed_s(info: dict[str, Any]) -> float | None:
    stamp = info.get("mtime") or info.get("LastModified") or info.get("created")
    if isinstance(stamp, datetime):
        return stamp.timestamp()
    return float(stamp) if isinstance(stamp, int | float) else None
