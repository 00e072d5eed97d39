# SPDX-License-Identifier: Apache-2.0
"""In which order jobs are handed out, and what is tried again, without any Ray."""

from __future__ import annotations

import pytest

from pipeline.fleet_queue import WorkQueue


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make(jobs, clock):
    return WorkQueue(jobs, clock=clock, jitter=lambda: 1.0)


def test_new_jobs_are_read_one_at_a_time(clock):
    read = []
    queue = make((read.append(number) or number for number in range(3)), clock)
    assert queue.take(busy=False).job == 0
    assert read == [0]
    assert [queue.take(busy=True).job for _ in range(2)] == [1, 2]
    assert not queue.empty  # nobody knows yet
    assert queue.take(busy=False) is None
    assert queue.empty


def test_a_suspect_goes_alone_and_first(clock):
    queue = make(range(3), clock)
    suspect = queue.take(busy=False)
    suspect.deaths = 1
    queue.put_back(suspect)
    assert queue.take(busy=True) is None  # the worker empties its hands first
    assert queue.take(busy=False) is suspect
    assert queue.take(busy=True).job == 1


def test_what_is_not_to_blame_comes_again_at_once(clock):
    queue = make(range(3), clock)
    ticket = queue.take(busy=False)
    queue.put_back(ticket)
    assert queue.take(busy=True) is ticket


def test_infrastructure_is_given_longer_and_longer_then_the_run_fails(clock):
    queue = make(["job"], clock)
    ticket = queue.take(busy=False)
    waits = []
    while queue.try_later(ticket):
        assert queue.take(busy=False) is None
        assert not queue.empty
        waits.append(queue.seconds_to_next())
        clock.now += waits[-1]
        assert queue.take(busy=False) is ticket
    assert waits == [2, 4, 8, 16, 32]


def test_others_go_on_while_one_waits_but_not_all(clock):
    queue = make(range(100), clock)
    assert queue.try_later(queue.take(busy=False))
    assert queue.take(busy=False).job == 1
    handed = 2
    while (ticket := queue.take(busy=False)) is not None:
        handed += 1
        assert queue.try_later(ticket)
    assert handed < 20  # storage that is down for all does not burn through the archive
    clock.now += 60
    assert queue.take(busy=False).job == 0


def test_a_suspect_that_waited_is_still_one(clock):
    queue = make(range(2), clock)
    ticket = queue.take(busy=False)
    ticket.timeouts = 1
    assert queue.try_later(ticket)
    clock.now += 60
    assert queue.take(busy=True) is None
    assert queue.take(busy=False) is ticket
