# SPDX-License-Identifier: Apache-2.0
"""A limit on the resident memory of a worker process, held by a thread that watches it.

A limit of the operating system on address space would not do: PyTorch and Ray map far more than
they use. The guard raises MemoryError in the thread at work as soon as the process is past the
limit, so that the bracket at hand costs one row and the worker can be replaced in good order.
Where that does not help soon (one call that allocates on and on) the process is killed before it
takes the machine with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

__all__ = ["MemoryGuard", "resident_bytes"]

_EVERY_S = 0.1
_PATIENCE_S = 10.0  # for the thread at work to let go of what it holds
_FAR_BEYOND = 2.0  # times the limit: no patience at all


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MemoryGuard:
    """Watches this process while a ``with guard.watch():`` block runs.

    Args:
        limit_bytes: resident memory that makes the block end with MemoryError.
        measure: bytes in use.
        die: what is done when MemoryError did not help.
        every_s: how often to measure.
        patience_s: how long MemoryError may take to help.
    """

    def __init__(
        self,
        limit_bytes: int,
        *,
        measure: Callable[[], int] = resident_bytes,
        die: Callable[[], None] = _die,
        every_s: float = _EVERY_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._limit = limit_bytes
        self._measure = measure
        self._die = die
        self._every_s = every_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._watched: int | None = None
        self._fired_at: float | None = None
        threading.Thread(target=self._run, name="memory-guard", daemon=True).start()

    @property
    def fired(self) -> bool:
        """Whether the limit was passed during the last block."""
        return self._fired_at is not None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch while the block runs, which must be in the calling thread.

        Raises:
            MemoryError: anywhere in the block; code inside may catch it, so see :attr:`fired`.
        """
        thread = threading.get_ident()
        with self._lock:
            self._watched, self._fired_at = thread, None
        try:
            yield
        finally:
            with self._lock:
                self._watched = None
                # One that is on its way but has not arrived would hit whatever comes next.
                _raise_in(thread, None)

    def _run(self) -> None:
        while True:
            time.sleep(self._every_s)
            with self._lock:
                if self._watched is None:
                    continue
                used = self._measure()
                if used <= self._limit:
                    continue
                now = time.monotonic()
                if self._fired_at is None:
                    self._fired_at = now
                    _raise_in(self._watched, MemoryError)
                elif now - self._fired_at > self._patience_s or used > _FAR_BEYOND * self._limit:
                    self._die()


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise in another thread at its next step in Python; None takes back what is pending."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(error) if error is not None else None
    )
