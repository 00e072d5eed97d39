# SPDX-License-Identifier: Apache-2.0
"""Files behind URIs: local folders and anything that fsspec speaks.

A *URI* in bracketflow is either a plain absolute local path (``/photos/a.jpg``), a ``file://``
URI, or ``scheme://...`` of an fsspec file system. Local paths whose bytes are not valid UTF-8
cannot stand in a Parquet string, so :func:`to_uri` writes those, and only those, as
percent-encoded ``file://`` URIs. Everything here understands all three forms.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import InfrastructureError, PhotoError, UsageError

__all__ = [
    "FileInfo",
    "absolute",
    "delete",
    "exists",
    "file_system",
    "is_local",
    "join",
    "list_files",
    "local_path",
    "open_read",
    "sha256_of",
    "to_uri",
    "write_atomic",
]

_OPEN_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


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


def to_uri(path: str | os.PathLike[str]) -> str:
    """The URI of a local path: the absolute path itself, or ``file://`` where it is not UTF-8."""
    absolute = os.path.abspath(os.fspath(path))
    try:
        absolute.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(absolute), safe="/")
    return absolute


def absolute(uri: str) -> str:
    """A path as the user typed it (``~``, relative) or a URI, as a URI."""
    return uri if "://" in uri else to_uri(Path(uri).expanduser())


def is_local(uri: str) -> bool:
    """Whether the URI names a file of this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The local path behind a local URI."""
    if uri.startswith("file://"):
        return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))
    return Path(uri)


def file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI and the path on it.

    Raises:
        UsageError: ``option-invalid``, the scheme is unknown or its package is not installed.
    """
    if is_local(uri):
        return LocalFileSystem(auto_mkdir=False), str(local_path(uri))
    try:
        fs, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise UsageError(
            "option-invalid",
            f"Cannot open {uri}: {error}. For s3:// and gs:// install the extra: "
            "pip install 'bracketflow[s3]' or 'bracketflow[gcs]'.",
        ) from error
    return fs, str(path)


def join(uri: str, *parts: str) -> str:
    """Append relative ``/``-separated parts to a URI."""
    if uri.startswith("file://"):
        return to_uri(local_path(uri).joinpath(*parts))
    return posixpath.join(uri, *parts)


def printable(path: str) -> str:
    """A relative local path as Parquet-safe text: bytes that are not UTF-8 become ``%XX``."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return quote_from_bytes(os.fsencode(path), safe="/ ")
    return path


def list_files(root: str, *, skip: str | None = None) -> Iterator[FileInfo]:
    """All files below ``root``, in sorted order, hidden files and folders left out.

    Links are followed as long as they stay inside the root, make no circle and lead to no folder
    that another link led to already; links that do not, and entries that cannot be examined, come
    with an ``error_code``. ``skip`` names a folder
    below the root to leave out (a destination inside the archive).

    Raises:
        UsageError: ``source-missing``, the root is not a folder or cannot be listed.
    """
    if is_local(root):
        yield from _list_local(local_path(root), local_path(skip) if skip else None)
        return
    fs, base = file_system(root)
    base = base.rstrip("/")
    try:
        found = fs.find(base, detail=True)
    except OSError as error:
        raise UsageError("source-missing", f"Cannot list {root}: {error}.") from error
    if not found and not fs.isdir(base):
        raise UsageError("source-missing", f"{root} does not exist; check the address.")
    skipped = file_system(skip)[1].rstrip("/") + "/" if skip else None
    for path in sorted(found):
        relative = path[len(base) :].lstrip("/")
        if any(part.startswith(".") for part in relative.split("/")):
            continue
        if skipped and path.startswith(skipped):
            continue
        info = found[path]
        stamp = info.get("LastModified") or info.get("mtime") or info.get("created")
        yield FileInfo(
            uri=fs.unstrip_protocol(path),
            path=relative,
            size_bytes=int(info.get("size") or 0),
            mtime_ns=int(stamp.timestamp() * 1e9) if hasattr(stamp, "timestamp") else None,
        )


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
            "source-missing", f"{root} is not a folder that can be read; check the path."
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


@contextmanager
def open_read(uri: str, *, read_ahead_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open for reading.

    Args:
        uri: the file.
        read_ahead_bytes: how much remote storage fetches at once; its own default if None.

    Raises:
        PhotoError: ``file-missing``, ``file-unreadable`` or ``file-link``, or
            ``format-unsupported`` for a folder, a pipe or a device.
        InfrastructureError: ``storage-failed`` for other trouble of the storage itself.
    """
    try:
        if is_local(uri):
            handle: BinaryIO = _open_local(local_path(uri))
        else:
            fs, path = file_system(uri)
            options = {} if read_ahead_bytes is None else {"block_size": read_ahead_bytes}
            handle = fs.open(path, "rb", **options)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and is_local(uri) and local_path(uri).is_symlink():
            raise PhotoError(
                "file-link", f"{uri} is a link to nothing; mend or remove it."
            ) from error
        raise PhotoError(
            "file-missing", f"{uri} is gone; scan the archive again or restore the file."
        ) from error
    except PermissionError as error:
        raise PhotoError(
            "file-unreadable", f"{uri} may not be read; grant read permission and run again."
        ) from error
    except IsADirectoryError as error:
        raise PhotoError(
            "format-unsupported", f"{uri} is no regular file, so no image; mend the list."
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PhotoError("file-link", f"{uri} is a link in a circle; remove it.") from error
        if error.errno == errno.ENAMETOOLONG:
            raise PhotoError(
                "file-missing", f"{uri} is longer than a file's name can be; mend the list."
            ) from error
        raise InfrastructureError("storage-failed", f"Cannot open {uri}: {error}.") from error
    with handle:
        yield handle


def _open_local(path: Path) -> BinaryIO:
    # Opening a pipe would wait for its writer for ever, reading a device might never end.
    descriptor = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def exists(uri: str) -> bool:
    """Whether a file or folder stands at the URI."""
    fs, path = file_system(uri)
    return bool(fs.exists(path))


def delete(uri: str) -> None:
    """Remove one file; a file that is not there is no error."""
    fs, path = file_system(uri)
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        return


def write_atomic(uri: str, data: bytes | memoryview) -> None:
    """Write a whole file so that it either does not exist or is complete.

    Local: a temporary file in the same folder, fsync, rename. Elsewhere: one PUT.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    try:
        if is_local(uri):
            _write_local(local_path(uri), data)
        else:
            fs, path = file_system(uri)
            # One PUT. An opened file would publish what was written so far if a write failed.
            fs.pipe_file(path, bytes(data))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InfrastructureError(
                "disk-full", f"No space left to write {uri}; free some and run the command again."
            ) from error
        raise InfrastructureError("storage-failed", f"Cannot write {uri}: {error}.") from error


def _write_local(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own: a long photograph name plus a suffix could pass the 255-byte limit.
    temporary = path.parent / f".bracketflow-{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_of(data: bytes | memoryview) -> str:
    """Hex SHA-256 of the bytes."""
    return hashlib.sha256(data).hexdigest()
