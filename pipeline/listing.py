# SPDX-License-Identifier: Apache-2.0
"""Listing an archive: every file below a root, broken ones included, on any file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import stores
from pipeline.errors import InfrastructureError, UsageError
from pipeline.storage import file_system, is_local, local_path, printable, to_uri

__all__ = ["FileInfo", "list_files"]


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One entry of an archive listing.

    ``path`` is relative to the listed root, with ``/`` separators and, for names that are not
    UTF-8, percent-encoded bytes. ``error_code`` is set where the entry cannot be read (a dangling
    link, say); such entries are listed too, so that nothing is lost.
    """

    uri: str
    path: str
    size_bytes: int
    mtime_ns: int | None
    error_code: str | None = None
    error_message: str | None = None


def list_files(root: str, *, skip: str | None = None) -> Iterator[FileInfo]:
    """All files below ``root``, in sorted order, hidden files and folders left out.

    Links are followed as long as they stay inside the root, make no circle and lead to no folder
    that another link led to already; links that do not, and entries that cannot be examined, come
    with an ``error_code``. ``skip`` names a folder
    below the root to leave out (a destination inside the archive).

    Raises:
        UsageError: ``source-missing``, the root is not a folder or cannot be listed.
        InfrastructureError: ``storage-failed`` or ``credentials-invalid``, a remote store.
    """
    if is_local(root):
        yield from _list_local(local_path(root), local_path(skip) if skip else None)
        return
    yield from _list_remote(root, skip)


def _list_remote(root: str, skip: str | None) -> Iterator[FileInfo]:
    fs, base = file_system(root)
    base = base.rstrip("/")
    skipped = file_system(skip)[1].rstrip("/") + "/" if skip else None
    try:
        for path, size_bytes, mtime_ns in stores.files(root):
            relative = path[len(base) :].lstrip("/")
            if any(part.startswith(".") for part in relative.split("/")):
                continue
            if skipped and path.startswith(skipped):
                continue
            yield FileInfo(
                uri=fs.unstrip_protocol(path),
                path=relative,
                size_bytes=size_bytes,
                mtime_ns=mtime_ns,
            )
    except FileNotFoundError as error:
        raise UsageError("source-missing", f"{root} does not exist; check the address.") from error
    except InfrastructureError as error:
        if error.code in ("bucket-missing", "access-denied"):
            raise UsageError("source-missing", error.message) from error
        raise


@dataclass(frozen=True)
class _Folder:
    """A folder on the way down; ``real`` is where it really lies."""

    path: str
    relative: str
    real: str
    above: _Folder | None
    through_link: bool

    def is_below(self, real: str) -> bool:
        """Whether that folder is this one or one that led here."""
        folder: _Folder | None = self
        while folder is not None:
            if folder.real == real:
                return True
            folder = folder.above
        return False


def _list_local(root: Path, skip: Path | None) -> Iterator[FileInfo]:
    if not root.is_dir():
        raise UsageError(
            "source-missing",
            f"{root} is not a folder that can be read; name a folder, a catalog (.parquet) or a "
            "list (.csv).",
        )
    real_root = os.path.realpath(root)
    real_skip = os.path.realpath(skip) if skip else None
    top = _Folder(str(root), "", real_root, None, False)
    # A stack of its own, since folders may lie deeper than Python recurses; and a folder is
    # entered through links once at most, since links to links could name it without end.
    linked: set[str] = set()
    try:
        stack = [(top, iter(sorted(os.listdir(top.path))))]
    except OSError as error:
        raise UsageError("source-missing", f"Cannot list {root}: {error}.") from error
    while stack:
        folder, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            continue
        if name.startswith("."):
            continue
        path = os.path.join(folder.path, name)
        relative = f"{folder.relative}/{name}" if folder.relative else name
        is_link = os.path.islink(path)
        real = os.path.realpath(path) if is_link else os.path.join(folder.real, name)
        trouble = _trouble_with_link(path, real, real_root, folder) if is_link else None
        if trouble is None and not os.path.isdir(path):
            if os.path.isfile(path):
                yield _entry(path, relative)
            continue
        if trouble is None and real == real_skip:
            continue
        through_link = folder.through_link or is_link
        if trouble is None and through_link and real in linked:
            trouble = f"{path} is reached through more than one link; remove all but one."
        if trouble is not None:
            yield _entry(path, relative, "file-link", trouble)
            continue
        if through_link:
            linked.add(real)
        try:
            below = sorted(os.listdir(path))
        except OSError as error:
            yield _entry(
                path,
                relative,
                "file-unreadable",
                f"{path} cannot be listed ({error.strerror}); grant read permission and scan "
                "again.",
            )
            continue
        stack.append((_Folder(path, relative, real, folder, through_link), iter(below)))


def _trouble_with_link(path: str, real: str, real_root: str, folder: _Folder) -> str | None:
    """What is wrong with a link, None if it may be followed."""
    if not os.path.exists(path):
        return f"{path} is a link to nothing; mend or remove it."
    if os.path.commonpath([real, real_root]) != real_root:
        return f"{path} is a link that leaves the archive; copy the file or scan its folder."
    if folder.is_below(real):
        return f"{path} is a link in a circle; remove it."
    return None


def _entry(
    path: str, relative: str, code: str | None = None, message: str | None = None
) -> FileInfo:
    try:
        facts = os.stat(path)
        size, mtime = facts.st_size, facts.st_mtime_ns
    except OSError:
        size, mtime = 0, None
    return FileInfo(
        uri=to_uri(path),
        path=printable(relative),
        size_bytes=size,
        mtime_ns=mtime,
        error_code=code,
        error_message=message,
    )
