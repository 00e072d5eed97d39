# SPDX-License-Identifier: Apache-2.0
"""A lock file on remote storage.

S3 knows conditional requests (``If-None-Match``, ``If-Match``), so that of two writers one wins.
Elsewhere, or if a server of the S3 protocol does not know them, the file is created conditionally
where that can be, else written and read back after a moment. Two could survive that only if a
request takes longer than the wait (``pipeline.stores.SETTLE_S``), and then the one who wrote first
finds out at its next heartbeat.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from pipeline import storage, stores
from pipeline.errors import InfrastructureError
from pipeline.lock_file import LockFile, Seen
from pipeline.retrying import attempt

__all__ = ["PlainLock", "S3Lock"]


class S3Lock:
    """A lock file on S3.

    Args:
        uri: where it stands, or will.
    """

    def __init__(self, uri: str) -> None:
        fs, path = storage.file_system(uri)
        self._uri = uri
        self._fs = fs
        self._path = path
        self._bucket, self._key, _ = fs.split_path(path)
        self._etag: str | None = None
        self._data = b""

    def look(self) -> Seen | None:
        try:
            # In this order: should it change in between, the condition is the older one.
            head = self._call("read", "head_object")
            data = attempt(self._uri, "read", lambda: bytes(self._fs.cat_file(self._path)))
        except FileNotFoundError:
            return None
        return Seen(data=data, version=head["ETag"], age_s=_s3_age_s(head))

    def create(self, data: bytes) -> bool:
        made = self._put(data, IfNoneMatch="*")
        return made if made is not None else self._plainly(data, None)

    def replace(self, seen: Seen, data: bytes) -> bool:
        made = self._put(data, IfMatch=seen.version)
        return made if made is not None else self._plainly(data, seen)

    def renew(self, data: bytes) -> bool:
        # There are stores that take a condition and ignore it, so we look as well.
        if self._etag is None or not self._is_mine(self._data):
            return False
        made = self._put(data, IfMatch=self._etag)
        if made is None:
            storage.write_atomic(self._uri, data)
            return self._is_mine(data)
        return made

    def remove(self) -> None:
        seen = self.look() if self._etag is not None else None
        if seen is not None and seen.data == self._data:
            with suppress(FileNotFoundError):
                self._call("delete", "delete_object")

    def _put(self, data: bytes, **condition: str) -> bool | None:
        """Whether it was written under the condition; None if the store knows no conditions."""
        try:
            answer = self._call("write", "put_object", Body=data, **condition)
        except (FileExistsError, FileNotFoundError):
            # The answer to a first request may have got lost, and the client asked again.
            return self._is_mine(data)
        except InfrastructureError as error:
            if getattr(error.__cause__, "errno", 0) != errno.ENOSYS:
                raise
            return None
        self._etag, self._data = answer["ETag"], data
        return True

    def _is_mine(self, data: bytes) -> bool:
        seen = self.look()
        if seen is None or not seen.data or seen.data not in (data, self._data):
            return False
        self._etag, self._data = seen.version, seen.data
        return True

    def _plainly(self, data: bytes, seen: Seen | None) -> bool:
        if not _write_and_read_back(self._uri, self, seen, data):
            return False
        return self._is_mine(data)

    def _call(self, verb: str, method: str, **arguments: Any) -> dict[str, Any]:
        where = {"Bucket": self._bucket, "Key": self._key}
        return stores.s3_call(self._fs, self._uri, verb, method, **where, **arguments)


def _s3_age_s(head: dict[str, Any]) -> float | None:
    date = head["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        return None
    return float((parsedate_to_datetime(date) - head["LastModified"]).total_seconds())


class PlainLock:
    """A lock file on any other file system.

    Args:
        uri: where it stands, or will.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._data: bytes | None = None

    def look(self) -> Seen | None:
        if not storage.exists(self._uri):
            return None
        data = storage.read_bytes(self._uri)
        return Seen(data=data, version=data, age_s=None)

    def create(self, data: bytes) -> bool:
        return self._keep(data, storage.create_exclusive(self._uri, data))

    def replace(self, seen: Seen, data: bytes) -> bool:
        return self._keep(data, _write_and_read_back(self._uri, self, seen, data))

    def renew(self, data: bytes) -> bool:
        if self._data is None or not self._stands():
            return False
        storage.write_atomic(self._uri, data)
        self._data = data
        return True

    def remove(self) -> None:
        if self._data is not None and self._stands():
            storage.delete(self._uri)

    def _keep(self, data: bytes, made: bool) -> bool:
        self._data = data if made else self._data
        return made

    def _stands(self) -> bool:
        seen = self.look()
        return seen is not None and seen.data == self._data


def _write_and_read_back(uri: str, file: LockFile, seen: Seen | None, data: bytes) -> bool:
    now = file.look()
    if (now and now.version) != (seen and seen.version):
        return False
    storage.write_atomic(uri, data)
    stores.settle()
    now = file.look()
    return now is not None and now.data == data
