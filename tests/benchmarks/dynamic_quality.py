# SPDX-License-Identifier: Apache-2.0
"""``make dynamic``: networks for radiance beside both merges.

On the project's dynamic test scenes, which are generated, and on archives with ground truth
(NTIRE patches, Kalantari's data). Every model gets what ``bracketflow fuse`` gives it. The plain
merge takes frames as they were registered as a whole, as networks do; the flow-aligned one those
that optical flow laid on the reference. Prints Markdown, and writes it to ``OUT/dynamic.md``, and
one row a bracket, case and model to ``OUT/dynamic.parquet``.

Sets: ``test``, the 48 scenes that goals speak of; ``far``, 16 with more motion and other exposure
distances than any training has; ``frames``, 12 of seven frames, for more frames than three, a
duplicate and other references.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from model.fusion_model import FusionModel
from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.bracket import Bracket
from pipeline.demo.dynamic import make_dynamic_archive
from pipeline.demo.dynamic_plan import DynamicPlan
from tests.benchmarks.dynamic_cases import BASELINES, FLOW, PLAIN, Scored, load, measure

SETS = {
    "test": DynamicPlan(split="test"),
    "far": DynamicPlan(
        split="test", seed=1, scenes=16, motion_px=(40.0, 80.0), steps_ev=(1.0, 4.0)
    ),
    "frames": DynamicPlan(
        split="test", seed=2, scenes=12, frames=7, steps_ev=(1.0,), height=384, width=384
    ),
}
_MAIN = "all frames"


def table(scored: Sequence[Scored]) -> str:
    """Means, in Markdown."""
    parts = []
    for archive in dict.fromkeys(row.archive for row in scored):
        here = [row for row in scored if row.archive == archive]
        parts.append(f"## {archive}")
        if all(row.case == _MAIN for row in here):
            parts += _by_motion(here)
        else:
            parts.append(_by_case(here))
    return "\n\n".join(parts) + "\n"


def _by_motion(rows: Sequence[Scored]) -> Iterator[str]:
    motions = list(dict.fromkeys(row.motion for row in rows))
    groups = [("all", rows)] if len(motions) > 1 else []
    groups += [(motion, [row for row in rows if row.motion == motion]) for motion in motions]
    for motion, some in groups:
        lines = [
            f"| {motion} | scenes | PSNR-mu dB | over plain | over flow | worst over flow "
            "| PSNR-L dB | SSIM-mu | SSIM-L | CPU s/MP |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        scores = {name: _of(some, name) for name in dict.fromkeys(row.model for row in some)}
        for name, own in scores.items():
            gains = [_gains(own, scores[base]) for base in (PLAIN, FLOW)]
            texts = [f"{statistics.fmean(gain):+.2f}" for gain in gains]
            texts.append(f"{min(gains[1]):+.2f}")
            if name in BASELINES[:3]:
                texts = ["-"] * 3
            speed = statistics.fmean(row.seconds / row.megapixels for row in own.values())
            lines.append(
                f"| {name} | {len(own)} | {_mean(own, 'psnr_mu_db')} | {' | '.join(texts)} | "
                f"{_mean(own, 'psnr_l_db')} | {_mean(own, 'ssim_mu', 4)} | "
                f"{_mean(own, 'ssim_l', 4)} | {speed:.1f} |"
            )
        yield "\n".join(lines)


def _by_case(rows: Sequence[Scored]) -> str:
    lines = [
        "| case | model | scenes | PSNR-mu dB | PSNR-L dB | SSIM-mu | largest change |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for case in dict.fromkeys(row.case for row in rows):
        some = [row for row in rows if row.case == case]
        for name in dict.fromkeys(row.model for row in some):
            own = _of(some, name)
            changes = [row.change for row in own.values() if row.change is not None]
            lines.append(
                f"| {case} | {name} | {len(own)} | {_mean(own, 'psnr_mu_db')} | "
                f"{_mean(own, 'psnr_l_db')} | {_mean(own, 'ssim_mu', 4)} | "
                f"{f'{max(changes):.4f}' if changes else '-'} |"
            )
    return "\n".join(lines)


def _of(rows: Sequence[Scored], model: str) -> dict[str, Scored]:
    return {row.bracket: row for row in rows if row.model == model}


def _gains(own: Mapping[str, Scored], base: Mapping[str, Scored]) -> list[float]:
    return [row.psnr_mu_db - base[bracket].psnr_mu_db for bracket, row in own.items()]


def _mean(rows: Mapping[str, Scored], figure: str, digits: int = 2) -> str:
    return f"{statistics.fmean(getattr(row, figure) for row in rows.values()):.{digits}f}"


def brackets_of(archive: Path) -> tuple[Bracket, ...]:
    """Those of an archive that have ground truth in linear light."""
    found = find_brackets(str(archive), ScanOptions()).brackets
    return tuple(bracket for bracket in found if bracket.label_kind == "radiance")


def run(
    archives: Mapping[str, Path],
    models: Mapping[str, FusionModel],
    out: Path,
    *,
    most: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Scored]:
    """Measure everything, and write what there is after each archive.

    Args:
        archives: by name; that called ``frames`` has seven frames a scene.
        models: see :func:`tests.benchmarks.dynamic_cases.load`.
        out: folder for the tables.
        most: at most so many brackets of an archive.
        tell: called with a line for each bracket.
    """
    scored: list[Scored] = []
    out.mkdir(parents=True, exist_ok=True)
    for name, archive in archives.items():
        for bracket in brackets_of(archive)[:most]:
            rows = list(measure(name, bracket, models, more=name == "frames"))
            scored += rows
            figures = ", ".join(f"{row.model} {row.psnr_mu_db:.2f}" for row in rows)
            tell(f"{name} {rows[0].bracket}: {figures}")
        (out / "dynamic.md").write_text(table(scored), encoding="utf-8")
        rows_table = pa.Table.from_pylist([asdict(row) for row in scored])
        pq.write_table(rows_table, out / "dynamic.parquet")
    return scored


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make dynamic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archives", nargs="*", type=Path, help="archives with ground truth")
    parser.add_argument("--model", action="append", default=[], help="name or weights file")
    parser.add_argument("--sets", default="test", help="generated sets by commas; '' for none")
    parser.add_argument("--scenes", type=int, help="at most so many of each archive")
    parser.add_argument("--out", type=Path, default=Path("dynamic-out"))
    options = parser.parse_args()
    cv2.setNumThreads(torch.get_num_threads())

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    archives = {archive.name: archive for archive in options.archives}
    for name in filter(None, options.sets.split(",")):
        plan = SETS[name]
        if options.scenes is not None:
            plan = replace(plan, scenes=min(plan.scenes, options.scenes))
        folder = options.out / "scenes" / f"{name}-{plan.scenes}"
        make_dynamic_archive(str(folder.resolve()), plan)
        archives[name] = folder
    scored = run(archives, load(options.model), options.out, most=options.scenes, tell=tell)
    sys.stdout.write(table(scored))


if __name__ == "__main__":
    main()
