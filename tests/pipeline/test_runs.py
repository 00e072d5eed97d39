# SPDX-License-Identifier: Apache-2.0
"""Counts, the failure budget and run ids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.errors import CODES, BracketflowError, InfrastructureError, PhotoError, UsageError
from pipeline.ledger import Ledger
from pipeline.report.schema import make_row
from pipeline.runs import Counts, FailureBudget, Run, new_run_id, publish


def test_counts_that_do_not_add_up_are_an_error():
    counts = Counts(found=2)
    counts.add("fused", make_row())
    with pytest.raises(InfrastructureError) as caught:
        counts.check()
    assert caught.value.code == "counts-mismatch"
    counts.add("quarantined", make_row(error_code="file-empty"))
    counts.check()
    assert counts.as_dict()["codes"] == {"file-empty": 1}


def test_a_row_that_is_not_in_the_report_is_an_error(tmp_path):
    counts = Counts(found=1)
    counts.add("fused", make_row(bracket_id="a"))
    run = Run(source="/in", destination=str(tmp_path), run_id="r")
    with pytest.raises(InfrastructureError, match="1 rows were made, but 0"):
        publish(run, counts)
    with Ledger(str(tmp_path), "r", "w") as ledger:
        ledger.append(make_row(bracket_id="a", run_id="r", mef_ssim=0.5))
    assert publish(run, counts).mean_mef_ssim == 0.5


@pytest.mark.parametrize(
    ("text", "fused", "reused", "quarantined", "exceeded"),
    [
        ("10%", 10, 0, 1, False),
        ("10%", 2, 0, 1, False),  # at least one bracket may fail
        ("10%", 2, 0, 2, True),
        ("10%", 0, 998, 2, False),  # what stands already counts: a second run ends like the first
        ("0.5", 50, 0, 50, False),
        ("0.5", 49, 0, 51, True),
        ("0%", 99, 0, 1, True),
        ("0", 99, 0, 0, False),
    ],
)
def test_failure_budget(text, fused, reused, quarantined, exceeded):
    counts = Counts(fused=fused, reused=reused, quarantined=quarantined)
    assert FailureBudget.parse(text).exceeded(counts) is exceeded


@pytest.mark.parametrize("text", ["", "ten", "110%", "-1", "nan"])
def test_bad_budgets_are_refused(text):
    with pytest.raises(UsageError, match="--max-failures"):
        FailureBudget.parse(text)


def test_run_ids_sort_by_time():
    early = new_run_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    late = new_run_id(datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC))
    assert early < late
    assert early.startswith("20260102T030405Z-")


def test_codes_belong_to_their_class():
    assert PhotoError("file-empty", "x").exit_code == 1
    assert UsageError("option-invalid", "x").exit_code == 2
    assert InfrastructureError("disk-full", "x").exit_code == 4
    with pytest.raises(ValueError, match="not a code"):
        PhotoError("disk-full", "x")
    assert all(CODES.values())
    assert {c for cls in BracketflowError.__subclasses__() for c in cls.codes} == set(CODES)
