# SPDX-License-Identifier: Apache-2.0
"""The memory guard ends what takes too much, and nothing else."""

from __future__ import annotations

import threading
import time

import pytest

from pipeline.memory_guard import MemoryGuard, resident_bytes


class Process:
    """A process whose memory is what the test says."""

    def __init__(self) -> None:
        self.used = 0
        self.killed = threading.Event()

    def guard(self, *, patience_s: float = 10.0) -> MemoryGuard:
        return MemoryGuard(
            100,
            measure=lambda: self.used,
            die=self.killed.set,
            every_s=0.002,
            patience_s=patience_s,
        )


@pytest.fixture
def process():
    return Process()


def work(until, seconds=5.0):
    """Python code that goes on until a condition holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_block_past_the_limit_ends_with_memory_error(process):
    guard = process.guard()
    process.used = 101
    with pytest.raises(MemoryError), guard.watch():
        work(lambda: False)
    assert guard.fired
    process.used = 0
    with guard.watch():
        pass
    assert not guard.fired
    assert not process.killed.is_set()


def test_outside_of_a_block_nothing_is_raised(process):
    process.used = 1000
    process.guard()
    work(lambda: True)
    time.sleep(0.02)
    assert not process.killed.is_set()


def test_code_that_swallows_the_error_is_found_out(process):
    guard = process.guard()
    process.used = 101
    with guard.watch():
        try:
            work(lambda: False)
        except MemoryError:
            process.used = 0
    assert guard.fired


@pytest.mark.parametrize(("used", "patience_s"), [(101, 0.0), (201, 60.0)])
def test_where_the_error_does_not_help_the_process_dies(process, used, patience_s):
    guard = process.guard(patience_s=patience_s)
    process.used = used
    with guard.watch():
        try:
            work(lambda: False)
        except MemoryError:
            assert process.killed.wait(5)


def test_resident_memory_is_measured():
    assert resident_bytes() > 10 * 2**20
