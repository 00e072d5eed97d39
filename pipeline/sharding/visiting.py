# SPDX-License-Identifier: Apache-2.0
"""One bracket: read, align, reduce, cut, write its patches. A plain function, no Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.hdr_network import middle
from pipeline import storage
from pipeline.align.flow import lay_on_reference
from pipeline.align.registration import Alignment, align
from pipeline.bracket import Bracket, Pixels, Stack
from pipeline.errors import BracketflowError, PhotoError
from pipeline.fault_points import fault_point
from pipeline.images.reading import Limits, read_photo
from pipeline.ledger import Intend
from pipeline.merging import exposures_of
from pipeline.models import ChosenModel
from pipeline.patches import Patch, encode_patches
from pipeline.planning import failed_row
from pipeline.pseudo_labels import StageOne, load_stage_one, with_structure
from pipeline.report.schema import Row
from pipeline.runs import versions
from pipeline.sharding.cutting import Followed, choose_frames, cut_patches, reduce_area
from pipeline.sharding.linear_labels import read_label
from pipeline.sharding.settings import ALGORITHM_VERSION, ShardSettings, Split
from pipeline.stacks import read_bracket
from pipeline.visits import Clock, alignment_columns, visit_row

__all__ = ["TOO_SMALL", "ShardJob", "ShardRecipe", "ShardVisitor"]

Label = Pixels | NDArray[np.float32]

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
    stage_one: ChosenModel | None = None
    """What makes structure labels out of frames that were followed."""

    def build(self, *, device: str, worker: str, intend: Intend) -> ShardVisitor:
        """A cutter; it works on the CPU whatever the device.

        Raises:
            UsageError: ``weights-invalid``, the first stage cannot be loaded, or makes no radiance.
        """
        return ShardVisitor(
            recipe=self,
            worker=worker,
            intend=intend,
            versions=versions(),
            stage_one=None if self.stage_one is None else load_stage_one(self.stage_one),
        )


@dataclass(frozen=True, kw_only=True)
class ShardVisitor:
    """Cuts one bracket after the other."""

    recipe: ShardRecipe
    worker: str
    intend: Intend
    versions: dict[str, str]
    stage_one: StageOne | None = None

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
            label, label_notes = self._label(bracket, read.stack)
        with clock.step("align"):
            # Linear labels show the moment of the middle frame, and so does what follows it.
            linear = bracket.label_kind == "radiance" and label is not None
            reference = middle(read.stack.count) if linear or settings.aligned != "none" else None
            alignment = align(read.stack.frames, mode=settings.align, reference=reference)
            frames = [reduce_area(frame, settings.max_side_px) for frame in alignment.frames]
            times_s, followed, follow_notes = self._follow(frames, read.stack.exposure_times_s)
        cut = cut_patches(
            frames,
            settings,
            bracket_id=bracket.id,
            scene=job.scene,
            times_s=times_s,
            evs=_evs(bracket),
            label=None if label is None else self._laid_alike(label, alignment),
            followed=followed,
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
        notes = [*read.notes, *alignment.notes, *follow_notes, *label_notes]
        if not cut.patches:
            return columns | {"status": "skipped", "notes": [*notes, TOO_SMALL]}
        patches = cut.patches
        if self.stage_one is not None:
            with clock.step("fuse"):
                patches, missing = self._structured(patches, self.stage_one)
                notes += missing
        notes.append(
            f"{len(cut.patches)} patches of {settings.patch_px} px for {job.split}, "
            f"{cut.dull} dull places left out"
        )
        with clock.step("write"):
            data = encode_patches(patches)
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

    def _follow(
        self, frames: list[Pixels], times_s: tuple[float, ...] | None
    ) -> tuple[tuple[float, ...] | None, Followed | None, tuple[str, ...]]:
        """Exposure times of all frames, the chosen ones laid on their middle one, and notes."""
        if self.recipe.settings.aligned == "none":
            return times_s, None, ()
        exposures = exposures_of(Stack(frames=tuple(frames), exposure_times_s=times_s))
        chosen = choose_frames(frames, self.recipe.settings.pair)
        laid = lay_on_reference(
            [frames[k] for k in chosen],
            [exposures.times_s[k] for k in chosen],
            middle(len(chosen)),
        )
        share = float(laid.masks.mean(dtype=np.float64)) / 255
        return (
            exposures.times_s,
            Followed(frames=laid.frames, masks=laid.masks),
            (*exposures.notes, f"optical flow followed {100 * share:.1f} % of the pixels"),
        )

    @staticmethod
    def _structured(
        patches: tuple[Patch, ...], stage_one: StageOne
    ) -> tuple[tuple[Patch, ...], list[str]]:
        """The patches with structure labels, or without and why."""
        try:
            return tuple(with_structure(patch, stage_one) for patch in patches), []
        except ValueError as error:
            return patches, [f"no structure label: {error}"]

    def _label(self, bracket: Bracket, stack: Stack) -> tuple[Label | None, list[str]]:
        """The label, if there is one that fits the frames, and what is wrong with it."""
        if bracket.label_uri is None:
            return None, []
        notes: list[str] = []
        pixels: Label
        try:
            if bracket.label_kind == "radiance":
                pixels, notes = read_label(bracket, stack, self.recipe.limits)
            else:
                pixels = read_photo(bracket.label_uri, self.recipe.limits).pixels
        except PhotoError as error:
            return None, [f"no label: {error.message}"]
        if pixels.shape != stack.frames[0].shape:
            size, wanted = pixels.shape[1::-1], (stack.width, stack.height)
            return None, [
                f"no label: {bracket.label_uri} is {size[0]} x {size[1]} px, the frames are "
                f"{wanted[0]} x {wanted[1]}"
            ]
        return pixels, notes

    def _laid_alike(self, label: Label, alignment: Alignment) -> Label:
        """The label where the aligned, reduced frames are: it was made for the reference."""
        top, left, height, width = alignment.crop
        cropped = label[top : top + height, left : left + width]
        return reduce_area(cropped, self.recipe.settings.max_side_px)


def _evs(bracket: Bracket) -> tuple[float, ...] | None:
    known = tuple(frame.ev for frame in bracket.frames if frame.ev is not None)
    return known if len(known) == len(bracket.frames) else None
