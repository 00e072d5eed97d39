# SPDX-License-Identifier: Apache-2.0
"""One bracket: read, align, reduce, cut, write its patches. A plain function, no Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline import storage
from pipeline.align.registration import Alignment, align
from pipeline.bracket import Bracket, Pixels
from pipeline.errors import BracketflowError, PhotoError
from pipeline.fault_points import fault_point
from pipeline.images.reading import Limits, read_photo
from pipeline.ledger import Intend
from pipeline.patches import encode_patches
from pipeline.planning import failed_row
from pipeline.report.schema import Row
from pipeline.runs import versions
from pipeline.sharding.cutting import cut_patches, reduce_area
from pipeline.sharding.settings import ALGORITHM_VERSION, ShardSettings, Split
from pipeline.stacks import read_bracket
from pipeline.visits import Clock, alignment_columns, visit_row

__all__ = ["TOO_SMALL", "ShardJob", "ShardRecipe", "ShardVisitor"]

TOO_SMALL = "not cut: the frames are smaller than a patch"


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """One bracket to cut: plain data that travels to a worker."""

    bracket: Bracket
    scene: str
    split: Split
    key: str
    result_uri: str
    result_path: str
    """The same relative to the shards."""

    def failed(self, *, run_id: str, worker: str, error: BracketflowError) -> Row:
        """The row of this job when no worker could finish it."""
        return failed_row(self.bracket, error, run_id=run_id, worker=worker, key=self.key)


@dataclass(frozen=True, kw_only=True)
class ShardRecipe:
    """What a worker needs to cut brackets; see ``pipeline.fleet``."""

    settings: ShardSettings
    destination: str
    run_id: str
    limits: Limits = field(default_factory=Limits)

    def build(self, *, device: str, worker: str, intend: Intend) -> ShardVisitor:
        """A cutter; it works on the CPU whatever the device."""
        return ShardVisitor(recipe=self, worker=worker, intend=intend, versions=versions())


@dataclass(frozen=True, kw_only=True)
class ShardVisitor:
    """Cuts one bracket after the other."""

    recipe: ShardRecipe
    worker: str
    intend: Intend
    versions: dict[str, str]

    def visit(self, job: ShardJob) -> Row:
        """Cut one bracket; a bad one becomes a quarantined row, a small one a skipped row.

        Raises:
            InfrastructureError: disk or storage failed; no photograph is to blame.
        """
        common = {
            "key": job.key,
            "settings_sha256": self.recipe.settings.sha256,
            "algorithm_version": ALGORITHM_VERSION,
            "versions": self.versions,
        }
        return visit_row(
            job.bracket,
            lambda clock: self._work(job, clock),
            run_id=self.recipe.run_id,
            worker=self.worker,
            common=common,
        )

    def _work(self, job: ShardJob, clock: Clock) -> dict[str, Any]:
        settings, bracket = self.recipe.settings, job.bracket
        with clock.step("read"):
            read = read_bracket(bracket, limits=self.recipe.limits)
            label, label_notes = self._label(bracket, read.stack.frames[0])
        with clock.step("align"):
            alignment = align(read.stack.frames, mode=settings.align)
        frames = [reduce_area(frame, settings.max_side_px) for frame in alignment.frames]
        cut = cut_patches(
            frames,
            settings,
            bracket_id=bracket.id,
            scene=job.scene,
            times_s=read.stack.exposure_times_s,
            evs=_evs(bracket),
            label=None if label is None else self._laid_alike(label, alignment),
        )
        height, width = frames[0].shape[:2]
        columns: dict[str, Any] = {
            "confidence": read.confidence,
            "source_bits": read.stack.bits,
            "source_width": read.stack.width,
            "source_height": read.stack.height,
            "width": width,
            "height": height,
            **alignment_columns(alignment),
        }
        notes = [*read.notes, *alignment.notes, *label_notes]
        if not cut.patches:
            return columns | {"status": "skipped", "notes": [*notes, TOO_SMALL]}
        notes.append(
            f"{len(cut.patches)} patches of {settings.patch_px} px for {job.split}, "
            f"{cut.dull} dull places left out"
        )
        with clock.step("write"):
            data = encode_patches(cut.patches)
            sha256 = storage.sha256_of(data)
            self.intend(job.result_path, sha256)
            fault_point("shard.patches.before")
            storage.write_atomic(job.result_uri, data)
            fault_point("shard.patches.after")
        return columns | {
            "notes": notes,
            "result_uri": job.result_uri,
            "result_path": job.result_path,
            "result_sha256": sha256,
            "result_bytes": len(data),
            "result_bits": read.stack.bits,
            "reference_uri": bracket.label_uri if label is not None else None,
            "reference_kind": bracket.label_kind if label is not None else None,
        }

    def _label(self, bracket: Bracket, frame: Pixels) -> tuple[Pixels | None, list[str]]:
        """The display-referred label, if there is one that fits the frames, and what is wrong."""
        if bracket.label_uri is None or bracket.label_kind != "display":
            return None, []
        try:
            pixels = read_photo(bracket.label_uri, self.recipe.limits).pixels
        except PhotoError as error:
            return None, [f"no label: {error.message}"]
        if pixels.shape != frame.shape:
            size, wanted = pixels.shape[1::-1], frame.shape[1::-1]
            return None, [
                f"no label: {bracket.label_uri} is {size[0]} x {size[1]} px, the frames are "
                f"{wanted[0]} x {wanted[1]}"
            ]
        return pixels, []

    def _laid_alike(self, label: Pixels, alignment: Alignment) -> Pixels:
        """The label where the aligned, reduced frames are: it was made for the reference."""
        top, left, height, width = alignment.crop
        cropped = label[top : top + height, left : left + width]
        return reduce_area(cropped, self.recipe.settings.max_side_px)


def _evs(bracket: Bracket) -> tuple[float, ...] | None:
    known = tuple(frame.ev for frame in bracket.frames if frame.ev is not None)
    return known if len(known) == len(bracket.frames) else None
