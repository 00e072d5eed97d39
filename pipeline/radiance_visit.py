# SPDX-License-Identifier: Apache-2.0
"""A bracket's radiance: linear light from end to end, and a tone-mapped picture beside it.

The plain merge knows nothing of motion, so frames in which something moved are followed by optical
flow for it unless told otherwise; networks see to that themselves and get registered frames, or,
where they were trained so, the same frames followed as well. Those that see one frame get the
reference as it is.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import tiles, zoo
from model.fusion_model import FusionModel
from model.hdr_network import HdrNetwork
from model.merge import Merge
from model.usme import Usme
from model.zoo import Card
from pipeline.align.registration import Alignment, align
from pipeline.auto import choose, following
from pipeline.bracket import Bracket, Frame, Pixels, Stack
from pipeline.fusion_visit import Made, follow, notes_of_few, small_pictures
from pipeline.images.reading import Limits
from pipeline.images.writing import Written, encode_photo, encode_radiance, quantize
from pipeline.light import Light, check_alone, frames_around, light_of, light_of_single
from pipeline.models import AUTO, sees_one_frame
from pipeline.radiance_scoring import score_radiance
from pipeline.settings import FuseSettings
from pipeline.stacks import ReadBracket
from pipeline.tone import fit_tone, tone_map
from pipeline.visits import Clock

__all__ = ["both_views", "fuse_radiance", "make_radiance", "stored", "tone_mapped"]

_TILE_PX = 1024
_ROWS = 512  # tone-mapped at a time
_HALF_MAX = 65_504.0

Array = NDArray[np.float32]


def make_radiance(
    bracket: Bracket,
    read: ReadBracket,
    *,
    model: FusionModel,
    card: Card,
    settings: FuseSettings,
    limits: Limits,
    clock: Clock,
) -> Made:
    """Reconstruct a bracket's radiance.

    Raises:
        PhotoError: what :func:`pipeline.light.light_of` raises, or ``result-unwritable``.
    """
    with clock.step("align"):
        lay = _alone if sees_one_frame(card) else _laid
        given = lay(bracket, read, model, card, settings)
        light, chosen, card = given.light, given.chosen, given.card
        reference = given.reference
    bits = settings.bits if settings.format == "exr" else 16
    with clock.step("fuse"):
        radiance = stored(fuse_radiance(given.model, given.views, reference), bits)
        shown = tone_mapped(radiance, bits=16 if settings.bits > 8 else 8)
    with clock.step("score"):
        scores = score_radiance(
            radiance,
            shown,
            given.aligned,
            light=light,
            bracket=bracket,
            read=read.stack,
            crop=given.alignment.crop,
            limits=limits,
        )
    with clock.step("write"):
        frame = bracket.frames[light.reference]
        result = encode_radiance(radiance, bits=bits, facts=_facts_of(frame, given))
        display = _display(shown, settings, read.exif)
        referring = _referring(given.model, reference)
        small = small_pictures(referring, given.stack, chosen) if settings.previews else None
    return Made(
        result=result,
        bits=bits,
        alignment=given.alignment,
        preview=shown,
        scores=scores,
        notes=given.notes,
        columns=dict(given.columns) | light.columns | {"model": card.name, "result_format": "exr"},
        display=display,
        small=small,
    )


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What a model works on: ``stack`` in the bracket's order, of which it gets ``chosen``, its
    ``reference`` being one of these. ``aligned`` is what results are measured against."""

    model: FusionModel
    card: Card
    light: Light
    alignment: Alignment
    aligned: Stack
    stack: Stack
    chosen: tuple[int, ...]
    reference: int
    notes: tuple[str, ...]
    columns: Mapping[str, Any]

    @property
    def views(self) -> Stack:
        """What the model gets."""
        laid = self.stack.those(self.chosen)
        if not _follows(self.model):
            return laid
        return both_views(self.aligned.those(self.chosen), laid)


def _laid(
    bracket: Bracket, read: ReadBracket, model: FusionModel, card: Card, settings: FuseSettings
) -> _Given:
    """All frames, registered, and followed where it is asked for or the model needs it."""
    columns: dict[str, Any] = {}
    light = light_of(bracket, read.stack, settings.reference)
    alignment = align(
        read.stack.frames,
        mode="off" if settings.align == "off" else "auto",
        reference=light.reference,
    )
    wanted, notes = settings.align == "flow", list(light.exposures.notes)
    if settings.model == AUTO:
        choice = choose(alignment.frames, light, radiance=True)
        model, card = zoo.load(choice.model, model.device), zoo.card(choice.model)
        wanted |= settings.align == "auto" and choice.follow
        columns["model_reason"] = choice.reason
    elif settings.align == "auto" and isinstance(model, Merge):
        wanted, why = following(alignment.frames, light)
        notes.append(why)
    wanted |= _follows(model)
    aligned = Stack(frames=alignment.frames, exposure_times_s=light.ratios)
    chosen = frames_around(light, card.max_frames)
    stack = aligned
    if wanted:
        followed = follow(aligned, light)
        stack = followed.stack
        columns["followed_share"] = followed.share
    return _Given(
        model=model,
        card=card,
        light=light,
        alignment=alignment,
        aligned=aligned,
        stack=stack,
        chosen=chosen,
        reference=chosen.index(light.reference),
        notes=(*notes, *notes_of_few(card, chosen, aligned.count)),
        columns=columns,
    )


def _alone(
    bracket: Bracket, read: ReadBracket, model: FusionModel, card: Card, settings: FuseSettings
) -> _Given:
    """The reference frame as it is, for a model that invents the other exposures."""
    if bracket.kind == "single":
        light = light_of_single(bracket)
    else:
        light = light_of(bracket, read.stack, settings.reference)
    frame = read.stack.frames[light.reference]
    check_alone(frame, bracket.frames[light.reference].path)
    stack = Stack(frames=(frame,))
    other = copy.copy(model)  # shares the weights
    if isinstance(other, Usme):
        other.ev = settings.stops
    seen = "this frame" if len(light.order) == 1 else f"frame {light.place} of {len(light.order)}"
    note = (
        f"{card.name} saw {seen} alone: exposures of "
        f"{settings.stops:g} stops darker and brighter are virtual, and what it burnt out or lost "
        "in the dark is invented"
    )
    return _Given(
        model=other,
        card=card,
        light=light,
        alignment=align(stack.frames, mode="off"),
        aligned=stack,
        stack=stack,
        chosen=(0,),
        reference=0,
        notes=(note,),
        columns={"virtual_ev": settings.stops},
    )


def both_views(registered: Stack, followed: Stack) -> Stack:
    """What networks get that want every frame twice (:attr:`model.hdr_network.HdrNetwork.follows`):
    as it is, and as optical flow lays it on the reference."""
    times = registered.exposure_times_s
    return Stack(
        frames=(*registered.frames, *followed.frames),
        exposure_times_s=None if times is None else (*times, *times),
    )


def _follows(model: FusionModel) -> bool:
    return isinstance(model, HdrNetwork) and model.follows


def fuse_radiance(model: FusionModel, stack: Stack, reference: int) -> Array:
    """The radiance of a stack, tile by tile.

    Args:
        model: one that makes radiance; tiles have its ``tile_px``, where it has one.
        stack: frames dark to bright, with exposure times.
        reference: index of the frame whose moment is shown.

    Returns:
        (3, H, W) linear; 1 is what just saturates the reference.
    """
    tile_px = getattr(model, "tile_px", _TILE_PX)
    made: Array = tiles.fuse(_referring(model, reference), stack, tile_px).numpy()
    return made


def stored(radiance: Array, bits: int) -> Array:
    """The radiance as a file of so many bits holds it, still float32: what is scored is what is
    read again."""
    if bits == 32:
        return radiance
    with np.errstate(over="ignore"):
        half = np.clip(radiance, -_HALF_MAX, _HALF_MAX).astype(np.float16)
    return half.astype(np.float32)


def tone_mapped(radiance: Array, *, bits: int) -> Pixels:
    """A picture of a radiance (3, H, W): (H, W, 3) uint8 for ``bits`` 8, uint16 for 16; sRGB."""
    curve = fit_tone(radiance)
    _, height, width = radiance.shape
    picture = np.empty((height, width, 3), np.uint16 if bits == 16 else np.uint8)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        picture[rows] = quantize(tone_map(radiance[:, rows], curve), bits)
    return picture


def _facts_of(frame: Frame, given: _Given) -> dict[str, Any]:
    """OpenEXR's standard attributes of a radiance that shows the moment of ``frame``."""
    # Lists of stops tell times up to a factor; a camera's own stand beside other facts of its.
    camera = any(fact is not None for fact in (frame.f_number, frame.iso, frame.captured_s))
    facts: dict[str, Any] = {
        "expTime": frame.exposure_time_s if camera else None,
        "aperture": frame.f_number,
        "isoSpeed": frame.iso,
        "comments": f"Radiance by {given.card.name}; 1.0 is the light that makes the reference "
        f"frame {frame.path} just white"
        + ("; exposures were estimated" if given.light.exposures.estimated else "")
        + ("; darker and brighter exposures are virtual" if "virtual_ev" in given.columns else ""),
    }
    if frame.captured_s is not None:
        facts["capDate"] = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(frame.captured_s))
    return {name: value for name, value in facts.items() if value is not None}


def _referring(model: FusionModel, reference: int) -> FusionModel:
    """The model with another reference; a worker's own stays as it is."""
    if isinstance(model, HdrNetwork):
        other = copy.copy(model)  # shares the weights
        other.default_reference = reference
        return other
    return Merge(model.device, reference=reference)


def _display(shown: Pixels, settings: FuseSettings, exif: bytes | None) -> Written | None:
    if settings.format == "exr":
        return None
    return encode_photo(
        shown, format=settings.format, bits=settings.bits, quality=settings.quality, exif=exif
    )
