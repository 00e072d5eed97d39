# SPDX-License-Identifier: Apache-2.0
"""How long a run will take and how much disk it needs, before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from pipeline import storage
from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.bracket import Bracket
from pipeline.deciding import Doubt
from pipeline.fuse_run import FuseRun, planner_of
from pipeline.ledger import read_report
from pipeline.models import find_model
from pipeline.planning import FuseJob, Settled, check_destination
from pipeline.settings import FuseSettings
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions

__all__ = ["Estimate", "estimate_run"]

_STEPS = ("seconds_read", "seconds_align", "seconds_fuse", "seconds_score", "seconds_write")

# Seconds for a megapixel of one frame, all steps together, measured on two cores.
_SECONDS_PER_MEGAPIXEL = 0.8

# Bytes of a result pixel, by format and depth: what photographs come to on average.
_BYTES_PER_PIXEL = {
    ("jpeg", 8): 0.8,
    ("png", 8): 2.2,
    ("png", 16): 5.0,
    ("tiff", 8): 2.4,
    ("tiff", 16): 5.2,
    ("exr", 16): 5.0,
    ("exr", 32): 10.0,
    ("avif", 8): 0.5,
    ("avif", 10): 0.6,
    ("avif", 12): 0.7,
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run would do and take; sizes in bytes, time in seconds for one worker."""

    brackets: int
    to_fuse: int
    reused: int
    singles: int
    unreadable: int
    megapixels_in: float
    result_bytes: float
    free_bytes: int | None
    seconds: float
    basis: str
    """Where the rate comes from."""


def estimate_run(
    source: str,
    destination: str,
    settings: FuseSettings,
    options: ScanOptions,
    work: WorkOptions,
) -> Estimate:
    """What ``flows.fuse.fuse_archive`` would do with the same arguments; writes nothing.

    Raises:
        UsageError: as the run itself would.
    """
    source, destination = storage.absolute(source), storage.absolute(destination)
    check_destination(source, destination)
    run = FuseRun(
        source=source,
        destination=destination,
        settings=settings,
        model=find_model(settings.model),
        singles=None if settings.singles is None else find_model(settings.singles),
        work=work,
        run_id="dry-run",
    )
    brackets = find_brackets(source, options, skip=destination).brackets
    planner = planner_of(
        run.recipe, named=lambda: brackets, standing=standing_results(destination), work=work
    )
    bytes_per_pixel = _BYTES_PER_PIXEL[settings.format, settings.bits]
    if planner.output == "radiance" and settings.format != "exr":  # a picture beside it
        bytes_per_pixel += _BYTES_PER_PIXEL["exr", 16]
    return _add_up(
        map(planner.decide, brackets), bytes_per_pixel=bytes_per_pixel, destination=destination
    )


def _add_up(
    decisions: Iterable[FuseJob | Settled | Doubt], *, bytes_per_pixel: float, destination: str
) -> Estimate:
    """Add up the decisions of a plan."""
    jobs = reused = singles = unreadable = 0
    megapixels_in = pixels_out = 0.0
    for decision in decisions:
        if isinstance(decision, Settled):
            reused += decision.status == "reused"
            singles += decision.status == "skipped"
            unreadable += decision.status == "quarantined"
            continue
        # What only its contents can tell is counted as work: nothing is read here.
        bracket = decision.job.bracket if isinstance(decision, Doubt) else decision.bracket
        jobs += 1
        pixels = _pixels(bracket)
        megapixels_in += pixels * len(bracket.frames) / 1e6
        pixels_out += pixels
    rate, basis = _rate(destination)
    return Estimate(
        brackets=jobs + reused,
        to_fuse=jobs,
        reused=reused,
        singles=singles,
        unreadable=unreadable,
        megapixels_in=megapixels_in,
        result_bytes=pixels_out * bytes_per_pixel,
        free_bytes=_free(destination),
        seconds=megapixels_in * rate,
        basis=basis,
    )


def _pixels(bracket: Bracket) -> float:
    first = bracket.frames[0]
    return float((first.width or 0) * (first.height or 0))


def _rate(destination: str) -> tuple[float, str]:
    """Seconds per megapixel read: of earlier runs here, else a typical figure."""
    columns = ["source_width", "source_height", "frame_count", "status", *_STEPS]
    table = read_report(destination, columns=columns, missing_ok=True)
    table = table.filter(pc.equal(table["status"], "fused"))
    seconds = sum(pc.sum(table[step]).as_py() or 0.0 for step in _STEPS)
    pixels = pc.multiply(
        pc.multiply_checked(table["source_width"].cast("int64"), table["source_height"]),
        table["frame_count"],
    )
    total = (pc.sum(pixels).as_py() or 0) / 1e6
    if total <= 0 or seconds <= 0:
        return _SECONDS_PER_MEGAPIXEL, "one worker on two cores, a typical figure"
    return seconds / total, "one worker, measured in this destination's report"


def _free(destination: str) -> int | None:
    if not storage.is_local(destination):
        return None
    folder = storage.local_path(destination)
    existing: Path = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
