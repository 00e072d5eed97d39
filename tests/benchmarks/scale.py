# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.benchmarks.scale 10000``: what a run over an old archive costs.

Makes a catalog of N brackets that do not exist, and the report and results that a run over them
would have left, then runs the fuse flow again from the catalog: it has nothing to do. Prints
seconds, CPU seconds (which tell more where others use the machine) and peak memory. ``--plan``
leaves out Prefect.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipeline.archive.catalog import copy_catalog, read_catalog, write_catalog
from pipeline.bracket import Bracket, Frame
from pipeline.fuse_run import FuseRun, make_plan
from pipeline.ledger import Ledger
from pipeline.models import find_model
from pipeline.planning import Settled, base_row
from pipeline.settings import FuseSettings, KeyMaker

SETTINGS = FuseSettings(model="mertens")
_FRAMES = 3
_PER_FOLDER = 500


def synthetic(count: int, source: str) -> Iterator[Bracket]:
    """Brackets of three frames, 500 to a folder; every tenth is a single."""
    for number in range(count):
        folder = f"2026/day{number // _PER_FOLDER:06d}"
        frames = []
        for k in range(1 if number % 10 == 9 else _FRAMES):
            path = f"{folder}/IMG_{number % _PER_FOLDER * _FRAMES + k:05d}.jpg"
            frames.append(
                Frame(
                    uri=f"{source}/{path}",
                    path=path,
                    size_bytes=6_000_000 + number,
                    mtime_ns=1_790_000_000_000_000_000 + number * 977,
                    width=6000,
                    height=4000,
                    exposure_time_s=0.01 * 4.0**k,
                    f_number=8.0,
                    iso=100.0,
                    captured_s=1.79e9 + number,
                    ev=-12.6 + 2 * k,
                    camera="Maker Model 123456",
                )
            )
        kind = "single" if len(frames) == 1 else "bracket"
        yield Bracket(frames=tuple(frames), source=source, kind=kind, layout="exif", reason="3 EV")


def prepare(folder: Path, count: int, *, empty: Path) -> None:
    """The catalog, and the destination that a finished run left."""
    catalog, out = folder / "catalog.parquet", folder / "out"
    write_catalog(synthetic(count, str(folder / "in")), str(catalog))
    keys = KeyMaker(SETTINGS, find_model(SETTINGS.model).weights_sha256)
    when = datetime.now(UTC)
    links = 0
    with Ledger(str(out), "20260101T000000Z-000000", "worker000", max_age_s=1e9) as ledger:
        for bracket in read_catalog(str(catalog)):
            done: dict[str, object] = {"status": "skipped"}
            if bracket.kind == "bracket":
                stem = min(frame.path for frame in bracket.frames).removesuffix(".jpg")
                path = f"results/{stem}_fused.jpg"
                target = out / path
                if links % _PER_FOLDER == 0:
                    empty.unlink(missing_ok=True)  # a file takes so many names and no more
                    empty.write_bytes(b"result")
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(empty, target)
                links += 1
                done = {
                    "status": "fused",
                    "result_path": path,
                    "result_sha256": "5e" * 32,
                    "frame_sha256s": ["ab" * 32] * len(bracket.frames),
                    "timeless_key": keys.key(bracket, timeless=True),
                    "mef_ssim": 0.95,
                    "model": "mertens",
                }
            key = keys.key(bracket)
            row = base_row(bracket, run_id=ledger.run_id, worker="w", key=key, **done)
            ledger.append(row | {"finished_at": when})


def measure(folder: Path, count: int, *, plan_only: bool) -> dict[str, float]:
    """Run it again in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", str(count), "--again", str(folder)]
    done = subprocess.run(
        [*command, *(["--plan"] if plan_only else [])],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    )
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def again(folder: Path, count: int, *, plan_only: bool) -> dict[str, float]:
    """The run that has nothing to do; seconds of its steps and peak MiB."""
    began, worked = time.perf_counter(), time.process_time()
    out, catalog = str(folder / "out"), str(folder / "catalog.parquet")
    if plan_only:
        run = FuseRun(
            source=catalog, destination=out, settings=SETTINGS, model=find_model(SETTINGS.model)
        )
        copy_catalog(catalog, run.catalog_uri)
        plan = make_plan(run)
        planned, thought = time.perf_counter() - began, time.process_time() - worked
        settled = [d for chunk in plan.chunks(2000) for d in chunk]
        assert all(isinstance(decision, Settled) for decision in settled)
        assert sum(d.count for d in settled if isinstance(d, Settled)) == count
        steps = {"plan_s": planned, "plan_cpu_s": thought}
    else:
        from flows.fuse import fuse_archive

        began, worked = time.perf_counter(), time.process_time()
        counts = fuse_archive(catalog, out, SETTINGS).counts
        assert counts.reused + counts.skipped == count == counts.found
        steps = {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - worked}
    return steps | spent | {"peak_mib": peak}


def main() -> None:
    """Measure each of the given sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("brackets", type=int, nargs="+")
    parser.add_argument("--plan", action="store_true", help="the planning alone")
    parser.add_argument("--again", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.again:
        found = again(options.again, options.brackets[0], plan_only=options.plan)
        print(json.dumps(found))  # noqa: T201
        return
    for count in options.brackets:
        with tempfile.TemporaryDirectory(prefix="bracketflow-scale-") as name:
            folder = Path(name)
            began = time.perf_counter()
            prepare(folder, count, empty=folder / "result")
            made = time.perf_counter() - began
            began = time.perf_counter()
            found = measure(folder, count, plan_only=options.plan)
            command = time.perf_counter() - began
            facts = {"brackets": count, "made_s": made, "command_s": command, **found}
            print(json.dumps({k: round(v, 2) for k, v in facts.items()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
