# SPDX-License-Identifier: Apache-2.0
"""What a file holds, apart from its name and times."""

from __future__ import annotations

import hashlib

from pipeline.errors import PhotoError
from pipeline.storage import open_read

__all__ = ["file_sha256"]

_PART_BYTES = 1 << 20


def file_sha256(uri: str) -> str | None:
    """Hex SHA-256 of a file, None where it cannot be read.

    Raises:
        InfrastructureError: ``storage-failed``.
    """
    try:
        with open_read(uri) as handle:
            whole = hashlib.sha256()
            while part := handle.read(_PART_BYTES):
                whole.update(part)
            return whole.hexdigest()
    except PhotoError:
        return None
