# SPDX-License-Identifier: Apache-2.0
"""Scoring results that any tool made: match them with their brackets, then score each.

The frames are registered again in the same way as when fusing, so a result that bracketflow
wrote as PNG gets the very numbers of its report row.
"""

from __future__ import annotations

import posixpath
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline import storage
from pipeline.align.registration import align
from pipeline.archive.shot import IMAGE_EXTENSIONS
from pipeline.bracket import Bracket
from pipeline.errors import BracketflowError, InfrastructureError, PhotoError, UsageError
from pipeline.images.reading import Limits, read_photo
from pipeline.ledger import Intend, read_report
from pipeline.listing import list_files
from pipeline.planning import base_row, check_destination, failed_row, unexpected
from pipeline.report.schema import Row
from pipeline.runs import Run, versions
from pipeline.scoring import score_pixels
from pipeline.settings import ALGORITHM_VERSION, AlignMode
from pipeline.stacks import read_bracket

__all__ = [
    "Results",
    "ScoreJob",
    "ScoreRecipe",
    "ScoreRun",
    "check_score_destination",
    "find_results",
    "plan_scores",
]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Pictures made from brackets by some tool, findable by bracket."""

    by_bracket: dict[str, str]
    """bracket_id -> URI, where a report says so."""
    by_path: dict[str, tuple[str, ...]]
    """relative path without extension, casefolded -> URIs."""
    by_stem: dict[str, tuple[str, ...]]
    """file name without extension, casefolded -> URIs."""

    def match(self, bracket: Bracket) -> str | None:
        """The result of a bracket, or None.

        In this order: the report's own word; the same folder and the name of the bracket's first
        frame, its folder's name, or that name and a suffix such as ``_fused``; a file anywhere
        that is called like the bracket's folder. A name that fits two files fits none, and a
        bracket's own frames are never its result.
        """
        frames = {frame.uri for frame in bracket.frames}
        if bracket.id in self.by_bracket:
            return self.by_bracket[bracket.id]
        first = posixpath.splitext(min(frame.path for frame in bracket.frames))[0].casefold()
        folder = posixpath.dirname(first)
        name = posixpath.basename(folder)
        stems = [posixpath.basename(first), *([name] if name else [])]
        keys = []
        for stem in stems:
            for suffix in ("", "_fused"):
                keys.append(posixpath.join(folder, stem + suffix))
        keys += [folder, f"{folder}_fused"]
        candidates = [self.by_path.get(key, ()) for key in keys]
        if name:
            candidates += [self.by_stem.get(key, ()) for key in (name, f"{name}_fused")]
        for uris in candidates:
            others = [uri for uri in uris if uri not in frames]
            if len(others) == 1:
                return others[0]
        return None


def find_results(folder: str) -> Results:
    """Index the pictures below a folder, which may be a destination of ``fuse``.

    Raises:
        UsageError: ``source-missing``.
    """
    own = read_report(folder, columns=["bracket_id", "result_path", "display_path"]).to_pylist()
    by_bracket = {
        row["bracket_id"]: storage.join(folder, *path.split("/"))
        for row in own
        # Of a radiance, the picture beside it is what can be judged by the frames.
        if (path := row["display_path"] or row["result_path"]) is not None
    }
    by_path: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    if not by_bracket:
        for info in list_files(folder):
            stem, extension = posixpath.splitext(info.path)
            if extension.lower() not in IMAGE_EXTENSIONS:
                continue
            by_path[stem.casefold()].append(info.uri)
            by_stem[posixpath.basename(stem).casefold()].append(info.uri)
    return Results(
        by_bracket=by_bracket,
        by_path={path: tuple(uris) for path, uris in by_path.items()},
        by_stem={stem: tuple(uris) for stem, uris in by_stem.items()},
    )


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """One bracket and the result to score against it."""

    bracket: Bracket
    result_uri: str

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        return failed_row(
            self.bracket, error, run_id=run_id, worker=worker, result_uri=self.result_uri
        )


@dataclass(frozen=True, kw_only=True)
class ScoreRecipe:
    """What a worker needs to score; see ``pipeline.fleet``."""

    destination: str
    run_id: str
    align: AlignMode = "auto"
    limits: Limits = field(default_factory=Limits)

    def build(self, *, device: str, worker: str, intend: Intend) -> ScoreVisitor:
        """A scorer; scores are computed on the CPU whatever the device, and nothing is written."""
        return ScoreVisitor(recipe=self, worker=worker, versions=versions())


@dataclass(frozen=True, kw_only=True)
class ScoreVisitor:
    """Scores one result after the other."""

    recipe: ScoreRecipe
    worker: str
    versions: dict[str, str]

    def visit(self, job: ScoreJob) -> Row:
        """Score one result; a bad one becomes a quarantined row."""
        try:
            columns = _score(job, self.recipe)
        except InfrastructureError:
            raise
        except BracketflowError as error:
            return job.failed(run_id=self.recipe.run_id, worker=self.worker, error=error)
        except Exception as error:  # the run goes on; the row names what to report
            return job.failed(
                run_id=self.recipe.run_id, worker=self.worker, error=unexpected(error, job.bracket)
            )
        return base_row(
            job.bracket,
            run_id=self.recipe.run_id,
            worker=self.worker,
            **columns
            | {
                "status": "fused",
                "result_uri": job.result_uri,
                "algorithm_version": ALGORITHM_VERSION,
                "versions": self.versions,
            },
        )


def _score(job: ScoreJob, recipe: ScoreRecipe) -> dict[str, Any]:
    read = read_bracket(job.bracket, limits=recipe.limits)
    photo = read_photo(job.result_uri, recipe.limits)
    size = photo.pixels.shape[:2]
    alignment = align(read.stack.frames, mode=recipe.align)
    frames, crop = alignment.frames, alignment.crop
    if frames[0].shape[:2] != size and (read.stack.height, read.stack.width) == size:
        # Made without alignment, by another tool: judge it by the frames it was made from.
        frames, crop = read.stack.frames, (0, 0, read.stack.height, read.stack.width)
    if frames[0].shape[:2] != size:
        raise PhotoError(
            "result-differs-in-size",
            f"{job.result_uri} is {size[1]} x {size[0]} px, its frames are "
            f"{read.stack.width} x {read.stack.height}; score results of the frames' own size.",
        )
    began = time.perf_counter()
    scores = score_pixels(
        frames,
        photo.pixels,
        crop=crop,
        bracket=job.bracket,
        limits=recipe.limits,
    )
    return {
        "notes": list(read.notes),
        "align_method": alignment.method,
        "align_shift_px": alignment.shift_px,
        "align_residual_px": alignment.residual_px,
        "crop_px": list(crop),
        "seconds_score": time.perf_counter() - began,
        "width": size[1],
        "height": size[0],
        **scores.columns,
    }


@dataclass(frozen=True, kw_only=True)
class ScoreRun(Run):
    """What a scoring run was asked to do; ``results`` is the folder of the results."""

    results: str
    align: AlignMode = "auto"

    @property
    def recipe(self) -> ScoreRecipe:
        """What the workers need."""
        return ScoreRecipe(destination=self.destination, run_id=self.run_id, align=self.align)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"results": self.results, "settings": {"align": self.align}}


def check_score_destination(source: str, destination: str) -> None:
    """Refuse a destination inside the source, or one that holds the results of ``fuse``.

    Raises:
        UsageError: ``destination-invalid``.
    """
    check_destination(source, destination)
    keys = read_report(destination, columns=["key"], newest=False, missing_ok=True)["key"]
    if keys.null_count < len(keys):
        raise UsageError(
            "destination-invalid",
            f"{destination} holds the report of a fusing run, whose rows scores would hide; "
            "choose another --out.",
        )


def plan_scores(
    brackets: Iterable[Bracket], results: Results, *, run_id: str
) -> tuple[list[ScoreJob], list[Row]]:
    """Brackets with a result to score, and the rows of those without one."""
    jobs: list[ScoreJob] = []
    settled: list[Row] = []
    for bracket in brackets:
        uri = results.match(bracket) if bracket.kind == "bracket" else None
        if uri is not None:
            jobs.append(ScoreJob(bracket=bracket, result_uri=uri))
            continue
        note = "no result was found for this bracket" if bracket.kind == "bracket" else None
        settled.append(
            base_row(bracket, run_id=run_id, worker="plan", status="skipped", score_note=note)
        )
    return jobs, settled
