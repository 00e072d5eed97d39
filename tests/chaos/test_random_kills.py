# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments, of the driver or of a worker, while work is under way.

How many: CHAOS_KILLS (100); which: CHAOS_SEED (0). A destination is worked on, killed and resumed
until its run ends; then it is compared with the undisturbed one, and the next begins.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from pipeline.ledger import read_quarantine
from tests.chaos.comparing import differences, snapshot

pytestmark = [pytest.mark.ray, pytest.mark.prefect]

_LONGEST_S = 1.5  # from the first sign of work, or the last kill, to the next kill


def _signs_of_work(out: Path) -> int:
    return sum(1 for path in (out / "results").rglob("*") if path.is_file())


def _wait_for_work(command, out: Path) -> bool:
    """Wait until the command has written a result; False if it ended instead."""
    before = _signs_of_work(out)
    while command.poll() is None:
        if _signs_of_work(out) > before:
            return True
        time.sleep(0.02)
    return False


def _kill(victim: psutil.Process) -> bool:
    """Whether it was alive to be killed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if victim.status() != psutil.STATUS_ZOMBIE:
            victim.send_signal(signal.SIGKILL)
            return True
    return False


def test_random_kills_lose_and_double_nothing(house, archive, undisturbed, write_table, tmp_path):
    wanted = int(os.environ.get("CHAOS_KILLS", "100"))
    dice = random.Random(int(os.environ.get("CHAOS_SEED", "0")))
    kills = {"driver": 0, "worker": 0}
    rounds, convicted, different = 0, 0, []
    while sum(kills.values()) < wanted:
        out = tmp_path / f"out{rounds}"
        rounds += 1
        ended = None
        while ended is None:
            command = house.start(archive, out, "--workers", "1")
            while _wait_for_work(command, out):
                time.sleep(dice.uniform(0, _LONGEST_S))
                if sum(kills.values()) >= wanted or command.poll() is not None:
                    continue
                who = dice.choice(["driver", "worker"])
                workers = house.workers()
                if who == "driver" or not workers:
                    kills["driver"] += _kill(psutil.Process(command.pid))
                    break
                kills["worker"] += _kill(dice.choice(workers))
            status = house.wait(command)
            ended = None if status == -signal.SIGKILL else status
        assert ended in (0, 1), house.said()
        # Two kills on one bracket convict it, as they should; it is given another chance.
        blamed = read_quarantine(str(out))["error_code"].to_pylist().count("worker-died")
        convicted += blamed
        again = ["--retry-quarantined"] if blamed else []
        assert house.fuse(archive, out, *again) == 0, house.said()
        different += differences(undisturbed, snapshot(archive, out))
    rows = [(who, times, "equal" if not different else "differs") for who, times in kills.items()]
    rows.append(("all", sum(kills.values()), f"{rounds} destinations, {convicted} convicted"))
    columns = ("killed", "times", "after the same command again")
    write_table("random-kills", "kill -9 at random moments", columns, rows)
    assert not different, different
    assert sum(kills.values()) >= wanted
