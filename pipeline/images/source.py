# SPDX-License-Identifier: Apache-2.0
"""The bytes of one image file, head first and under a cap."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.errors import PhotoError
from pipeline.storage import open_read, read_error

__all__ = ["Limits", "Source", "open_source"]

HEAD_BYTES = 65536
"""Enough for nearly every header with its EXIF block, and one request to remote storage."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Caps that hold before anything is decoded."""

    max_bytes: int = 2 << 30
    """Largest file, in bytes."""
    max_pixels: int = 300_000_000
    """Largest image, width times height."""


class Source:
    """Random access to a file's bytes; the head is read once and kept.

    Args:
        uri: for messages.
        handle: a seekable binary file.
        limits: caps.

    Raises:
        PhotoError: ``file-empty`` or ``file-too-large``.
        InfrastructureError: ``storage-failed``.
    """

    def __init__(self, uri: str, handle: BinaryIO, limits: Limits) -> None:
        self.uri = uri
        self.limits = limits
        self._handle = handle
        with _storage_errors(uri):
            self.size_bytes = int(handle.seek(0, io.SEEK_END))
        if self.size_bytes == 0:
            raise PhotoError("file-empty", f"{uri} has no bytes; restore it from a backup.")
        if self.size_bytes > limits.max_bytes:
            raise PhotoError(
                "file-too-large",
                f"{uri} has {self.size_bytes} bytes, more than the cap of {limits.max_bytes}; "
                "raise the cap if the file is genuine.",
            )
        self._head = self._read(0, HEAD_BYTES)

    def at(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset``; fewer, or none, where the file ends."""
        if offset < 0 or count <= 0 or offset >= self.size_bytes:
            return b""
        if offset + count <= len(self._head) or len(self._head) == self.size_bytes:
            return self._head[offset : offset + count]
        return self._read(offset, min(count, self.size_bytes - offset))

    def whole(self) -> bytes:
        """All bytes; they are kept, so later reads cost nothing."""
        if len(self._head) < self.size_bytes:
            self._head = self._read(0, self.size_bytes)
            # A file that was cut while we looked at it is judged by what is there.
            self.size_bytes = len(self._head)
        return self._head

    @property
    def file(self) -> BinaryIO:
        """The file itself, for a parser that seeks on its own."""
        return self._handle

    def _read(self, offset: int, count: int) -> bytes:
        with _storage_errors(self.uri):
            self._handle.seek(offset)
            return self._handle.read(count)


@contextmanager
def open_source(uri: str, limits: Limits) -> Iterator[Source]:
    """Open an image file.

    Raises:
        PhotoError: ``file-missing``, ``file-unreadable``, ``file-link``, ``file-empty`` or
            ``file-too-large``.
        InfrastructureError: ``storage-failed``.
    """
    with open_read(uri, read_ahead_bytes=HEAD_BYTES) as handle:
        yield Source(uri, handle, limits)


@contextmanager
def _storage_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise read_error(uri, error) from error
