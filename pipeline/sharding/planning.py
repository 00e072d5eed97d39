# SPDX-License-Identifier: Apache-2.0
"""What a sharding run has to do: which bracket goes into which split, and which into none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from pipeline import storage
from pipeline.archive.catalog import read_brackets
from pipeline.archive.overlap import Looked, Seen, compare, look_at, same_scene_pairs
from pipeline.archive.scenes import scenes_of
from pipeline.bracket import Bracket
from pipeline.digests import digest_of
from pipeline.errors import BracketflowError, UsageError
from pipeline.ledger import read_report
from pipeline.models import ChosenModel
from pipeline.patches import patches_path
from pipeline.planning import (
    Settled,
    base_row,
    check_destination,
    each_once,
    last_of,
    settled_by_scan,
    skipped,
    stands,
    stays_failed,
)
from pipeline.runs import Run, begin_rows
from pipeline.sharding.compared import Compared, what_came
from pipeline.sharding.cutting import reduced_size
from pipeline.sharding.settings import ShardSettings, Split, shard_key
from pipeline.sharding.split_table import write_split
from pipeline.sharding.splitting import assign_splits, check_splits
from pipeline.sharding.visiting import TOO_SMALL, ShardJob, ShardRecipe
from pipeline.standing import Standing
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions

__all__ = [
    "Place",
    "ShardPlan",
    "ShardRun",
    "check_shards",
    "finish_shards",
    "make_shard_plan",
]


@dataclass(frozen=True, kw_only=True)
class ShardRun(Run):
    """What a sharding run was asked to do; the destination is where the shards go."""

    settings: ShardSettings
    work: WorkOptions = field(default_factory=WorkOptions)
    without: tuple[str, ...] = ()
    stage_one: ChosenModel | None = None
    """What makes structure labels, see ``pipeline.pseudo_labels``."""
    compared: Compared | None = None
    """What came of ``without``, once it is known."""

    @property
    def catalog_uri(self) -> str:
        """Where this run's catalog is kept."""
        return storage.join(self.destination, "catalog", f"run={self.run_id}.parquet")

    @property
    def recipe(self) -> ShardRecipe:
        """What the workers need."""
        return ShardRecipe(
            settings=self.settings,
            destination=self.destination,
            run_id=self.run_id,
            stage_one=self.stage_one,
        )

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "catalog": self.catalog_uri,
            "settings": asdict(self.settings),
            "settings_sha256": self.settings.sha256,
            "work": asdict(self.work),
            "without": list(self.without),
            "stage_one": None if self.stage_one is None else self.stage_one.weights_sha256,
            "compared": None if self.compared is None else asdict(self.compared),
        }


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a bracket belongs: its scene, the split (None: nowhere), and why."""

    scene: str
    split: Split | None
    reason: str
    error: BracketflowError | None = None
    """What is wrong with a bracket that nobody could compare with others."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """The work of a run. ``places`` knows every bracket that the scan could read, no single."""

    run: ShardRun
    found: int
    places: Mapping[str, Place]
    standing: Standing

    def chunks(self, size: int) -> Iterator[tuple[ShardJob | Settled, ...]]:
        """Decisions over all brackets of the catalog, ``size`` at a time."""
        decisions = map(self.decide, read_brackets(self.run.catalog_uri))
        while chunk := tuple(islice(decisions, size)):
            yield chunk

    def decide(self, bracket: Bracket) -> ShardJob | Settled:
        """Left out, reused, or work."""
        run, standing = self.run, self.standing
        place = self.places.get(bracket.id)
        key = self.key(bracket, place)
        if place is None:
            settled = settled_by_scan(
                bracket, key=key, standing=standing, run_id=run.run_id, work=run.work
            )
            assert settled is not None, "every real bracket has a place"
            return settled
        if place.error is not None:
            return Settled(
                status="quarantined",
                row=base_row(
                    bracket,
                    run_id=run.run_id,
                    worker="driver",
                    key=key,
                    status="quarantined",
                    error_code=place.error.code,
                    error_message=place.error.message,
                    error_stage="compare",
                ),
            )
        if place.split is None:
            return skipped(
                bracket, key=key, standing=standing, run_id=run.run_id, note=place.reason
            )
        before, digest = last_of(bracket.id, standing), digest_of(key)
        if before is not None and not run.work.force:
            if (before.digest, before.status) == (digest, "skipped"):
                return Settled(status="skipped")  # a visit found it too small
            if stays_failed(before, digest, run.work):
                return Settled(status="quarantined")
            if stands(bracket, digest=digest, standing=standing, destination=run.destination):
                return Settled(status="reused")
        path = patches_path(place.split, bracket.id)
        return ShardJob(
            bracket=bracket,
            scene=place.scene,
            split=place.split,
            key=key,
            result_uri=storage.join(run.destination, *path.split("/")),
            result_path=path,
        )

    def key(self, bracket: Bracket, place: Place | None) -> str:
        """The key of a bracket's patches; the scene is in it, for every patch bears its name."""
        named = "none" if place is None else f"{place.split or 'none'}/{place.scene}"
        stage_one = self.run.stage_one
        return shard_key(
            bracket,
            self.run.settings,
            named,
            None if stage_one is None else stage_one.weights_sha256,
        )


def check_shards(source: str, shards: str) -> None:
    """Refuse a place for shards inside the source, or one that holds fused photographs.

    Raises:
        UsageError: ``destination-invalid``.
    """
    check_destination(source, shards)
    models = read_report(shards, columns=["model"], newest=False, missing_ok=True)["model"]
    if models.null_count < len(models):
        raise UsageError(
            "destination-invalid",
            f"{shards} holds the report of a fusing run; choose another folder for the shards.",
        )


def make_shard_plan(
    run: ShardRun,
    known: Sequence[Seen] = (),
    *,
    progress: Callable[[], None] | None = None,
) -> ShardPlan:
    """Decide on every scene of the catalog, and look at what stands already.

    A bracket that has to be compared with others and cannot be read is left out for good: if it
    could be read later, it might be cut though it must not.

    Args:
        run: its catalog is written.
        known: what the scenes that must not occur look like.
        progress: called once for each bracket that is looked at.

    Raises:
        UsageError: ``catalog-invalid``, a bracket is in it twice; ``dataset-too-small``.
        InfrastructureError: ``storage-failed``.
    """
    found = 0
    readable: list[Bracket] = []
    for bracket in each_once(read_brackets(run.catalog_uri)):
        found += 1
        if bracket.kind == "bracket" and bracket.error_code is None:
            readable.append(bracket)
    by_content = run.settings.scenes == "content"
    looked = Looked(seen=(), failed=())
    if known or by_content:
        looked = look_at(readable, progress=progress)
    scenes = scenes_of(readable, same_scene_pairs(looked.seen) if by_content else ())
    banned: dict[str, str] = {}
    for overlap in compare(looked.seen, known):
        banned.setdefault(
            scenes[overlap.bracket_id],
            f"left out: shows {overlap.other_scene} of {overlap.other_source} "
            f"({overlap.inliers} features in common)",
        )
    errors = {bracket.id: error for bracket, error in looked.failed}
    left_out = (
        {
            bracket.id: banned[scenes[bracket.id]]
            for bracket in readable
            if scenes[bracket.id] in banned
        }
        | {bracket.id: TOO_SMALL for bracket in readable if _too_small(bracket, run.settings)}
        | {bracket: f"quarantined: {error.code}" for bracket, error in errors.items()}
    )
    splits = assign_splits((scenes[b.id] for b in readable if b.id not in left_out), run.settings)
    by_hash = f"by hash of the scene's name, seed {run.settings.seed}"
    standing = standing_results(run.destination)
    begin_rows(run, standing)
    return ShardPlan(
        run=replace(run, compared=what_came(known, len(banned)) if known else None),
        found=found,
        places={
            bracket.id: Place(
                scene=scenes[bracket.id],
                split=None if bracket.id in left_out else splits[scenes[bracket.id]],
                reason=left_out.get(bracket.id, by_hash),
                error=errors.get(bracket.id),
            )
            for bracket in readable
        },
        standing=standing,
    )


def finish_shards(plan: ShardPlan) -> None:
    """Write down which bracket is in which split; with that the shards are complete.

    Raises:
        UsageError: ``dataset-too-small``, a split has no patches.
    """
    columns = ["bracket_id", "status", "error_code"]
    report = read_report(plan.run.destination, columns=columns)
    newest = {row["bracket_id"]: row for row in report.to_pylist()}
    rows = []
    for bracket_id, place in plan.places.items():
        split, reason = place.split, place.reason
        row = newest[bracket_id]
        if split is not None and row["status"] != "fused":
            split = None
            reason = f"quarantined: {row['error_code']}" if row["error_code"] else TOO_SMALL
        rows.append(
            {"scene": place.scene, "bracket_id": bracket_id, "split": split, "reason": reason}
        )
    check_splits((row["split"] for row in rows if row["split"] is not None), plan.run.settings)
    write_split(plan.run.destination, rows)


def _too_small(bracket: Bracket, settings: ShardSettings) -> bool:
    """Whether the headers tell that no patch fits; alignment may take some more."""
    frame = bracket.frames[0]
    if frame.width is None or frame.height is None:
        return False
    return min(reduced_size(frame.height, frame.width, settings.max_side_px)) < settings.patch_px
