# SPDX-License-Identifier: Apache-2.0
"""A bracket's display-referred fusion: register, follow where asked for, fuse, score, encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from model import tiles, zoo
from model.contact_sheet import lightness
from model.fusion_model import FusionModel
from model.weight_maps import weight_maps
from model.zoo import Card
from pipeline.align.registration import Alignment, align
from pipeline.auto import Choice, choose
from pipeline.bracket import Bracket, Pixels, Stack
from pipeline.choosing import few_frames
from pipeline.errors import PhotoError
from pipeline.images.previews import WEIGHTS_SIDE_PX, preview_pixels
from pipeline.images.reading import Limits
from pipeline.images.writing import Written, encode_photo, quantize
from pipeline.light import Light, light_of
from pipeline.merging import laid_by_flow
from pipeline.models import AUTO
from pipeline.scoring import Scores, score_pixels
from pipeline.settings import FuseAlign, FuseSettings
from pipeline.stacks import ReadBracket
from pipeline.visits import Clock

__all__ = [
    "Followed",
    "Made",
    "follow",
    "frames_for",
    "fuse_stack",
    "make_fusion",
    "notes_of_few",
]


@dataclass(frozen=True, kw_only=True)
class SmallPictures:
    """The frames as small as previews, (h, w, 3) uint8, and grey pictures (h, w) uint8, smaller
    still, of how much each counts, black where the model was not given it; none of models that
    weigh no frames."""

    frames: tuple[Pixels, ...]
    weights: tuple[Pixels, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of a bracket, before anything of it is written.

    ``display`` is the picture beside a radiance, ``preview`` what previews are made of.
    """

    result: Written
    bits: int
    alignment: Alignment
    preview: Pixels
    scores: Scores
    notes: tuple[str, ...]
    columns: Mapping[str, Any]
    display: Written | None = None
    small: SmallPictures | None = None


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A stack as seen from one of its frames, and the share of pixels that could be followed."""

    stack: Stack
    share: float


def follow(stack: Stack, light: Light) -> Followed:
    """Lay a stack on its reference by optical flow.

    Args:
        stack: frames in the order of ``light``.
        light: its reference is what they are laid on.
    """
    laid, masks = laid_by_flow(stack, light.as_exposures(), light.reference)
    return Followed(stack=laid, share=float(masks.mean(dtype=np.float64)) / 255)


def make_fusion(
    bracket: Bracket,
    read: ReadBracket,
    *,
    model: FusionModel,
    card: Card,
    settings: FuseSettings,
    limits: Limits,
    clock: Clock,
) -> Made:
    """Fuse a bracket.

    Raises:
        PhotoError: ``result-unwritable``; with ``--align flow`` what
            :func:`pipeline.light.light_of` raises.
    """
    columns: dict[str, Any] = {}
    notes: list[str] = []
    with clock.step("align"):
        alignment = align(read.stack.frames, mode="off" if settings.align == "off" else "auto")
        times = read.stack.exposure_times_s
        stack = Stack(frames=alignment.frames, exposure_times_s=times)
        light: Light | None = None
        if settings.model == AUTO:
            choice, light = _choice(bracket, stack, settings.align)
            card = zoo.card(choice.model)
            columns["model_reason"] = choice.reason
        elif settings.align == "flow":
            light = light_of(bracket, stack)
        if light is not None:
            followed = follow(stack, light)
            stack = followed.stack
            columns |= light.columns | {"followed_share": followed.share}
            notes += light.exposures.notes
    with clock.step("fuse"):
        chosen, few = frames_for(card, stack)
        given = stack if chosen is None else stack.those(chosen)
        result = fuse_stack(model, given, bits=16 if settings.bits > 8 else 8)
    with clock.step("score"):
        scores = score_pixels(
            stack.frames, result, crop=alignment.crop, bracket=bracket, limits=limits
        )
    with clock.step("write"):
        encoded = encode_photo(
            result,
            format=settings.format,
            bits=settings.bits,
            quality=settings.quality,
            exif=read.exif,
        )
        small = small_pictures(model, stack, chosen) if settings.previews else None
    return Made(
        result=encoded,
        bits=settings.bits,
        alignment=alignment,
        preview=result,
        scores=scores,
        notes=(*notes, *few),
        columns=columns | {"model": card.name, "result_format": settings.format},
        small=small,
    )


def _choice(bracket: Bracket, stack: Stack, mode: FuseAlign) -> tuple[Choice, Light | None]:
    """What ``pipeline.auto`` says, and the light of the frames if they are to be followed."""
    if mode != "auto":
        reason = f"the usual one, as --align {mode} leaves nothing to choose"
        choice = Choice(model=zoo.DEFAULT, follow=mode == "flow", reason=reason)
        return choice, light_of(bracket, stack) if choice.follow else None
    try:
        light = light_of(bracket, stack)
    except PhotoError as error:  # what cannot be merged may be fused all the same
        return choose(stack.frames, error.message, radiance=False), None
    choice = choose(stack.frames, light, radiance=False)
    return choice, light if choice.follow else None


def fuse_stack(model: FusionModel, stack: Stack, *, bits: int) -> Pixels:
    """Fuse a stack tile by tile.

    Returns:
        (H, W, 3) uint8 for ``bits`` 8, uint16 for 16; sRGB.
    """
    result = np.empty((stack.height, stack.width, 3), np.uint16 if bits == 16 else np.uint8)
    for rows, cols, tile in tiles.fuse_tiles(model, stack):
        result[rows, cols] = quantize(tile, bits)
    return result


def small_pictures(model: FusionModel, stack: Stack, chosen: Sequence[int] | None) -> SmallPictures:
    """What the report shows of a stack.

    Args:
        model: what weighs the frames.
        stack: the aligned frames.
        chosen: indices of those that the model is given; None for all, in order.
    """
    small = Stack(
        frames=tuple(map(preview_pixels, stack.frames)), exposure_times_s=stack.exposure_times_s
    )
    smaller = Stack(
        frames=tuple(preview_pixels(frame, WEIGHTS_SIDE_PX) for frame in small.frames),
        exposure_times_s=small.exposure_times_s,
    )
    maps = weight_maps(model, smaller if chosen is None else smaller.those(chosen))
    if maps is None:
        return SmallPictures(frames=small.frames)
    weights = [np.zeros((smaller.height, smaller.width), np.uint8) for _ in small.frames]
    shades = lightness(maps).mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8).numpy()
    for place, shade in zip(range(small.count) if chosen is None else chosen, shades, strict=True):
        weights[place] = shade
    return SmallPictures(frames=small.frames, weights=tuple(weights))


def frames_for(card: Card, stack: Stack) -> tuple[tuple[int, ...] | None, list[str]]:
    """Indices of the frames of a stack that a model has room for, None for all as they are, and a
    note where they are not all.

    Which ones, and in which order, is the rule of :func:`pipeline.choosing.few_frames`: a network
    for so many frames was trained on them dark to bright, and a list may name them otherwise.
    """
    if card.max_frames is None:
        return None, []
    chosen = few_frames(stack.frames, card.max_frames)
    return chosen, notes_of_few(card, chosen, stack.count)


def notes_of_few(card: Card, chosen: tuple[int, ...], count: int) -> list[str]:
    """A note that says which of ``count`` frames a model got, where it did not get all."""
    if len(chosen) == count:
        return []
    *most, last = (_ordinal(k + 1) for k in chosen)
    return [
        f"{card.name} fuses {card.max_frames} frames: used {', '.join(most)} and {last} of {count}"
    ]


def _ordinal(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
