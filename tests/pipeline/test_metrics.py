# SPDX-License-Identifier: Apache-2.0
"""Metrics: what a row tells, and silence where there is no Ray."""

from __future__ import annotations

from collections import defaultdict

import pytest

from pipeline import metrics
from pipeline.report.schema import make_row

ROW = {
    "bracket_id": "a",
    "run_id": "r",
    "worker": "w",
    "source_width": 600,
    "source_height": 400,
    "frame_count": 3,
}


@pytest.fixture
def told(monkeypatch):
    """What was told, by metric, as (value, tags); with Ray pretended to run."""
    found = defaultdict(list)

    class Heard:
        def __init__(self, name):
            self.name = name

        def inc(self, value=1.0, tags=None):
            assert value > 0, "Ray refuses it"
            found[self.name].append((value, tags or {}))

        def observe(self, value, tags=None):
            found[self.name].append((value, tags or {}))

        set = observe

    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(metrics, "_made", Heard)
    return found


def test_a_fused_bracket(told):
    metrics.tell_bracket(
        make_row(**ROW, status="fused", mef_ssim=0.97, result_bytes=10, seconds_read=0.5)
    )
    assert told == {
        "bracketflow_brackets": [(1.0, {"status": "fused", "code": ""})],
        "bracketflow_stage_seconds": [(0.5, {"stage": "read"})],
        "bracketflow_frame_megapixels": [(pytest.approx(0.72), {})],
        "bracketflow_result_bytes": [(10, {})],
        "bracketflow_mef_ssim": [(0.97, {})],
    }


def test_a_quarantined_bracket_has_its_code_and_no_pixels(told):
    metrics.tell_bracket(make_row(**ROW, status="quarantined", error_code="decode-failed"))
    assert told == {
        "bracketflow_brackets": [(1.0, {"status": "quarantined", "code": "decode-failed"})]
    }


def test_labels_are_those_that_are_listed(told):
    metrics.tell_bracket(make_row(**ROW, status="fused", mef_ssim=0.9, seconds_fuse=1.0))
    metrics.tell_fleet(ready=2, starting=1, at_hand=4)
    metrics.tell_left(7)
    for name, values in told.items():
        for _, tags in values:
            assert tuple(tags) == metrics.METRICS[name].labels
    assert told["bracketflow_queue_brackets"] == [(7, {})]
    assert told["bracketflow_workers"] == [(2, {"state": "ready"}), (1, {"state": "starting"})]


def test_without_ray_nothing_is_told(told, monkeypatch):
    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: False)
    metrics.tell_bracket(make_row(**ROW, status="fused"))
    metrics.tell_fleet(ready=2, starting=1, at_hand=4)
    metrics.tell_left(7)
    assert not told


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_ray_takes_every_metric(name):
    assert metrics._made(name).info["name"] == name
