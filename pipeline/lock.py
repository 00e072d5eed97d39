# SPDX-License-Identifier: Apache-2.0
"""One run at a time on a destination: a lock file with a heartbeat.

Whoever writes to a destination holds ``report/_lock.json``, which says who it is, and renews it
every 15 s. A lock that was not renewed for 90 s belongs to nobody, and the next run takes it over;
of two that try, one succeeds. So does a run on the same machine at once if the holder's process is
gone: after a ``kill -9`` the same command simply goes on.

Clocks of machines differ, so nobody's clock is compared with another's: the storage itself tells
how old the lock is, and where it cannot (neither a folder nor S3), the lock is watched until it
changes or 90 s have passed.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import storage, stores
from pipeline.errors import InfrastructureError, LockedError, PhotoError, UsageError
from pipeline.fault_points import fault_point
from pipeline.lock_file import LockFile, Seen
from pipeline.lock_local import LocalLock
from pipeline.lock_remote import PlainLock, S3Lock

__all__ = ["LOCK_PATH", "Holder", "Lease", "Timing", "held_by", "hold"]

LOCK_PATH = "report/_lock.json"
"""The lock file of a destination with a report, relative to it."""


def _seconds() -> float:
    # A laptop that slept held nothing meanwhile, so sleep counts.
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often a lock is renewed, and when it is nobody's; tests bring their own clock."""

    interval_s: float = 15.0
    stale_s: float = 90.0
    clock: Callable[[], float] = _seconds
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock, as the lock file says."""

    run_id: str
    host: str
    user: str
    pid: int
    process: str
    """Tells this process from all others of this machine since it started; empty if nothing can."""
    started_at: str
    heartbeat_at: str
    token: str

    @classmethod
    def of_this_process(cls, run_id: str) -> Holder:
        """A new holder, with a token of its own."""
        return cls(
            run_id=run_id,
            host=socket.gethostname(),
            user=_user(),
            pid=os.getpid(),
            process=_process(os.getpid()) or "",
            started_at=_now(),
            heartbeat_at=_now(),
            token=secrets.token_hex(16),
        )

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """What a lock file holds, None if that is not ours to understand."""
        try:
            return cls(**json.loads(data))
        except (TypeError, ValueError):
            return None

    def encode(self) -> bytes:
        """The lock file; as long at every heartbeat, since it is renewed in place."""
        values = asdict(self) | {"heartbeat_at": _now()}
        return json.dumps(values, indent=2).encode("utf-8")

    def is_dead(self) -> bool:
        """Whether the process certainly runs no more: it was one of this machine, and is gone."""
        here = _process(os.getpid())
        if not self.process or here is None or _machine(self.process) != _machine(here):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        now = _process(self.pid)
        return now is not None and now != self.process

    def describe(self) -> str:
        """For messages."""
        return (
            f"run {self.run_id} of {self.user} (host {self.host}, process {self.pid}, since "
            f"{self.started_at}, last heartbeat {self.heartbeat_at})"
        )


class Lease:
    """A lock that is held. :func:`hold` makes it and renews it in the background."""

    def __init__(self, file: LockFile, holder: Holder, destination: str, timing: Timing) -> None:
        self.holder = holder
        self._file = file
        self._destination = destination
        self._timing = timing
        self._renewed = timing.clock()
        self._lost: str | None = None
        self._mutex = threading.Lock()

    def check(self) -> None:
        """Make sure that this run still holds the destination.

        Raises:
            InfrastructureError: ``lease-lost``.
        """
        self.renew()
        if self._lost is not None:
            raise InfrastructureError(
                "lease-lost",
                f"The lock of {self._destination} {self._lost}. This run stops, so that no two "
                "write to one destination; run the command again to go on where it stopped.",
            )

    def renew(self) -> None:
        """One heartbeat; whether it succeeded, :meth:`check` will tell."""
        with self._mutex:
            if self._lost is not None:
                return
            try:
                stands = self._file.renew(self.holder.encode())
            except InfrastructureError as error:
                silent_s = self._timing.clock() - self._renewed
                if silent_s >= self._timing.stale_s:
                    self._lost = f"could not be renewed for {silent_s:.0f} s ({error.message})"
                return
            if stands:
                self._renewed = self._timing.clock()
            else:
                self._lost = "was removed or taken over by another run"

    def release(self) -> None:
        """Let go. A store that does not answer is no matter: the lock will be found stale."""
        with self._mutex, suppress(InfrastructureError):
            fault_point("lock.release.before")
            self._file.remove()
            fault_point("lock.release.after")


@contextmanager
def hold(
    destination: str, *, run_id: str, path: str = LOCK_PATH, timing: Timing | None = None
) -> Iterator[Lease]:
    """Hold a destination while the block runs; it need not exist yet.

    Args:
        destination: folder or URI.
        run_id: who asks.
        path: of the lock file, relative to the destination.
        timing: how often the lock is renewed.

    Raises:
        LockedError: ``destination-locked``, another run holds it.
        UsageError: ``destination-invalid``, no folder can be there.
        InfrastructureError: the lock cannot be written.
    """
    timing = timing or Timing()
    holder = Holder.of_this_process(run_id)
    file = _lock_file(destination, path)
    try:
        _acquire(file, holder, destination, timing)
    except PhotoError as error:
        raise UsageError("destination-invalid", error.message) from error
    lease = Lease(file, holder, destination, timing)
    stop = threading.Event()
    heart = threading.Thread(
        target=_beat, args=(lease, stop, timing.interval_s), name="bracketflow-lock", daemon=True
    )
    try:
        heart.start()
        yield lease
    finally:
        stop.set()
        lease.release()


def held_by(destination: str) -> Holder | None:
    """Who holds a destination by its lock file, dead or alive; None if nobody does."""
    seen = _lock_file(destination, LOCK_PATH).look()
    return Holder.parse(seen.data) if seen is not None else None


def _lock_file(destination: str, path: str) -> LockFile:
    uri = storage.join(destination, *path.split("/"))
    if storage.is_local(uri):
        return LocalLock(uri)
    return S3Lock(uri) if stores.is_s3(storage.file_system(uri)[0]) else PlainLock(uri)


def _beat(lease: Lease, stop: threading.Event, interval_s: float) -> None:
    while not stop.wait(interval_s):
        lease.renew()


def _acquire(file: LockFile, holder: Holder, destination: str, timing: Timing) -> None:
    seen = None
    for _ in range(5):  # each time somebody was quicker
        seen = file.look()
        if seen is not None and not _is_stale(file, seen, timing):
            seen = file.look()
            if seen is not None:
                break
        fault_point("lock.create.before")
        data = holder.encode()
        made = file.create(data) if seen is None else file.replace(seen, data)
        fault_point("lock.create.after")
        if made:
            return
        timing.wait(random.uniform(0.05, 0.25))
    raise LockedError("destination-locked", _message(destination, seen, timing))


def _is_stale(file: LockFile, seen: Seen, timing: Timing) -> bool:
    holder = Holder.parse(seen.data)
    if holder is not None and holder.is_dead():
        return True
    if seen.age_s is not None:
        return seen.age_s >= timing.stale_s
    watched_s, step_s = 0.0, timing.interval_s / 3
    while watched_s < timing.stale_s:
        timing.wait(step_s)
        watched_s += step_s
        now = file.look()
        if now is None or now.version != seen.version:
            return False
    return True


def _message(destination: str, seen: Seen | None, timing: Timing) -> str:
    holder = Holder.parse(seen.data) if seen is not None else None
    who = holder.describe() if holder is not None else "another run"
    return (
        f"{destination} is in use by {who}. Wait until it ends, stop it, or choose another "
        f"destination. Should it be dead, nothing is to be deleted: {timing.stale_s:.0f} s after "
        "its last heartbeat the same command takes over."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's number without a name
        return str(os.getuid())


def _process(pid: int) -> str | None:
    """Boot, namespace and start of a living process; None if it is gone or cannot be asked."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
        # The name in parentheses may hold anything, so fields are counted from its end.
        state, *fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return f"{boot}:{namespace}:{'gone' if state in 'ZX' else fields[18]}"


def _machine(process: str) -> str:
    return process.rpartition(":")[0]
