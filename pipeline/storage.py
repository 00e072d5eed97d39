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
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import BracketflowError, InfrastructureError, PhotoError, UsageError

__all__ = [
    "absolute",
    "delete",
    "exists",
    "file_system",
    "is_file",
    "is_local",
    "join",
    "local_path",
    "open_atomic",
    "open_read",
    "read_error",
    "sha256_of",
    "to_uri",
    "write_atomic",
]

_OPEN_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


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
    except OSError as error:
        raise InfrastructureError(
            "storage-failed", f"Cannot reach {uri}: {error}. Check the address and the network."
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
        raise read_error(uri, error) from error
    with handle:
        yield handle


def read_error(uri: str, error: OSError) -> BracketflowError:
    """Whom to blame when a file cannot be read: the file, or the storage it lies on."""
    if error.errno == errno.ENXIO:
        return PhotoError("format-unsupported", f"{uri} is a socket, not an image; mend the list.")
    if error.errno == errno.EIO and is_local(uri):
        return PhotoError(
            "file-unreadable", f"{uri} lies on a damaged part of its disk; restore it elsewhere."
        )
    return InfrastructureError("storage-failed", f"Cannot read {uri}: {error}.")


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


def is_file(uri: str) -> bool:
    """Whether a file, and not a folder, stands at the URI."""
    fs, path = file_system(uri)
    return bool(fs.isfile(path))


def delete(uri: str) -> None:
    """Remove one file; a file that is not there is no error."""
    fs, path = file_system(uri)
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        return


def write_atomic(uri: str, data: bytes | memoryview) -> None:
    """Write a whole file so that it either does not exist or is complete.

    Raises:
        PhotoError: ``result-unwritable``, the path itself is impossible.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    if is_local(uri):
        with open_atomic(uri) as handle:
            handle.write(data)
        return
    fs, path = file_system(uri)
    with _write_errors(uri):
        fs.pipe_file(path, bytes(data))


@contextmanager
def open_atomic(uri: str) -> Iterator[IO[bytes]]:
    """Open for writing a file that appears at ``uri`` when the block ends well, or never.

    Local: a temporary file in the same folder, fsync, rename. Elsewhere: a temporary file here
    and one upload at the end, since an opened remote file would publish a block that failed.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    with _write_errors(uri):
        if not is_local(uri):
            fs, remote = file_system(uri)
            with tempfile.NamedTemporaryFile(prefix="bracketflow-") as spool:
                yield spool
                spool.flush()
                fs.put_file(spool.name, remote)
            return
        path = local_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A short name of its own: a long one plus a suffix could pass the 255-byte limit.
        temporary = path.parent / f".bracketflow-{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("wb") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _write_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InfrastructureError(
                "disk-full", f"No space left to write {uri}; free some and run the command again."
            ) from error
        if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
            raise PhotoError(
                "result-unwritable",
                f"{uri} cannot be written ({error.strerror}); choose another --name or "
                "destination, or move away what stands in its path.",
            ) from error
        raise InfrastructureError("storage-failed", f"Cannot write {uri}: {error}.") from error


def sha256_of(data: bytes | memoryview) -> str:
    """Hex SHA-256 of the bytes."""
    return hashlib.sha256(data).hexdigest()
