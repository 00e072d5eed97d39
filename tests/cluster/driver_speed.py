# SPDX-License-Identifier: Apache-2.0
"""``driver_speed.py FOLDER``: how many brackets a second one driver can hand out.

Jobs that do nothing show the driver's limit; brackets of 0.1 MP what a bracket costs beside its
pixels. On the Ray that RAY_ADDRESS names. SPEED_JOBS says how many.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.archive.find import write_found
from pipeline.archive.scan import ScanOptions
from pipeline.chunks import work_chunk
from pipeline.demo.archive import ArchivePlan, make_archive
from pipeline.fleet import open_fleet
from pipeline.fuse_run import FuseRun, make_plan
from pipeline.ledger import Ledger
from pipeline.models import find_model
from pipeline.pool import PoolOptions
from pipeline.runs import Counts, new_run_id
from pipeline.settings import FuseSettings
from tests.pipeline.toy_fleet import ToyJob, ToyRecipe


def measure(recipe, jobs, workers: int, destination: Path) -> tuple[float, float]:
    """Jobs a second, and milliseconds of the driver's CPU for each."""
    with (
        open_fleet(recipe, PoolOptions(workers=workers, threads_per_worker=1)) as fleet,
        Ledger(str(destination), recipe.run_id, "plan") as ledger,
    ):
        began, cpu = time.perf_counter(), time.process_time()
        work_chunk(fleet, ledger, jobs, Counts(found=len(jobs)), lambda row, count: None)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return len(jobs) / seconds, 1000 * cpu / len(jobs)


def say(what: str, found: tuple[float, float]) -> None:
    print(f"{what}\t{found[0]:.0f} a second, {found[1]:.2f} ms of the driver each")  # noqa: T201


def main(folder: Path, jobs: int) -> None:
    for workers in (1, 2):
        out = folder / f"empty{workers}"
        recipe = ToyRecipe(destination=str(out), run_id=new_run_id())
        empty = [ToyJob(str(number)) for number in range(jobs)]
        say(f"empty jobs, {workers} actor(s)", measure(recipe, empty, workers, out))
    archive = folder / "archive"
    make_archive(archive, brackets=jobs, plan=ArchivePlan(seed=1, size=(256, 384)))
    settings = FuseSettings(model="mertens", align="off", format="png", previews=False)
    for workers in (1, 2):
        run = FuseRun(
            source=str(archive),
            destination=str(folder / f"tiny{workers}"),
            settings=settings,
            model=find_model(settings.model),
        )
        write_found(run.source, run.catalog_uri, ScanOptions())
        (chunk,) = make_plan(run).chunks(10 * jobs)
        found = measure(run.recipe, chunk, workers, Path(run.destination))
        say(f"brackets of 0.1 MP, {workers} actor(s)", found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(os.environ.get("SPEED_JOBS", "1000")))
