# SPDX-License-Identifier: Apache-2.0
"""A lock file in a folder: hard links make it and renames take it away, both atomic.

The owner keeps the file open and renews that very file, so that a lock which another took over is
never overwritten.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from pipeline import local_files, storage
from pipeline.lock_file import Seen
from pipeline.uris import temporary_name

__all__ = ["LocalLock"]


class LocalLock:
    """A lock file in a local or network folder.

    Args:
        uri: where it stands, or will.
    """

    def __init__(self, uri: str) -> None:
        self._path = storage.local_path(uri)
        self._uri = uri
        self._mine: int | None = None  # descriptor of the file we made
        self._made: list[Path] = []

    def look(self) -> Seen | None:
        try:
            with local_files.open_regular(self._path) as handle:
                facts = os.fstat(handle.fileno())
                data = handle.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage.read_error(self._uri, error) from error
        age_s = self._now() - facts.st_mtime
        return Seen(data=data, version=_version(facts), age_s=age_s)

    def _now(self) -> float:
        # A fresh file tells what time it is where the folder lies, which may be another machine.
        probe = self._path.with_name(temporary_name())
        with storage.write_errors(self._uri):
            try:
                probe.touch()
                return probe.stat().st_mtime
            finally:
                probe.unlink(missing_ok=True)

    def create(self, data: bytes) -> bool:
        self._made += [f for f in self._path.parents[:2] if not os.path.exists(f)]
        if not storage.create_exclusive(self._uri, data):
            return False
        try:
            self._mine = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:  # taken at once by somebody who mistook it; see replace
            return False
        if os.pread(self._mine, len(data) + 1, 0) == data:
            return True
        os.close(self._mine)
        self._mine = None
        return False

    def replace(self, seen: Seen, data: bytes) -> bool:
        with storage.write_errors(self._uri):
            return self._take_away(seen) and self.create(data)

    def _take_away(self, seen: Seen) -> bool:
        aside = self._path.with_name(temporary_name())
        try:
            if _version(os.stat(self._path)) != seen.version:
                return False
            os.rename(self._path, aside)
        except FileNotFoundError:
            return False
        try:
            if _version(os.stat(aside)) == seen.version:
                return True
            with suppress(FileExistsError):  # somebody was quicker: give it back
                os.link(aside, self._path)
            return False
        finally:
            aside.unlink(missing_ok=True)

    def renew(self, data: bytes) -> bool:
        if self._mine is None:
            return False
        with storage.write_errors(self._uri):
            # In one write, of the same length as ever: nobody reads half of it.
            os.pwrite(self._mine, data, 0)
            os.utime(self._mine)
        return self._stands()

    def _stands(self) -> bool:
        assert self._mine is not None
        for _ in range(3):
            try:
                if _identity(os.stat(self._path)) == _identity(os.fstat(self._mine)):
                    return True
            except FileNotFoundError:
                pass
            time.sleep(0.05)  # one who took it by mistake gives it back at once; see replace
        return False

    def remove(self) -> None:
        if self._mine is None:
            return
        try:
            if self._stands():
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._mine)
            self._mine = None
        for folder in self._made:  # a run that wrote nothing leaves nothing
            with suppress(OSError):
                folder.rmdir()


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _version(facts: os.stat_result) -> tuple[tuple[int, int], int]:
    return _identity(facts), facts.st_mtime_ns
