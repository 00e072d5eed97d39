# SPDX-License-Identifier: Apache-2.0
"""Listing an archive: every file below a root, broken ones included, on any file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Literal

from pipeline import stores
from pipeline.errors import InfrastructureError, UsageError
from pipeline.storage import file_system, is_local, local_path, printable, to_uri

__all__ = ["FileInfo", "list_files", "list_folder"]

_LATEST_NS = 2**63 - 1  # a damaged clock wrote what is later, and no table holds it


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


def list_folder(folder: str) -> Iterator[FileInfo]:
    """The files directly in a folder, as :func:`list_files` has them; none if it is no folder.

    Raises:
        InfrastructureError: as :func:`list_files`.
    """
    if not is_local(folder):
        try:
            yield from (file for file in list_files(folder) if "/" not in file.path)
        except UsageError:  # a file, not a folder
            return
        return
    path = str(local_path(folder))
    here = _Folder(path, "", os.path.realpath(path), None, False)
    try:
        entries = _entries(here)
    except OSError:
        return
    for entry in entries:
        kind = _kind(entry)
        is_link = kind == "link"
        trouble = None
        if is_link:
            trouble = _trouble_with_link(entry.path, os.path.realpath(entry.path), here.real, here)
        if trouble is not None:
            yield here.entry(entry, "file-link", trouble)
        elif kind == "file" or (is_link and os.path.isfile(entry.path)):
            yield here.entry(entry)


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

    def relative_to_root(self, name: str) -> str:
        """Path of something in this folder."""
        return f"{self.relative}/{name}" if self.relative else name

    @cached_property
    def _plain(self) -> tuple[str, str] | None:
        """What comes before a plain name in its URI and path; None if the folder's is not plain."""
        uri, relative = to_uri(self.path), printable(self.relative)
        if uri.startswith("file://") or relative != self.relative:
            return None
        return uri.rstrip("/") + "/", relative and relative + "/"

    def entry(
        self, entry: os.DirEntry[str], code: str | None = None, message: str | None = None
    ) -> FileInfo:
        """The listing's line for something in this folder."""
        size, mtime = 0, None
        try:
            facts = entry.stat()
            size = facts.st_size
            if abs(facts.st_mtime_ns) <= _LATEST_NS:
                mtime = facts.st_mtime_ns
        except OSError:
            pass
        name = entry.name
        if self._plain is not None and name.isascii():  # as most are, and it is quick
            uri, path = self._plain[0] + name, self._plain[1] + name
        else:
            uri, path = to_uri(entry.path), printable(self.relative_to_root(name))
        return FileInfo(
            uri=uri,
            path=path,
            size_bytes=size,
            mtime_ns=mtime,
            error_code=code,
            error_message=message,
        )


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
        stack = [(top, _entries(top))]
    except OSError as error:
        raise UsageError("source-missing", f"Cannot list {root}: {error}.") from error
    while stack:
        folder, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        kind = _kind(entry)
        if kind == "file":
            yield folder.entry(entry)
            continue
        if kind == "other":
            continue
        path = entry.path
        is_link = kind == "link"
        real = os.path.realpath(path) if is_link else os.path.join(folder.real, entry.name)
        trouble = _trouble_with_link(path, real, real_root, folder) if is_link else None
        if trouble is None and is_link and not os.path.isdir(path):
            if os.path.isfile(path):
                yield folder.entry(entry)
            continue
        if trouble is None and real == real_skip:
            continue
        through_link = folder.through_link or is_link
        if trouble is None and through_link and real in linked:
            trouble = f"{path} is reached through more than one link; remove all but one."
        if trouble is not None:
            yield folder.entry(entry, "file-link", trouble)
            continue
        if through_link:
            linked.add(real)
        below = _Folder(path, folder.relative_to_root(entry.name), real, folder, through_link)
        try:
            stack.append((below, _entries(below)))
        except OSError as error:
            yield folder.entry(
                entry,
                "file-unreadable",
                f"{path} cannot be listed ({error.strerror}); grant read permission and scan "
                "again.",
            )


def _entries(folder: _Folder) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, hidden things left out, sorted by name.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(folder.path) as found:
        return iter(sorted((e for e in found if e.name[0] != "."), key=attrgetter("name")))


def _kind(entry: os.DirEntry[str]) -> Literal["file", "folder", "link", "other"]:
    """What an entry is; the directory itself tells, so most need no look of their own."""
    try:
        if entry.is_file(follow_symlinks=False):
            return "file"
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return "link" if entry.is_symlink() else "other"
    except OSError:
        return "other"


def _trouble_with_link(path: str, real: str, real_root: str, folder: _Folder) -> str | None:
    """What is wrong with a link, None if it may be followed."""
    if not os.path.exists(path):
        return f"{path} is a link to nothing; mend or remove it."
    if os.path.commonpath([real, real_root]) != real_root:
        return f"{path} is a link that leaves the archive; copy the file or scan its folder."
    if folder.is_below(real):
        return f"{path} is a link in a circle; remove it."
    return None
