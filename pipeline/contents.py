# SPDX-License-Identifier: Apache-2.0
"""What a file holds, apart from its name and times."""

from __future__ import annotations

import hashlib

from pipeline.errors import PhotoError
from pipeline.storage import open_read, read_error

__all__ = ["file_sha256", "fingerprint"]

_PART_BYTES = 1 << 20


def fingerprint(uri: str) -> tuple[int, str]:
    """Size in bytes and hex SHA-256 of a file, read in pieces.

    Raises:
        PhotoError: ``file-missing``, ``file-unreadable``, ...; see ``storage.open_read``.
        InfrastructureError: ``storage-failed``.
    """
    size, whole = 0, hashlib.sha256()
    with open_read(uri, read_ahead_bytes=_PART_BYTES) as handle:
        try:
            while part := handle.read(_PART_BYTES):
                size += len(part)
                whole.update(part)
        except OSError as error:
            raise read_error(uri, error) from error
    return size, whole.hexdigest()


def file_sha256(uri: str) -> str | None:
    """Hex SHA-256 of a file, None where it cannot be read.

    Raises:
        InfrastructureError: ``storage-failed``.
    """
    try:
        return fingerprint(uri)[1]
    except PhotoError:
        return None
