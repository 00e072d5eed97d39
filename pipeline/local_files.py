# SPDX-License-Identifier: Apache-2.0
"""Files of this machine: whole or not at all, of one maker, and never a pipe."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from pipeline.uris import temporary_name

__all__ = ["create", "open_regular", "open_whole"]

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_OPEN_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        IsADirectoryError: a folder, a pipe or a device: opening a pipe would wait for its writer
            for ever, reading a device might never end.
        OSError: as ``os.open``.
    """
    descriptor = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def open_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open for writing a file that stands at ``path`` when the block ends well, or never.

    Raises:
        OSError: it cannot be written.
    """
    with _temporary_beside(path) as temporary:
        with temporary.open("xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)


def create(path: Path, data: bytes) -> bool:
    """Write a file, complete from the start, unless something stands there; True if written.

    Raises:
        OSError: it cannot be written.
    """
    with _temporary_beside(path) as temporary:
        _write_new(temporary, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, data)
    return True


def _create_without_links(path: Path, data: bytes) -> bool:
    # As exclusive, though for a moment others may see the file before it is complete.
    try:
        _write_new(path, data)
    except FileExistsError:
        return False
    return True


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / temporary_name()
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
