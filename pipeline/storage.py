# SPDX-License-Identifier: Apache-2.0
"""Files behind URIs: local folders and anything that fsspec speaks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from pipeline import local_files, stores
from pipeline.file_errors import open_errors, read_error, write_errors
from pipeline.retrying import attempt
from pipeline.uris import absolute, is_local, join, local_path, printable, to_uri

__all__ = [
    "absolute",
    "create_exclusive",
    "delete",
    "exists",
    "file_system",
    "files_below",
    "info",
    "is_file",
    "is_folder",
    "is_local",
    "join",
    "local_path",
    "names_in",
    "open_atomic",
    "open_file",
    "open_read",
    "printable",
    "read_bytes",
    "read_error",
    "sha256_of",
    "to_uri",
    "write_atomic",
    "write_errors",
]


def file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI and the path on it.

    Prefer the functions below: what a file system raises by itself is not translated.

    Raises:
        UsageError: ``option-invalid``, the scheme is unknown or its package is not installed.
        InfrastructureError: the store cannot be reached.
    """
    if is_local(uri):
        return LocalFileSystem(auto_mkdir=False), str(local_path(uri))
    return stores.open_store(uri)


@contextmanager
def open_read(uri: str, *, read_ahead_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open for reading.

    Args:
        uri: the file.
        read_ahead_bytes: how much remote storage fetches at once; its own default if None.

    Raises:
        PhotoError: ``file-missing``, ``file-unreadable`` or ``file-link``, or
            ``format-unsupported`` for a folder, a pipe or a device.
        InfrastructureError: ``storage-failed`` and the like for trouble of the storage itself.
    """
    with open_errors(uri):
        handle = open_file(uri, read_ahead_bytes=read_ahead_bytes)
    with handle:
        yield handle


def open_file(uri: str, *, read_ahead_bytes: int | None = None) -> BinaryIO:
    """Open a file that is no photograph: as :func:`open_read`, with the system's own words.

    Raises:
        FileNotFoundError: there is no such file; other local trouble comes as it is, too.
        InfrastructureError: trouble of a remote store.
    """
    if is_local(uri):
        return local_files.open_regular(local_path(uri))
    return cast(BinaryIO, stores.Reader(uri, *file_system(uri), read_ahead_bytes))


def read_bytes(uri: str) -> bytes:
    """A whole file.

    Raises:
        PhotoError, InfrastructureError: as :func:`open_read`.
    """
    with open_read(uri) as handle:
        try:
            return handle.read()
        except OSError as error:
            raise read_error(uri, error) from error


def info(uri: str) -> dict[str, Any] | None:
    """What the file system tells about a file or folder, None if nothing stands there.

    Raises:
        InfrastructureError: the store does not answer, or refuses to.
    """
    fs, path = file_system(uri)
    try:
        if is_local(uri):
            return dict(fs.info(path))
        return attempt(uri, "look at", lambda: dict(fs.info(path)))
    except (FileNotFoundError, NotADirectoryError):
        return None


def exists(uri: str) -> bool:
    """Whether a file or folder stands at the URI."""
    return os.path.exists(local_path(uri)) if is_local(uri) else info(uri) is not None


def is_file(uri: str) -> bool:
    """Whether a file, and not a folder, stands at the URI."""
    if is_local(uri):
        return os.path.isfile(local_path(uri))
    found = info(uri)
    return found is not None and found["type"] == "file"


def is_folder(uri: str) -> bool:
    """Whether a folder stands at the URI; on an object store: whether files lie below it."""
    if is_local(uri):
        return os.path.isdir(local_path(uri))
    found = info(uri)
    return found is not None and found["type"] == "directory"


def names_in(uri: str) -> list[str]:
    """Names of the files and folders directly in a folder, sorted; none where there is no folder.

    Raises:
        InfrastructureError: the storage fails.
    """
    fs, path = file_system(uri)
    try:
        if is_local(uri):
            return sorted(os.listdir(path))
        found = attempt(uri, "list", lambda: fs.ls(path, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise read_error(uri, error) from error
    entries = {str(entry).rstrip("/") for entry in found} - {path.rstrip("/")}
    return sorted({entry.rpartition("/")[2] for entry in entries} - {""})


def files_below(uri: str) -> Iterator[str]:
    """Paths of all files below a folder, relative to it; none where there is no folder.

    Raises:
        InfrastructureError: the storage fails.
    """
    fs, base = file_system(uri)
    start = len(base.rstrip("/")) + 1
    try:
        if is_local(uri):
            yield from (path[start:] for path in sorted(fs.find(base)))
        else:
            yield from (path[start:] for path, _, _ in stores.files(uri))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise read_error(uri, error) from error


def delete(uri: str) -> None:
    """Remove one file; a file that is not there is no error."""
    if is_local(uri):
        with write_errors(uri):
            local_path(uri).unlink(missing_ok=True)
        return
    fs, path = file_system(uri)
    with suppress(FileNotFoundError):
        attempt(uri, "delete", lambda: fs.rm_file(path))


def create_exclusive(uri: str, data: bytes) -> bool:
    """Write a small file unless something stands there; of many that try, one succeeds.

    Returns:
        True if the file was made. False if something stands there: the file of another, complete,
        or one's own where the answer to a first request got lost and the client asked again; so
        let the data tell whose it is.

    Raises:
        PhotoError: ``result-unwritable``, the path itself is impossible.
        InfrastructureError: ``disk-full``, ``storage-failed`` and the like.
    """
    with write_errors(uri):
        if not is_local(uri):
            return stores.create(uri, data)
        return local_files.create(local_path(uri), data)


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
    with write_errors(uri):
        whole = bytes(data)
        stores.publish(uri, lambda fs, path, **options: fs.pipe_file(path, whole, **options))


@contextmanager
def open_atomic(uri: str) -> Iterator[IO[bytes]]:
    """Open for writing a file that appears at ``uri`` when the block ends well, or never.

    Local: a temporary file in the same folder, fsync, rename. Elsewhere: a temporary file here
    and one upload at the end, since an opened remote file would publish a block that failed.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    with write_errors(uri):
        if not is_local(uri):
            with tempfile.NamedTemporaryFile(prefix="bracketflow-") as spool:
                yield spool
                spool.flush()
                stores.publish(
                    uri, lambda fs, path, **options: fs.put_file(spool.name, path, **options)
                )
            return
        with local_files.open_whole(local_path(uri)) as handle:
            yield handle


def sha256_of(data: bytes | memoryview) -> str:
    """Hex SHA-256 of the bytes."""
    return hashlib.sha256(data).hexdigest()
