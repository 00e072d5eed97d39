# SPDX-License-Identifier: Apache-2.0
"""A bracket's radiance: linear light from end to end, and a tone-mapped picture beside it.

The plain merge knows nothing of motion, so frames in which something moved are followed by optical
flow for it unless told otherwise; networks see to that themselves and get registered frames.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import tiles, zoo
from model.fusion_model import FusionModel
from model.hdr_network import HdrNetwork
from model.merge import Merge
from model.zoo import Card
from pipeline.align.registration import align
from pipeline.auto import choose, following
from pipeline.bracket import Bracket, Frame, Pixels, Stack
from pipeline.fusion_visit import Made, follow, notes_of_few
from pipeline.images.reading import Limits
from pipeline.images.writing import Written, encode_photo, encode_radiance, quantize
from pipeline.light import Light, frames_around, light_of
from pipeline.models import AUTO
from pipeline.radiance_scoring import score_radiance
from pipeline.settings import FuseSettings
from pipeline.stacks import ReadBracket
from pipeline.tone import fit_tone, tone_map
from pipeline.visits import Clock

__all__ = ["fuse_radiance", "make_radiance", "stored", "tone_mapped"]

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
    columns: dict[str, Any] = {}
    with clock.step("align"):
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
        aligned = Stack(frames=alignment.frames, exposure_times_s=light.ratios)
        chosen = frames_around(light, card.max_frames)
        stack = aligned.those(chosen)
        reference = chosen.index(light.reference)
        if wanted:
            followed = follow(aligned, light)
            stack = followed.stack.those(chosen)
            columns["followed_share"] = followed.share
    bits = settings.bits if settings.format == "exr" else 16
    with clock.step("fuse"):
        radiance = stored(fuse_radiance(model, stack, reference), bits)
        shown = tone_mapped(radiance, bits=16 if settings.bits > 8 else 8)
    with clock.step("score"):
        scores = score_radiance(
            radiance,
            shown,
            aligned,
            light=light,
            bracket=bracket,
            read=read.stack,
            crop=alignment.crop,
            limits=limits,
        )
    with clock.step("write"):
        frame = bracket.frames[light.reference]
        result = encode_radiance(radiance, bits=bits, facts=_facts_of(frame, card, light))
        display = _display(shown, settings, read.exif)
    return Made(
        result=result,
        bits=bits,
        alignment=alignment,
        preview=shown,
        scores=scores,
        notes=(*notes, *notes_of_few(card, chosen, aligned.count)),
        columns=columns | light.columns | {"model": card.name, "result_format": "exr"},
        display=display,
    )


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


def _facts_of(frame: Frame, card: Card, light: Light) -> dict[str, Any]:
    """OpenEXR's standard attributes of a radiance that shows the moment of ``frame``."""
    # Lists of stops tell times up to a factor; a camera's own stand beside other facts of its.
    camera = any(fact is not None for fact in (frame.f_number, frame.iso, frame.captured_s))
    facts: dict[str, Any] = {
        "expTime": frame.exposure_time_s if camera else None,
        "aperture": frame.f_number,
        "isoSpeed": frame.iso,
        "comments": f"Radiance by {card.name}; 1.0 is the light that makes the reference frame "
        f"{frame.path} just white"
        + ("; exposures were estimated" if light.exposures.estimated else ""),
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
