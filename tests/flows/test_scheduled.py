# SPDX-License-Identifier: Apache-2.0
"""Flows for schedules: how they end, what they try again, and what is served on one machine."""

from __future__ import annotations

from collections import Counter

import pytest
from prefect.schedules import Schedule

from flows import scheduled
from flows.ends import QUARANTINE, ended, verified
from flows.rayjob import fuse_on_kuberay
from flows.serve import ServePlan, deployments
from pipeline.errors import InfrastructureError, LockedError, UsageError
from pipeline.runs import Counts, FailureBudget, Outcome
from pipeline.settings import FuseSettings
from pipeline.verifying.verify import Verdict

BUDGET = FailureBudget(0.1)


def outcome(*, fused=90, quarantined=0, failed_before=0):
    counts = Counts(found=fused + quarantined, fused=fused, quarantined=quarantined)
    counts.failed_before = failed_before
    counts.codes = Counter({"decode-failed": quarantined - failed_before})
    return Outcome(
        run_id="r", destination="/d", counts=counts, mean_mef_ssim=None, manifest_uri="/d/m"
    )


def test_a_run_without_failures_is_completed():
    whole = outcome()
    assert ended(whole) is whole
    assert ended(whole, BUDGET) is whole


def test_a_run_with_few_failures_is_completed_with_quarantine():
    state = ended(outcome(quarantined=3), BUDGET)
    assert (state.name, state.type) == (QUARANTINE, "COMPLETED")
    assert "3 of 93 in quarantine (decode-failed: 3)" in state.message


def test_a_run_past_its_budget_is_failed_and_what_failed_before_counts_no_more():
    assert ended(outcome(quarantined=30), BUDGET).type == "FAILED"
    assert ended(outcome(quarantined=30, failed_before=30), BUDGET).name == QUARANTINE
    assert ended(outcome(quarantined=30)).name == QUARANTINE


def test_findings_fail_the_weekly_check():
    facts = {"destination": "/d", "rows": 1, "files": 1, "complete": True, "findings": ()}
    clean = Verdict(**facts, open=0, counts={})
    assert verified(clean) is clean
    state = verified(Verdict(**facts, open=2, counts={"result-missing": 2}))
    assert state.type == "FAILED"
    assert "result-missing: 2" in state.message


@pytest.fixture
def paused(monkeypatch):
    """Pauses between tries, none of which is waited for."""
    pauses = []
    monkeypatch.setattr(scheduled.time, "sleep", pauses.append)
    monkeypatch.setattr(scheduled, "get_run_logger", lambda: scheduled.storage)
    monkeypatch.setattr(scheduled.storage, "warning", lambda *_: None, raising=False)
    return pauses


def failing(*errors):
    left = list(errors)

    def step():
        if left:
            raise left.pop(0)
        return "done"

    return step


def test_infrastructure_and_locks_are_tried_again(paused):
    step = failing(
        InfrastructureError("ray-failed", "away"), LockedError("destination-locked", "busy")
    )
    assert scheduled._tried(step, 3, 10) == "done"
    assert paused == [10, 20]


def test_not_for_ever(paused):
    step = failing(*[InfrastructureError("ray-failed", "away")] * 3)
    with pytest.raises(InfrastructureError):
        scheduled._tried(step, 3, 10)


def test_wrong_options_are_not_tried_again(paused):
    with pytest.raises(UsageError):
        scheduled._tried(failing(UsageError("option-invalid", "no")), 3, 10)
    assert not paused


def test_one_machine_is_served_by_module_one_run_at_a_time(tmp_path):
    plan = ServePlan(
        source=str(tmp_path / "in"),
        destination=str(tmp_path / "out"),
        cron="*/5 * * * *",
        timezone="Europe/Berlin",
        settings=FuseSettings(format="png"),
    )
    nightly, weekly = deployments(plan)
    assert nightly.entrypoint == "flows.scheduled.fuse_nightly"
    assert weekly.entrypoint == "flows.scheduled.verify_weekly"
    assert nightly.parameters["settings"]["format"] == "png"
    for made, cron in ((nightly, "*/5 * * * *"), (weekly, "0 6 * * 0")):
        (schedule,) = made.schedules
        assert not isinstance(schedule, Schedule)
        assert (schedule.schedule.cron, schedule.schedule.timezone) == (cron, "Europe/Berlin")
        assert made.concurrency_limit == 1
    assert len(deployments(ServePlan(source="/a", destination="/b", verify_cron=None))) == 1


@pytest.mark.parametrize("word", ["--dry-run", "--max-failures=50%"])
def test_what_the_flow_sees_to_is_no_argument_of_a_rayjob(word):
    with pytest.raises(UsageError, match=word.partition("=")[0]):
        fuse_on_kuberay.fn("/a", "/b", (word,))
