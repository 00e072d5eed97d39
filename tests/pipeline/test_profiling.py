# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import pytest
from rich.console import Console

from flows.show import profile_table
from pipeline.ledger import Ledger
from pipeline.profiling import STEPS, Profile, Stopwatch, profile_run
from pipeline.report.schema import make_row


def test_laps_of_one_name_add_up():
    times = iter([10.0, 11.0, 14.0, 15.5])
    watch = Stopwatch(lambda: next(times))
    for name in ("scan", "work", "scan"):
        watch.lap(name)
    assert watch.seconds == {"scan": 2.5, "work": 3.0}


def visit(bracket: str, run: str = "r1", **seconds: float):
    steps = {f"seconds_{step}": value for step, value in seconds.items()}
    return make_row(bracket_id=bracket, run_id=run, status="fused", **steps)


def test_visits_of_the_run_are_added_up_and_the_rest_is_waiting(tmp_path):
    for run in ("r0", "r1"):
        with Ledger(str(tmp_path), run, "w") as ledger:
            ledger.append(visit("a", run, read=1.0, fuse=2.0, write=0.5))
            ledger.append(visit("b", run, read=1.0))  # it failed later on
            ledger.append(make_row(bracket_id="c", run_id=run, status="skipped"))
    profile = profile_run(str(tmp_path), "r1", driver={"work": 4.0}, workers=2)
    assert profile.visits == 2
    assert tuple(profile.steps) == STEPS
    assert profile.steps["read"] == 2.0
    assert sum(profile.steps.values()) == 4.5
    assert profile.idle == pytest.approx(3.5)


def printed(profile: Profile) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(profile_table(profile))
    return console.file.getvalue()


def test_the_table_names_every_step_and_its_share():
    steps = dict.fromkeys(STEPS, 0.0) | {"read": 3.0, "fuse": 1.0}
    driver = {"scan": 0.5, "start": 7.25, "work": 4.0}
    text = printed(Profile(driver=driver, workers=2, visits=4, steps=steps))
    assert "starting Ray and the workers" in text
    assert "7.25 s" in text
    for word in (*STEPS, "waiting", "50%", "0.750", "4 visits, workers: 2"):
        assert word in text


def test_a_run_without_work_has_no_visits_to_tell_of():
    text = printed(Profile(driver={"scan": 0.5, "plan": 0.1, "publish": 0.1}, workers=0, visits=0))
    assert "scanning" in text
    assert "visits" not in text
