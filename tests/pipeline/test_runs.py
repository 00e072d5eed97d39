# SPDX-License-Identifier: Apache-2.0
"""Counts, the failure budget and run ids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.errors import CODES, BracketflowError, InfrastructureError, PhotoError, UsageError
from pipeline.runs import Counts, FailureBudget, new_run_id


def test_counts_that_do_not_add_up_are_an_error():
    counts = Counts(found=2)
    counts.add("fused")
    with pytest.raises(InfrastructureError) as caught:
        counts.check()
    assert caught.value.code == "counts-mismatch"
    counts.add("quarantined", "file-empty")
    counts.check()
    assert counts.as_dict()["codes"] == {"file-empty": 1}


@pytest.mark.parametrize(
    ("text", "fused", "quarantined", "exceeded"),
    [
        ("10%", 10, 1, False),
        ("10%", 2, 1, False),  # at least one bracket may fail
        ("10%", 2, 2, True),
        ("0.5", 50, 50, False),
        ("0.5", 49, 51, True),
        ("0%", 99, 1, True),
        ("0", 99, 0, False),
    ],
)
def test_failure_budget(text, fused, quarantined, exceeded):
    counts = Counts(fused=fused, quarantined=quarantined)
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
