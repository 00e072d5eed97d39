# SPDX-License-Identifier: Apache-2.0
"""One bracket: read, align, fuse, score, write. A plain function, no Ray.

Everything happens in one visit: frames are decoded once, scores and previews are made while the
pixels are at hand, and nothing but a report row comes back. The image is written before its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from model.fusion_model import FusionModel
from model.zoo import Card
from pipeline import storage
from pipeline.contents import file_sha256
from pipeline.errors import PhotoError
from pipeline.fault_points import fault_point
from pipeline.fusion_visit import Made, make_fusion
from pipeline.images.previews import map_png, preview_jpeg, strip_jpeg
from pipeline.images.reading import Limits
from pipeline.images.writing import Written
from pipeline.ledger import Intend
from pipeline.models import ChosenModel
from pipeline.naming import preview_paths
from pipeline.planning import FuseJob, Place
from pipeline.radiance_visit import make_radiance
from pipeline.report.schema import Row
from pipeline.runs import versions
from pipeline.settings import ALGORITHM_VERSION, FuseSettings, Output
from pipeline.stacks import read_bracket
from pipeline.visits import Clock, alignment_columns, visit_row

__all__ = ["FuseRecipe", "fuse_bracket"]


@dataclass(frozen=True, kw_only=True)
class FuseRecipe:
    """What a worker needs to build its visitor; see ``pipeline.fleet``."""

    settings: FuseSettings
    model: ChosenModel
    destination: str
    run_id: str
    limits: Limits = field(default_factory=Limits)
    singles: FuseRecipe | None = None
    """How frames are worked on that belong to no bracket, if they are."""

    @property
    def output(self) -> Output:
        """What is made."""
        return self.settings.output_of(self.model.card)

    def build(self, *, device: str, worker: str, intend: Intend) -> FuseVisitor:
        """Load the model, once for each worker.

        Raises:
            UsageError: ``weights-invalid``, see ``pipeline.models``.
        """
        return FuseVisitor(
            recipe=self,
            model=self.model.load(device, effort=self.settings.effort),
            card=self.model.card,
            worker=worker,
            intend=intend,
            versions=versions(),
            singles=None
            if self.singles is None
            else self.singles.build(device=device, worker=worker, intend=intend),
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
    singles: FuseVisitor | None = None
    """Works on frames that belong to no bracket."""

    def visit(self, job: FuseJob) -> Row:
        """Fuse one bracket; a bad one becomes a quarantined row.

        Raises:
            InfrastructureError: disk or storage failed; no photograph is to blame.
        """
        return fuse_bracket(job, self)


def fuse_bracket(job: FuseJob, visitor: FuseVisitor) -> Row:
    """Fuse one bracket and return its complete report row, whatever happens to it."""
    if job.bracket.kind == "single" and visitor.singles is not None:
        visitor = visitor.singles
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
    recipe, bracket = visitor.recipe, job.bracket
    with clock.step("read"):
        least = 1 if bracket.kind == "single" else 2
        read = read_bracket(bracket, limits=recipe.limits, least=least)
        _check_count(job, visitor.card)
        label = bracket.label_uri
        reference_sha256 = None if label is None else file_sha256(label)
    make = make_fusion if recipe.output == "fusion" else make_radiance
    made = make(
        bracket,
        read,
        model=visitor.model,
        card=visitor.card,
        settings=recipe.settings,
        limits=recipe.limits,
        clock=clock,
    )
    with clock.step("write"):
        written = _write(job, visitor, made)
    return {
        "confidence": read.confidence,
        "notes": [*read.notes, *made.alignment.notes, *made.notes],
        "frame_sha256s": list(read.frame_sha256s),
        "reference_sha256": reference_sha256,
        "source_bits": read.stack.bits,
        "source_width": read.stack.width,
        "source_height": read.stack.height,
        **alignment_columns(made.alignment),
        **written,
        "result_bits": made.bits,
        "width": made.result.width,
        "height": made.result.height,
        **made.columns,
        **made.scores.columns,
    }


def _write(job: FuseJob, visitor: FuseVisitor, made: Made) -> dict[str, Any]:
    """Write what was made, and say where it is: previews, word of what comes, the picture beside a
    radiance, and last the result."""
    recipe, settings, display = visitor.recipe, visitor.recipe.settings, made.display
    beside = None if display is None or job.display is None else (job.display, display)
    files = [(job.result, made.result), *([beside] if beside else [])]
    for place, encoded in files:
        _check_place(place, encoded.sha256)
    columns: dict[str, Any] = {}
    if settings.previews:
        columns |= _write_previews(job, recipe, made)
    for place, encoded in files:
        visitor.intend(place.path, encoded.sha256)
    if beside is not None:
        fault_point("fuse.display.before")
        columns |= _put("display", *beside)
        fault_point("fuse.display.after")
        columns |= {"display_format": settings.format, "display_bits": settings.bits}
    fault_point("fuse.result.before")
    columns |= _put("result", job.result, made.result)
    fault_point("fuse.result.after")
    return columns


def _put(name: str, place: Place, encoded: Written) -> dict[str, Any]:
    """Write a file; its columns."""
    storage.write_atomic(place.uri, encoded.data)
    return {
        f"{name}_uri": place.uri,
        f"{name}_path": place.path,
        f"{name}_sha256": encoded.sha256,
        f"{name}_bytes": encoded.size_bytes,
    }


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


def _write_previews(job: FuseJob, recipe: FuseRecipe, made: Made) -> dict[str, str]:
    places = {
        name: storage.join(recipe.destination, *path.split("/"))
        for name, path in preview_paths(job.bracket.id)._asdict().items()
    }
    fault_point("fuse.preview.before")
    pictures = {"preview": preview_jpeg(made.preview)}
    storage.write_atomic(places["preview"], pictures["preview"])
    fault_point("fuse.preview.after")
    if made.small is not None:
        pictures["strip"] = strip_jpeg(made.small.frames)
        if made.small.weights:
            pictures["weights"] = strip_jpeg(made.small.weights)
    if made.scores.quality_map is not None:
        pictures["map"] = map_png(made.scores.quality_map)
    for name in [name for name in pictures if name != "preview"]:
        storage.write_atomic(places[name], pictures[name])
    fault_point("fuse.map.after")
    return {f"{name}_uri": places[name] for name in pictures}


def _check_place(place: Place, sha256: str) -> None:
    """Make sure that nothing of somebody else stands where a file goes.

    Raises:
        PhotoError: ``result-exists``.
    """
    if not storage.exists(place.uri):
        return
    if storage.is_file(place.uri):
        standing = file_sha256(place.uri)
        if standing == sha256 or standing in place.ours_sha256:
            return
    raise PhotoError(
        "result-exists",
        f"{place.uri} stands where the result should go, and bracketflow did not write it "
        "(or it was changed since). Move it away, or choose another --name or destination.",
    )
