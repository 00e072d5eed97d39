# SPDX-License-Identifier: Apache-2.0
"""What a fleet tells a monitoring system while it works: counters, gauges and histograms.

They go through Ray's metrics, so that every node's agent has them for Prometheus, with ``ray_`` in
front of the name and Ray's own labels (node, worker) beside ours. A call costs microseconds and
no network; where Ray's agent does not run (a local instance without ``ray[default]``) nobody reads
them, and outside of Ray nothing is counted at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import ray
from ray.util import metrics as ray_metrics

from pipeline.report.schema import Row

__all__ = ["METRICS", "Metric", "tell_bracket", "tell_fleet", "tell_left"]

_STAGES = ("read", "align", "fuse", "score", "write")
_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]
_SCORES = [0.8, 0.9, 0.94, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure: its name in Ray, what kind it is, unit, meaning and labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    boundaries: list[float] = field(default_factory=list)
    """Upper ends of a histogram's buckets."""


_ALL = (
    Metric(
        name="bracketflow_brackets",
        kind="counter",
        unit="",
        meaning="brackets that a worker is done with, by status and error code",
        labels=("status", "code"),
    ),
    Metric(
        name="bracketflow_frame_megapixels",
        kind="counter",
        unit="MP",
        meaning="pixels of all frames of the brackets that were fused",
    ),
    Metric(
        name="bracketflow_result_bytes",
        kind="counter",
        unit="B",
        meaning="size of the results",
    ),
    Metric(
        name="bracketflow_stage_seconds",
        kind="histogram",
        unit="s",
        meaning=f"how long a bracket took, by stage: {', '.join(_STAGES)}",
        labels=("stage",),
        boundaries=_SECONDS,
    ),
    Metric(
        name="bracketflow_mef_ssim",
        kind="histogram",
        unit="",
        meaning="the report's headline, MEF-SSIM of a fused bracket",
        boundaries=_SCORES,
    ),
    Metric(
        name="bracketflow_queue_brackets",
        kind="gauge",
        unit="",
        meaning="brackets of the run that are not done yet",
    ),
    Metric(
        name="bracketflow_at_hand_brackets",
        kind="gauge",
        unit="",
        meaning="brackets that workers have at hand, two each at most",
    ),
    Metric(
        name="bracketflow_workers",
        kind="gauge",
        unit="",
        meaning="workers, by state: ready or starting",
        labels=("state",),
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""All of them by name."""


def tell_bracket(row: Row) -> None:
    """A worker is done with a bracket, as its row says."""
    if not ray.is_initialized():
        return
    code = row["error_code"] or ""
    _made("bracketflow_brackets").inc(tags={"status": row["status"], "code": code})
    for stage in _STAGES:
        seconds = row[f"seconds_{stage}"]
        if seconds is not None:
            _made("bracketflow_stage_seconds").observe(seconds, tags={"stage": stage})
    if row["status"] != "fused":
        return
    pixels = (row["source_width"] or 0) * (row["source_height"] or 0) * (row["frame_count"] or 0)
    for name, value in (
        ("bracketflow_frame_megapixels", pixels / 1e6),
        ("bracketflow_result_bytes", row["result_bytes"] or 0),
    ):
        if value > 0:  # Ray takes a counter's zero for a mistake
            _made(name).inc(value)
    if row["mef_ssim"] is not None:
        _made("bracketflow_mef_ssim").observe(row["mef_ssim"])


def tell_fleet(*, ready: int, starting: int, at_hand: int) -> None:
    """The driver's view of its workers."""
    if not ray.is_initialized():
        return
    _made("bracketflow_workers").set(ready, tags={"state": "ready"})
    _made("bracketflow_workers").set(starting, tags={"state": "starting"})
    _made("bracketflow_at_hand_brackets").set(at_hand)


def tell_left(brackets: int) -> None:
    """How many brackets of the run the driver has still to do."""
    if ray.is_initialized():
        _made("bracketflow_queue_brackets").set(brackets)


@cache
def _made(name: str) -> Any:
    """Ray's object for a metric of ours, one a process."""
    metric = METRICS[name]
    what = f"{metric.meaning} ({metric.unit})" if metric.unit else metric.meaning
    if metric.kind == "histogram":
        return ray_metrics.Histogram(
            name, what, boundaries=metric.boundaries, tag_keys=metric.labels
        )
    kind = ray_metrics.Counter if metric.kind == "counter" else ray_metrics.Gauge
    return kind(name, what, tag_keys=metric.labels)
