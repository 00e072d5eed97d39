# SPDX-License-Identifier: Apache-2.0
"""What the system says when a file cannot be read or written, as errors of ours: whom to blame."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import BracketflowError, InfrastructureError, PhotoError
from pipeline.uris import is_local, local_path

__all__ = ["open_errors", "read_error", "write_errors"]


@contextmanager
def open_errors(uri: str) -> Iterator[None]:
    """Around opening a file for reading.

    Raises:
        PhotoError: ``file-missing``, ``file-unreadable``, ``file-link`` or
            ``format-unsupported``.
        InfrastructureError: ``storage-failed`` and the like.
    """
    try:
        yield
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
    except InfrastructureError as error:
        if error.code == "access-denied":
            raise PhotoError("file-unreadable", error.message) from error
        raise


def read_error(uri: str, error: OSError) -> BracketflowError:
    """Whom to blame when a file cannot be read: the file, or the storage it lies on."""
    if isinstance(error, FileNotFoundError):
        return PhotoError("file-missing", f"{uri} vanished while it was read; restore the file.")
    if error.errno == errno.ENXIO:
        return PhotoError("format-unsupported", f"{uri} is a socket, not an image; mend the list.")
    if error.errno == errno.EINVAL and is_local(uri):
        return PhotoError(
            "format-unsupported",
            f"{uri} is a file of the system's own, not an image; mend the list.",
        )
    if error.errno == errno.EIO and is_local(uri):
        return PhotoError(
            "file-unreadable", f"{uri} lies on a damaged part of its disk; restore it elsewhere."
        )
    return InfrastructureError("storage-failed", f"Cannot read {uri}: {error}.")


@contextmanager
def write_errors(uri: str) -> Iterator[None]:
    """What the system says when a local file cannot be written, as errors of ours.

    Raises:
        PhotoError: ``result-unwritable``, the path itself is impossible.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
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
