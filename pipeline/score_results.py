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

from pipeline.align.registration import align
from pipeline.archive.shot import IMAGE_EXTENSIONS
from pipeline.bracket import Bracket
from pipeline.errors import BracketflowError, PhotoError
from pipeline.images.reading import Limits, read_photo
from pipeline.ledger import read_report
from pipeline.listing import list_files
from pipeline.planning import base_row
from pipeline.report.schema import Row
from pipeline.runs import Run, versions
from pipeline.scoring import score_pixels
from pipeline.settings import ALGORITHM_VERSION, AlignMode
from pipeline.stacks import read_bracket

__all__ = ["Results", "ScoreJob", "ScoreRecipe", "ScoreRun", "find_results", "plan_scores"]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Pictures made from brackets by some tool, findable by bracket."""

    by_bracket: dict[str, str]
    """bracket_id -> URI, where a report says so."""
    by_path: dict[str, str]
    """relative path without extension, casefolded -> URI."""
    by_stem: dict[str, tuple[str, ...]]
    """file name without extension, casefolded -> URIs."""

    def match(self, bracket: Bracket) -> str | None:
        """The result of a bracket, or None.

        In this order: the report's own word; the same folder and the name of the bracket's first
        frame, its folder's name, or that name and a suffix such as ``_fused``; a file anywhere
        that is called like the bracket's folder. A name that fits two files fits none.
        """
        if bracket.id in self.by_bracket:
            return self.by_bracket[bracket.id]
        first = posixpath.splitext(min(frame.path for frame in bracket.frames))[0].casefold()
        folder = posixpath.dirname(first)
        name = posixpath.basename(folder)
        stems = [posixpath.basename(first), *([name] if name else [])]
        for stem in stems:
            for suffix in ("", "_fused"):
                uri = self.by_path.get(posixpath.join(folder, stem + suffix))
                if uri is not None:
                    return uri
        for key in (folder, f"{folder}_fused"):
            if key in self.by_path:
                return self.by_path[key]
        for stem in (name, f"{name}_fused"):
            uris = self.by_stem.get(stem, ()) if name else ()
            if len(uris) == 1:
                return uris[0]
        return None


def find_results(folder: str) -> Results:
    """Index the pictures below a folder, which may be a destination of ``fuse``.

    Raises:
        UsageError: ``source-missing``.
    """
    own = read_report(folder, columns=["bracket_id", "status", "result_uri"]).to_pylist()
    by_bracket = {row["bracket_id"]: row["result_uri"] for row in own if row["status"] == "fused"}
    by_path: dict[str, str] = {}
    by_stem: dict[str, list[str]] = defaultdict(list)
    if not by_bracket:
        for info in list_files(folder):
            stem, extension = posixpath.splitext(info.path)
            if extension.lower() not in IMAGE_EXTENSIONS:
                continue
            by_path[stem.casefold()] = info.uri
            by_stem[posixpath.basename(stem).casefold()].append(info.uri)
    return Results(
        by_bracket=by_bracket,
        by_path=by_path,
        by_stem={stem: tuple(uris) for stem, uris in by_stem.items()},
    )


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """One bracket and the result to score against it."""

    bracket: Bracket
    result_uri: str

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        return base_row(
            self.bracket,
            run_id=run_id,
            worker=worker,
            status="quarantined",
            result_uri=self.result_uri,
            error_code=error.code,
            error_message=error.message,
        )


@dataclass(frozen=True, kw_only=True)
class ScoreRecipe:
    """What a worker needs to score; see ``pipeline.fleet``."""

    destination: str
    run_id: str
    align: AlignMode = "auto"
    limits: Limits = field(default_factory=Limits)

    def build(self, *, device: str, worker: str) -> ScoreVisitor:
        """A scorer; scores are computed on the CPU whatever the device."""
        return ScoreVisitor(recipe=self, worker=worker, versions=versions())


@dataclass(frozen=True, kw_only=True)
class ScoreVisitor:
    """Scores one result after the other."""

    recipe: ScoreRecipe
    worker: str
    versions: dict[str, str]

    def visit(self, job: ScoreJob) -> Row:
        """Score one result; a bad one becomes a quarantined row."""
        began = time.perf_counter()
        try:
            columns = _score(job, self.recipe)
        except PhotoError as error:
            return job.failed(run_id=self.recipe.run_id, worker=self.worker, error=error)
        return base_row(
            job.bracket,
            run_id=self.recipe.run_id,
            worker=self.worker,
            **columns
            | {
                "status": "fused",
                "result_uri": job.result_uri,
                "algorithm_version": ALGORITHM_VERSION,
                "seconds_score": time.perf_counter() - began,
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
    scores = score_pixels(
        frames,
        photo.pixels,
        crop=crop,
        label_uri=job.bracket.label_uri,
        label_kind=job.bracket.label_kind,
        limits=recipe.limits,
    )
    return {
        "notes": list(read.notes),
        "align_method": alignment.method,
        "align_shift_px": alignment.shift_px,
        "align_residual_px": alignment.residual_px,
        "crop_px": list(crop),
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
