# SPDX-License-Identifier: Apache-2.0
"""One run at a time on a destination, wherever it lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from pipeline import lock_local, lock_remote, retrying, storage, stores
from pipeline.errors import InfrastructureError, LockedError, UsageError
from pipeline.ledger import Ledger, read_report
from pipeline.lock import LOCK_PATH, Timing, held_by, hold
from pipeline.report.schema import make_row
from tests.s3_server import s3_server

FOREIGN = {"host": "elsewhere", "process": ""}


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@dataclass
class Time:
    """A clock that the tests turn; waiting turns it too."""

    now: float = 1000.0

    def wait(self, seconds: float) -> None:
        self.now += seconds

    @property
    def timing(self) -> Timing:
        return Timing(clock=lambda: self.now, wait=self.wait)


@pytest.fixture
def clock(monkeypatch):
    """Time as the lock, a folder and a store tell it."""
    monkeypatch.setattr(retrying, "DELAYS_S", ())
    monkeypatch.setattr(stores, "SETTLE_S", (0.05, 0.1))
    return Time()


@pytest.fixture(params=["local", "memory", "s3"])
def destination(request, tmp_path):
    """A destination that does not exist yet."""
    if request.param == "local":
        yield str(tmp_path / "new" / "out")
    elif request.param == "memory":
        yield "memory://locks/out"
        fsspec.filesystem("memory").rm("/", recursive=True)
    else:
        yield f"{request.getfixturevalue('server').make_bucket()}/out"


def lock_of(destination: str) -> str:
    return storage.join(destination, LOCK_PATH)


def change_holder(destination: str, **values) -> None:
    """The lock says something else, as if another had written it."""
    text = json.loads(storage.read_bytes(lock_of(destination)))
    storage.write_atomic(lock_of(destination), json.dumps(text | values).encode())


def leave_a_lock(destination: str, clock: Time, **values) -> None:
    """A lock whose holder was killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.lock.Lease.release", lambda self: None)
        with hold(destination, run_id="old", timing=clock.timing):
            pass
    change_holder(destination, **(FOREIGN | values))


def grow_old(monkeypatch, seconds: float, of: bytes = b"") -> None:
    """The storage's own clock goes on (for locks that hold this text)."""
    seen = lock_local.Seen

    def older(**facts):
        if facts["age_s"] is not None and of in facts["data"]:
            facts["age_s"] += seconds
        return seen(**facts)

    for module in (lock_local, lock_remote):
        monkeypatch.setattr(module, "Seen", older)


def test_a_second_run_is_told_who_is_there(destination, clock):
    with hold(destination, run_id="first", timing=clock.timing) as lease:
        lease.check()
        if destination.startswith("memory"):  # nobody can tell its age: its heart must be seen
            clock.wait = lambda seconds: lease.renew()
        with (
            pytest.raises(LockedError) as caught,
            hold(destination, run_id="second", timing=clock.timing),
        ):
            pass
        assert caught.value.code == "destination-locked"
        assert caught.value.exit_code == 3
        for part in ("run first", lease.holder.host, str(os.getpid()), lease.holder.started_at):
            assert part in caught.value.message
        assert held_by(destination).run_id == "first"
        lease.check()
    assert held_by(destination) is None
    with hold(destination, run_id="second", timing=clock.timing):
        assert held_by(destination).run_id == "second"


def test_it_is_released_whatever_happens(destination, clock):
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), hold(destination, run_id="r", timing=clock.timing):
            raise error
        assert not storage.exists(lock_of(destination))
    if storage.is_local(destination):
        assert not os.path.exists(destination)  # a run that wrote nothing leaves nothing


def test_it_troubles_no_reader(destination, clock):
    with hold(destination, run_id="r", timing=clock.timing) as lease:
        with Ledger(destination, "r", "w") as ledger:
            ledger.append(make_row(bracket_id="a", run_id="r", status="skipped"))
        assert len(read_report(destination)) == 1
        lease.check()
    assert len(read_report(destination)) == 1


def test_a_stale_lock_is_taken_over_and_a_fresh_one_is_not(destination, clock, monkeypatch):
    leave_a_lock(destination, clock)
    if not destination.startswith("memory"):
        with pytest.raises(LockedError), hold(destination, run_id="new", timing=clock.timing):
            pass
    assert held_by(destination).run_id == "old"
    grow_old(monkeypatch, 91.0)
    with hold(destination, run_id="new", timing=clock.timing) as lease:
        lease.check()
        assert held_by(destination).run_id == "new"
    assert held_by(destination) is None


def test_a_lock_that_nobody_understands_grows_stale_as_others_do(destination, clock, monkeypatch):
    storage.write_atomic(lock_of(destination), b"{half")
    grow_old(monkeypatch, 91.0)
    with hold(destination, run_id="new", timing=clock.timing) as lease:
        lease.check()


@pytest.mark.parametrize("destination", ["local", "s3"], indirect=True)
def test_of_many_that_take_over_one_succeeds(destination, clock, monkeypatch):
    leave_a_lock(destination, clock)
    grow_old(monkeypatch, 91.0, of=b'"run_id": "old"')
    winners, done = [], threading.Barrier(4)

    def run(number):
        name = f"r{number}"
        try:
            with hold(destination, run_id=name, timing=clock.timing) as lease:
                done.wait(20)
                lease.check()
                winners.append(held_by(destination).run_id == name)
        except LockedError:
            done.wait(20)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert winners == [True]


def test_who_was_taken_over_is_told_and_harms_nobody(destination, clock, monkeypatch):
    with hold(destination, run_id="slow", timing=clock.timing) as slow:
        monkeypatch.setattr("pipeline.lock.Holder.is_dead", lambda self: self.run_id == "slow")
        with hold(destination, run_id="quick", timing=clock.timing) as quick:
            with pytest.raises(InfrastructureError) as caught:
                slow.check()
            assert caught.value.code == "lease-lost"
            assert caught.value.exit_code == 4
            quick.check()
            slow.release()
            quick.check()
            assert held_by(destination).run_id == "quick"


@pytest.mark.parametrize("conditions", ["refused", "ignored"])
def test_a_server_of_the_protocol_without_conditions(server, clock, monkeypatch, conditions):
    destination = f"{server.make_bucket()}/out"
    monkeypatch.setattr(server, "conditions", conditions)
    with hold(destination, run_id="slow", timing=clock.timing) as slow:
        slow.check()
        with pytest.raises(LockedError), hold(destination, run_id="no", timing=clock.timing):
            pass
        monkeypatch.setattr("pipeline.lock.Holder.is_dead", lambda self: self.run_id == "slow")
        with hold(destination, run_id="quick", timing=clock.timing) as quick:
            with pytest.raises(InfrastructureError):
                slow.check()
            quick.check()
            slow.release()
            assert held_by(destination).run_id == "quick"


def test_a_destination_that_is_a_file_is_wrong_use(tmp_path, clock):
    (tmp_path / "out").write_bytes(b"x")
    with pytest.raises(UsageError) as caught, hold(str(tmp_path / "out"), run_id="r"):
        pass
    assert caught.value.code == "destination-invalid"


def test_a_lock_that_was_deleted_is_lost(destination, clock):
    with hold(destination, run_id="r", timing=clock.timing) as lease:
        storage.delete(lock_of(destination))
        with pytest.raises(InfrastructureError, match="removed or taken over"):
            lease.check()


def test_a_heartbeat_that_fails_is_tried_again_until_the_lease_is_over(clock, monkeypatch):
    with hold("memory://locks/out", run_id="r", timing=clock.timing) as lease:
        with monkeypatch.context() as patch:

            def fail(*_):
                raise InfrastructureError("storage-failed", "The network is down.")

            patch.setattr(storage, "write_atomic", fail)
            clock.now += 80
            lease.check()
        lease.check()
        with monkeypatch.context() as patch:
            patch.setattr(storage, "write_atomic", fail)
            clock.now += 91
            with pytest.raises(InfrastructureError, match="The network is down") as caught:
                lease.check()
            assert caught.value.code == "lease-lost"
    fsspec.filesystem("memory").rm("/", recursive=True)


def test_the_heart_beats_by_itself(tmp_path):
    with hold(str(tmp_path), run_id="r", timing=Timing(interval_s=0.01)):
        path = tmp_path / LOCK_PATH
        before = path.stat().st_mtime_ns
        deadline = time.monotonic() + 20
        while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime_ns > before
        assert held_by(str(tmp_path)).run_id == "r"
    assert not path.exists()


def test_after_a_kill_the_same_machine_goes_on_at_once(tmp_path, repository):
    code = (
        "import sys, time; from pipeline.lock import hold\n"
        "with hold(sys.argv[1], run_id='killed'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=repository, text=True) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match="run killed"), hold(str(tmp_path), run_id="second"):
            pass
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        # It is dead, though its parent has not yet asked how it died.
        with hold(str(tmp_path), run_id="second") as lease:
            lease.check()
    assert os.listdir(tmp_path / Path(LOCK_PATH).parent) == []
