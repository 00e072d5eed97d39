# SPDX-License-Identifier: Apache-2.0
"""``make bench``: our steps beside OpenCV's, in alternating repeats of one run.

Prints a Markdown table and writes it, with the raw figures as Parquet, to ``bench-out/``. Ratios
are what counts: below 1 we are the faster one. Seconds depend on the machine that is described.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from model import tiles, zoo
from model.fusion_model import TensorStack
from model.metrics import mef_ssim
from pipeline.align.registration import align
from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.bracket import Stack
from pipeline.deciding import Planner
from pipeline.demo.archive import ArchivePlan, make_archive
from pipeline.fusing import FuseRecipe
from pipeline.fusion_visit import fuse_stack
from pipeline.images.reading import read_photo
from pipeline.images.writing import encode_photo
from pipeline.models import find_model
from pipeline.naming import Names
from pipeline.planning import FuseJob
from pipeline.scoring import score_pixels
from pipeline.settings import FuseSettings
from pipeline.standing import Standing


@dataclass(frozen=True)
class Measured:
    """One row: median seconds per megapixel of input, and a rival's where there is one."""

    what: str
    ours_s_per_mp: float
    rival: str | None = None
    rival_s_per_mp: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours_s_per_mp / self.rival_s_per_mp if self.rival_s_per_mp else None


def pair(
    what: str,
    ours: Callable[[], object],
    rival: Callable[[], object] | None,
    *,
    rival_name: str | None,
    megapixels: float,
    repeats: int,
) -> Measured:
    """Time both in turns after one warm-up each."""
    seconds: dict[str, list[float]] = {"ours": [], "rival": []}
    runs = [("ours", ours)] + ([("rival", rival)] if rival else [])
    for turn in range(repeats + 1):
        for name, run in runs:
            began = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return Measured(
        what=what,
        ours_s_per_mp=statistics.median(seconds["ours"]) / megapixels,
        rival=rival_name,
        rival_s_per_mp=statistics.median(seconds["rival"]) / megapixels if rival else None,
    )


def opencv_merge(frames: list[np.ndarray]) -> np.ndarray:
    """OpenCV's exposure fusion, 0..255 uint8."""
    fused = cv2.createMergeMertens().process([frame.astype(np.float32) for frame in frames])
    return (np.clip(fused, 0, 1) * 255 + 0.5).astype(np.uint8)


def opencv_script(paths: list[Path], out: Path) -> None:
    """What users compare with: decode, merge, encode; no alignment check and no score."""
    fused = opencv_merge([cv2.imread(str(path)) for path in paths])
    cv2.imwrite(str(out), fused, [cv2.IMWRITE_JPEG_QUALITY, 95])


def measure(folder: Path, megapixels: float, count: int, repeats: int) -> list[Measured]:
    """All rows for one JPEG bracket of ``count`` frames."""
    archive = folder / "archive"
    settings = FuseSettings(previews=False)
    make_archive(
        archive,
        brackets=1,
        plan=ArchivePlan(megapixels=megapixels, frames=count, format="jpeg", broken_index=None),
    )
    brackets = [
        b for b in find_brackets(str(archive), ScanOptions()).brackets if b.kind == "bracket"
    ]
    (bracket,) = brackets
    planner = Planner(
        names=lambda: Names(brackets, template=settings.name, model=settings.model),
        settings=settings,
        weights_sha256=find_model(settings.model).weights_sha256,
        destination=str(folder / "out"),
        standing=Standing(),
        run_id="bench",
    )
    job = planner.decide(bracket)
    assert isinstance(job, FuseJob)
    paths = [Path(frame.uri) for frame in job.bracket.frames]
    frames = [read_photo(str(path)).pixels for path in paths]
    size = frames[0].shape[0] * frames[0].shape[1] * count / 1e6
    stack = Stack(frames=tuple(frames))
    tensors = TensorStack(stack.tile(slice(None), slice(None)))
    model = zoo.load("mertens")
    result = fuse_stack(model, stack, bits=8)
    recipe = FuseRecipe(
        settings=settings,
        model=find_model(settings.model),
        destination=str(folder / "out"),
        run_id="bench",
    )
    visitor = recipe.build(device="cpu", worker="bench", intend=lambda uri, sha256: None)

    def row(what, ours, rival=None, rival_name=None):
        return pair(what, ours, rival, rival_name=rival_name, megapixels=size, repeats=repeats)

    return [
        row(
            "decode",
            lambda: [read_photo(str(path)) for path in paths],
            lambda: [cv2.imread(str(path)) for path in paths],
            "cv2.imread",
        ),
        row("align check", lambda: align(frames)),
        row(
            "fuse, mertens",
            lambda: tiles.fuse(model, tensors),
            lambda: opencv_merge(frames),
            "cv2 Mertens",
        ),
        *(
            row(
                f"fuse, {zoo.DEFAULT} {effort}",
                lambda network=network: fuse_stack(network, stack, bits=8),
                lambda: opencv_merge(frames),
                "cv2 Mertens",
            )
            for effort, network in (
                ("fast", zoo.fast_form(zoo.load(zoo.DEFAULT))),
                ("full", zoo.load(zoo.DEFAULT)),
            )
        ),
        row(
            "MEF-SSIM, gray_ms3",
            lambda: mef_ssim.score(frames, result, ("gray_ms3",)),
            lambda: opencv_merge(frames),
            "cv2 Mertens",
        ),
        row(
            "score, all variants",
            lambda: score_pixels(frames, result, crop=(0, 0, *result.shape[:2])),
            lambda: opencv_merge(frames),
            "cv2 Mertens",
        ),
        row(
            "encode JPEG",
            lambda: encode_photo(result, format="jpeg", bits=8),
            lambda: cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, 95]),
            "cv2.imencode",
        ),
        row(
            "whole visit, with scores",
            lambda: visitor.visit(job),
            lambda: opencv_script(paths, folder / "cv.jpg"),
            "OpenCV script, no scores",
        ),
    ]


def markdown(rows: list[Measured], megapixels: float, count: int, repeats: int) -> str:
    """The table, with the machine's description."""
    lines = [
        f"# Benchmarks, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads, "
        f"OpenCV {cv2.__version__}. One bracket of {count} JPEG frames of {megapixels:g} MP, "
        f"medians of {repeats} alternating repeats. Seconds per megapixel of input.",
        "",
        "| step | ours, s/MP | beside | its s/MP | ratio |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        beside = (
            f"{row.rival} | {row.rival_s_per_mp:.4f} | {row.ratio:.2f}"
            if row.rival
            else "- | - | -"
        )
        lines.append(f"| {row.what} | {row.ours_s_per_mp:.4f} | {beside} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--megapixels", type=float, default=6.0, help="size of a frame")
    parser.add_argument("--frames", type=int, default=3, help="frames of the bracket")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.megapixels, options.frames, options.repeats)
    table = markdown(rows, options.megapixels, options.frames, options.repeats)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.md").write_text(table, "utf-8")
    records = [asdict(row) | {"ratio": row.ratio} for row in rows]
    pq.write_table(pa.Table.from_pylist(records), options.out / "bench.parquet")
    print(table)  # noqa: T201 - a command line


if __name__ == "__main__":
    main()
