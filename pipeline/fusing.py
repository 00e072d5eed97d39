# SPDX-License-Identifier: Apache-2.0
"""One bracket: read, align, fuse, score, write. A plain function, no Ray.

Everything happens in one visit: frames are decoded once, scores and previews are made while the
pixels are at hand, and nothing but a report row comes back. The image is written before its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from model import tiles
from model.fusion_model import FusionModel
from model.zoo import Card
from pipeline import storage
from pipeline.align.registration import align
from pipeline.bracket import Pixels, Stack
from pipeline.choosing import few_frames
from pipeline.contents import file_sha256
from pipeline.errors import PhotoError
from pipeline.fault_points import fault_point
from pipeline.images.previews import map_png, preview_jpeg
from pipeline.images.reading import Limits
from pipeline.images.writing import encode_photo, quantize
from pipeline.ledger import Intend
from pipeline.models import ChosenModel
from pipeline.naming import preview_paths
from pipeline.planning import FuseJob
from pipeline.report.schema import Row
from pipeline.runs import versions
from pipeline.scoring import Scores, score_pixels
from pipeline.settings import ALGORITHM_VERSION, FuseSettings
from pipeline.stacks import read_bracket
from pipeline.visits import Clock, alignment_columns, visit_row

__all__ = ["FuseRecipe", "frames_for", "fuse_bracket", "fuse_stack"]


@dataclass(frozen=True, kw_only=True)
class FuseRecipe:
    """What a worker needs to build its visitor; see ``pipeline.fleet``."""

    settings: FuseSettings
    model: ChosenModel
    destination: str
    run_id: str
    limits: Limits = field(default_factory=Limits)

    def build(self, *, device: str, worker: str, intend: Intend) -> FuseVisitor:
        """Load the model, once for each worker.

        Raises:
            UsageError: ``weights-invalid``, see ``pipeline.models``.
        """
        return FuseVisitor(
            recipe=self,
            model=self.model.load(device),
            card=self.model.card,
            worker=worker,
            intend=intend,
            versions=versions(),
        )


@dataclass(frozen=True, kw_only=True)
class FuseVisitor:
    """A loaded model that fuses one bracket after the other."""

    recipe: FuseRecipe
    model: FusionModel
    card: Card
    worker: str
    intend: Intend
    versions: dict[str, str]

    def visit(self, job: FuseJob) -> Row:
        """Fuse one bracket; a bad one becomes a quarantined row.

        Raises:
            InfrastructureError: disk or storage failed; no photograph is to blame.
        """
        return fuse_bracket(job, self)


def fuse_bracket(job: FuseJob, visitor: FuseVisitor) -> Row:
    """Fuse one bracket and return its complete report row, whatever happens to it."""
    recipe = visitor.recipe
    common: dict[str, Any] = {
        "key": job.key,
        "timeless_key": job.timeless_key,
        "model": visitor.card.name,
        "weights_sha256": visitor.card.weights_sha256,
        "settings_sha256": recipe.settings.sha256,
        "algorithm_version": ALGORITHM_VERSION,
        "device": visitor.model.device.type,
        "versions": visitor.versions,
    }
    return visit_row(
        job.bracket,
        lambda clock: _work(job, visitor, clock),
        run_id=recipe.run_id,
        worker=visitor.worker,
        common=common,
    )


def _work(job: FuseJob, visitor: FuseVisitor, clock: Clock) -> dict[str, Any]:
    settings, recipe = visitor.recipe.settings, visitor.recipe
    with clock.step("read"):
        read = read_bracket(job.bracket, limits=recipe.limits)
        _check_count(job, visitor.card)
        label = job.bracket.label_uri
        reference_sha256 = None if label is None else file_sha256(label)
    with clock.step("align"):
        alignment = align(read.stack.frames, mode=settings.align)
        stack = Stack(frames=alignment.frames, exposure_times_s=read.stack.exposure_times_s)
    with clock.step("fuse"):
        chosen, choice = frames_for(visitor.card, stack)
        result = fuse_stack(visitor.model, chosen, bits=16 if settings.bits > 8 else 8)
    with clock.step("score"):
        scores = score_pixels(
            stack.frames,
            result,
            crop=alignment.crop,
            label_uri=job.bracket.label_uri,
            label_kind=job.bracket.label_kind,
            limits=recipe.limits,
        )
    with clock.step("write"):
        encoded = encode_photo(
            result,
            format=settings.format,
            bits=settings.bits,
            quality=settings.quality,
            exif=read.exif,
        )
        _check_place(job, encoded.sha256)
        previews = _write_previews(job, recipe, result, scores) if settings.previews else {}
        visitor.intend(job.result_path, encoded.sha256)
        fault_point("fuse.result.before")
        storage.write_atomic(job.result_uri, encoded.data)
        fault_point("fuse.result.after")
    return {
        "confidence": read.confidence,
        "notes": [*read.notes, *alignment.notes, *choice],
        "frame_sha256s": list(read.frame_sha256s),
        "reference_sha256": reference_sha256,
        "source_bits": read.stack.bits,
        "source_width": read.stack.width,
        "source_height": read.stack.height,
        **alignment_columns(alignment),
        "result_uri": job.result_uri,
        "result_path": job.result_path,
        "result_sha256": encoded.sha256,
        "result_bytes": encoded.size_bytes,
        "result_format": settings.format,
        "result_bits": settings.bits,
        "width": stack.width,
        "height": stack.height,
        **previews,
        **scores.columns,
    }


def fuse_stack(model: FusionModel, stack: Stack, *, bits: int) -> Pixels:
    """Fuse a stack tile by tile.

    Returns:
        (H, W, 3) uint8 for ``bits`` 8, uint16 for 16; sRGB.
    """
    result = np.empty((stack.height, stack.width, 3), np.uint16 if bits == 16 else np.uint8)
    for rows, cols, tile in tiles.fuse_tiles(model, stack):
        result[rows, cols] = quantize(tile, bits)
    return result


def frames_for(card: Card, stack: Stack) -> tuple[Stack, list[str]]:
    """The frames of a stack that a model has room for, and a note where they are not all.

    Which ones, and in which order, is the rule of :func:`pipeline.choosing.few_frames`: a network
    for so many frames was trained on them dark to bright, and a list may name them otherwise.
    """
    if card.max_frames is None:
        return stack, []
    chosen = few_frames(stack.frames, card.max_frames)
    times = stack.exposure_times_s
    few = Stack(
        frames=tuple(stack.frames[k] for k in chosen),
        exposure_times_s=None if times is None else tuple(times[k] for k in chosen),
    )
    if few.count == stack.count:
        return few, []
    *most, last = (_ordinal(k + 1) for k in chosen)
    return few, [
        f"{card.name} fuses {card.max_frames} frames: used {', '.join(most)} and {last} "
        f"of {stack.count}"
    ]


def _ordinal(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _check_count(job: FuseJob, card: Card) -> None:
    """Refuse a bracket that the model cannot work with; too long ones are cut.

    Raises:
        PhotoError: ``frames-too-few``.
    """
    frames = job.bracket.frames
    if len(frames) < card.min_frames:
        raise PhotoError(
            "frames-too-few",
            f"The bracket of {frames[0].path} has {len(frames)} frames, {card.name} needs at "
            f"least {card.min_frames}; choose another --model.",
        )


def _write_previews(
    job: FuseJob, recipe: FuseRecipe, result: Pixels, scores: Scores
) -> dict[str, str]:
    picture, quality_map = (
        storage.join(recipe.destination, *path.split("/")) for path in preview_paths(job.bracket.id)
    )
    fault_point("fuse.preview.before")
    storage.write_atomic(picture, preview_jpeg(result))
    fault_point("fuse.preview.after")
    if scores.quality_map is None:
        return {"preview_uri": picture}
    storage.write_atomic(quality_map, map_png(scores.quality_map))
    fault_point("fuse.map.after")
    return {"preview_uri": picture, "map_uri": quality_map}


def _check_place(job: FuseJob, sha256: str) -> None:
    """Make sure that nothing of somebody else stands where the result goes.

    Raises:
        PhotoError: ``result-exists``.
    """
    if not storage.exists(job.result_uri):
        return
    if storage.is_file(job.result_uri):
        standing = file_sha256(job.result_uri)
        if standing == sha256 or standing in job.ours_sha256:
            return
    raise PhotoError(
        "result-exists",
        f"{job.result_uri} stands where the result should go, and bracketflow did not write it "
        "(or it was changed since). Move it away, or choose another --name or destination.",
    )
