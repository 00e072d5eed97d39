# SPDX-License-Identifier: Apache-2.0
"""What is behind a URI that is no local path: an object store, or another remote file system.

:mod:`pipeline.storage` is the door for whole files; errors and retries are those of
:mod:`pipeline.retrying`.
"""

from __future__ import annotations

import errno
import io
import posixpath
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import fsspec

from pipeline.errors import InfrastructureError, UsageError
from pipeline.retrying import attempt
from pipeline.uris import temporary_name

__all__ = ["Reader", "create", "files", "is_s3", "open_store", "publish", "s3_call", "settle"]

SETTLE_S = (1.0, 2.0)
"""How long to wait, at least and at most, before reading back where nothing is conditional."""
READ_AHEAD_BYTES = 4 << 20
"""How much a file fetches at once unless its reader knows better."""
S3_UPLOAD = {"chunksize": 8 << 20, "max_concurrency": 4}
"""How large files go up: by parts (bytes), so many at once; memory holds no more of them."""

# A listing that is remembered does not show what other processes wrote since.
_OPTIONS: dict[str, dict[str, Any]] = {
    scheme: {"use_listings_cache": False}
    for scheme in ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
}
_OBJECT_STORES = frozenset(_OPTIONS) | {"adl", "http", "https", "memory", "oci", "oss"}
"""Where a file appears whole or not at all, and folders need not be made."""


def open_store(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a remote URI and the path on it.

    Raises:
        UsageError: ``option-invalid``, the scheme is unknown or its package is not installed.
        InfrastructureError: as :func:`attempt`.
    """
    scheme, _, rest = uri.partition("://")
    options = _OPTIONS.get(scheme, {})
    root, _, path = rest.partition("/")
    # Below the bucket, "::" and "?" are letters of a name like others.
    odd = "::" in path or "?" in path
    try:
        fs, base = attempt(
            uri,
            "open",
            lambda: fsspec.core.url_to_fs(f"{scheme}://{root}" if odd else uri, **options),
        )
    except (ImportError, ValueError) as error:
        raise UsageError(
            "option-invalid",
            f"Cannot open {uri}: {error}. For s3:// and gs:// install the extra: "
            "pip install 'bracketflow[s3]' or 'bracketflow[gcs]'.",
        ) from error
    return fs, f"{str(base).rstrip('/')}/{path}" if odd else str(base)


class Reader(io.RawIOBase):
    """A remote file, read by ranges; a read that failed is tried again at the same place.

    Args:
        uri: for messages.
        fs: its file system.
        path: the path on it.
        read_ahead_bytes: how much to fetch at once.
    """

    def __init__(self, uri: str, fs: Any, path: str, read_ahead_bytes: int | None) -> None:
        super().__init__()
        self._uri = uri
        self._file: Any = None
        ahead = read_ahead_bytes or READ_AHEAD_BYTES
        try:
            self._file = attempt(uri, "read", lambda: fs.open(path, "rb", block_size=ahead))
        except InfrastructureError as error:
            unclear = getattr(error.__cause__, "errno", 0) == errno.EINVAL
            if unclear or error.code == "access-denied":
                # The answer to a question about size has no text; a byte's refusal tells why.
                attempt(uri, "read", lambda: fs.cat_file(path, start=0, end=1))
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def read(self, size: int | None = -1) -> bytes:
        at = self._file.tell()

        def once() -> bytes:
            self._file.seek(at)
            return bytes(self._file.read(-1 if size is None else size))

        return attempt(self._uri, "read", once)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def publish(uri: str, put: Callable[..., Any]) -> None:
    """Let a whole file appear at a URI.

    Args:
        uri: the file.
        put: ``put(fs, path, **options)`` writes it in one go.

    Raises:
        UsageError: ``destination-invalid``, nothing can be written to such a store.
        InfrastructureError: as :func:`attempt`.
    """
    fs, path = open_store(uri)
    options = S3_UPLOAD if is_s3(fs) else {}

    def once() -> None:
        if _is_object_store(uri):
            put(fs, path, **options)
            return
        parent = posixpath.dirname(path)
        fs.makedirs(parent, exist_ok=True)
        temporary = posixpath.join(parent, temporary_name())
        try:
            put(fs, temporary)
            fs.mv(temporary, path)
        finally:
            if fs.exists(temporary):
                fs.rm_file(temporary)

    try:
        attempt(uri, "write", once)
    except NotImplementedError as error:
        raise UsageError(
            "destination-invalid", f"{uri} cannot be written; choose another destination."
        ) from error


def create(uri: str, data: bytes) -> bool:
    """Write a small file unless one stands there; True if it was written.

    The store itself decides where it can (S3, GCS, Azure). Where it cannot, the last writer wins
    and the others see it when they read back; two could both think they won only if a request
    takes longer than :data:`SETTLE_S`.
    """
    fs, path = open_store(uri)
    try:
        attempt(uri, "write", lambda: fs.pipe_file(path, data, mode="create"))
        return True
    except FileExistsError:
        return False
    except (NotImplementedError, TypeError, ValueError):
        pass  # by the file system's own admission
    except InfrastructureError as error:
        if getattr(error.__cause__, "errno", 0) != errno.ENOSYS:
            raise
    if attempt(uri, "read", lambda: fs.exists(path)):
        return False
    publish(uri, lambda fs, path, **options: fs.pipe_file(path, data, **options))
    settle()
    return attempt(uri, "read", lambda: bytes(fs.cat_file(path))) == data


def settle() -> None:
    """Wait until a rival that looked before we wrote has written too."""
    time.sleep(random.uniform(*SETTLE_S))


def files(uri: str) -> Iterator[tuple[str, int, int | None]]:
    """Path on the store, size (bytes) and time of change (ns) of all files below, sorted by path.

    From S3 they stream, a page at a time; other stores list all of them at once.

    Raises:
        FileNotFoundError: there is nothing, not even a folder.
        InfrastructureError: as :func:`attempt`.
    """
    fs, base = open_store(uri)
    base = base.rstrip("/")
    found = _s3_files(uri, fs, base) if is_s3(fs) else _other_files(uri, fs, base)
    empty = True
    for entry in found:
        empty = False
        yield entry
    if empty and not attempt(uri, "list", lambda: fs.isdir(base)):
        raise FileNotFoundError(errno.ENOENT, "nothing there", uri)


def _other_files(uri: str, fs: Any, base: str) -> Iterator[tuple[str, int, int | None]]:
    found = attempt(uri, "list", lambda: fs.find(base, detail=True))
    for path in sorted(found):
        info = found[path]
        stamp = info.get("LastModified") or info.get("mtime") or info.get("created")
        yield path, int(info.get("size") or 0), _ns(stamp)


def _s3_files(uri: str, fs: Any, base: str) -> Iterator[tuple[str, int, int | None]]:
    bucket, key, _ = fs.split_path(base)
    question: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
    while True:
        page = s3_call(fs, uri, "list", "list_objects_v2", **question)
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):  # a console's way to make an empty folder
                yield f"{bucket}/{entry['Key']}", entry["Size"], _ns(entry["LastModified"])
        if not page.get("IsTruncated"):
            return
        question["ContinuationToken"] = page["NextContinuationToken"]


def is_s3(fs: Any) -> bool:
    """Whether a file system speaks S3."""
    return hasattr(fs, "call_s3")


def s3_call(fs: Any, uri: str, verb: str, method: str, **arguments: Any) -> dict[str, Any]:
    """One request to S3, see :func:`attempt`."""
    answer: dict[str, Any] = attempt(uri, verb, lambda: fs.call_s3(method, **arguments))
    return answer


def _is_object_store(uri: str) -> bool:
    return uri.partition("://")[0] in _OBJECT_STORES


def _ns(stamp: Any) -> int | None:
    return int(stamp.timestamp() * 1e9) if isinstance(stamp, datetime) else None
