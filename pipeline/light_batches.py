# SPDX-License-Identifier: Apache-2.0
"""Patches for networks that make radiance: frames, exposure times, and labels in linear light.

Labels show the moment of a patch's middle frame, in its scale. So whatever frames are taken, that
one is among them, with as many darker and brighter ones around it as make it the middle one again
(:func:`model.hdr_network.middle`): every batch has the same reference. Crops and turns are the same
for all planes of a patch; nothing may change the frames' tones, which would no longer tell of the
labels' light. Noise may: a network shall see through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.hdr_network import middle
from pipeline.augment import AugmentSettings, add_noise, as_floats
from pipeline.crops import Cut, centre_cut, draw_cut
from pipeline.errors import UsageError
from pipeline.patches import Patch
from pipeline.pseudo_labels import colour_label

__all__ = ["FIELDS", "check_patch", "check_tones", "fields_of", "plain_fields", "training_fields"]

FIELDS = ("times_s", "label", "color", "structure", "mask", "aligned")
"""What a batch can hold besides frames; see :mod:`model.hdr_objectives`. A mask is one plane: where
the colour label holds in all its parts."""

Arrays = dict[str, NDArray[Any]]


def fields_of(needs: Sequence[str], measured_by: Patch | None = None) -> tuple[str, ...]:
    """What batches are made of for an objective with these needs: the mask comes with the colour
    label.

    Args:
        needs: see :attr:`model.objective.Objective.needs`; nothing for fusion.
        measured_by: one of the patches that are to be validated with; where it knows the truth,
            that is wanted though it only measures.
    """
    wanted = set(needs)
    if "color" in wanted:
        wanted.add("mask")
    label = None if measured_by is None else measured_by.label
    if wanted and label is not None and label.dtype == np.float32:
        wanted.add("label")
    return tuple(name for name in FIELDS if name in wanted)


def check_tones(settings: AugmentSettings, needs: Sequence[str]) -> None:
    """Refuse changes of tone where labels are linear light.

    Raises:
        UsageError: ``recipe-invalid``.
    """
    if needs and settings.bending:
        raise UsageError(
            "recipe-invalid",
            f"augment.{settings.bending[0]} changes the frames' tones, so that exposure times and "
            "linear labels do not hold any more; leave it out for a network that makes radiance.",
        )


def check_patch(patch: Patch, fields: Sequence[str]) -> None:
    """Refuse a patch that lacks one of the fields.

    Raises:
        UsageError: ``shards-invalid``, with the cure.
    """
    if fields:
        plain_fields(patch, fields, 2)


def training_fields(
    patch: Patch,
    fields: Sequence[str],
    settings: AugmentSettings,
    k: int,
    rng: np.random.Generator,
    *,
    crop_px: int | None = None,
) -> Arrays:
    """A patch as it is trained on: k frames, a random crop and turn, noise.

    Args:
        patch: what is read.
        fields: of :data:`FIELDS`.
        settings: flips and noise count.
        k: how many frames.
        rng: the only source of chance.
        crop_px: side of the crop; None keeps the whole patch.

    Returns:
        ``frames`` (k, 3, side, side) float32 in 0..1, and the fields.

    Raises:
        ValueError: the patch has fewer frames, or is smaller than the crop.
        UsageError: ``shards-invalid``, it lacks one of the fields.
    """
    count = len(patch.frames)
    chosen = _about_middle(count, k, lambda n, most: np.sort(rng.permutation(most)[:n]))
    cut = draw_cut(patch.frames.shape[-1], crop_px, rng, flips=settings.flips)
    made = _cut(patch, fields, chosen, cut)
    if rng.random() < settings.noise_probability:
        made["frames"] = add_noise(made["frames"], settings, rng)
    return made


def plain_fields(
    patch: Patch, fields: Sequence[str], k: int, *, crop_px: int | None = None
) -> Arrays:
    """A patch as validation sees it: frames spread evenly on either side of the middle one, the
    centre crop. Args, returns and errors are those of :func:`training_fields`."""
    chosen = _about_middle(len(patch.frames), k, _spread)
    return _cut(patch, fields, chosen, centre_cut(patch.frames.shape[-1], crop_px))


def _about_middle(count: int, k: int, pick: Any) -> NDArray[np.intp]:
    """Indices of k frames of which the middle one is the patch's middle one.

    Args:
        pick: gives n of 0..most - 1, in order.
    """
    if not 2 <= k <= count:
        raise ValueError(f"a patch of {count} frames cannot give {k}")
    reference, darker = middle(count), middle(k)
    below = pick(darker, reference)
    above = pick(k - 1 - darker, count - 1 - reference)
    return np.concatenate([below, [reference], reference + 1 + above]).astype(np.intp)


def _spread(n: int, most: int) -> NDArray[np.intp]:
    """Evenly from end to end; one alone lies in the middle."""
    if n == 1:
        return np.array([(most - 1) // 2])
    return np.linspace(0, most - 1, n).round().astype(np.intp)


def _cut(patch: Patch, fields: Sequence[str], chosen: NDArray[np.intp], cut: Cut) -> Arrays:
    made: Arrays = {"frames": as_floats(cut(patch.frames[chosen]))}
    for name in fields:
        if name == "times_s":
            times = _needed(patch, "exposure times", patch.times_s, "--aligned flow estimates them")
            made[name] = np.array(times, np.float64)[chosen].astype(np.float32)
        elif name == "mask":
            masks = _needed(patch, "mask", patch.mask, "shard with --aligned flow")
            made[name] = as_floats(cut(masks.min(0, keepdims=True)))
        elif name == "aligned":
            made[name] = as_floats(cut(_aligned(patch)[chosen]))
        else:
            made[name] = np.ascontiguousarray(cut(_label(patch, name)), np.float32)
    return made


def _label(patch: Patch, name: str) -> NDArray[np.float32]:
    """A linear label (3, P, P) in the scale of the middle frame."""
    if name == "color":
        _aligned(patch)
        _needed(patch, "exposure times", patch.times_s, "shard with --aligned flow")
        return colour_label(patch)
    if name == "structure":
        label = _needed(patch, "structure label", patch.structure, "shard with --stage-one")
    else:
        label = _needed(patch, "label", patch.label, "shard an archive that has ground truth")
    if label.dtype != np.float32:
        raise _lacking(patch, "linear label", "shard an archive with ground truth in linear light")
    return np.asarray(label, np.float32)


def _aligned(patch: Patch) -> Any:
    return _needed(patch, "aligned frames", patch.aligned, "shard with --aligned flow")


def _needed(patch: Patch, what: str, value: Any, cure: str) -> Any:
    if value is None:
        raise _lacking(patch, what, cure)
    return value


def _lacking(patch: Patch, what: str, cure: str) -> UsageError:
    return UsageError(
        "shards-invalid",
        f"Patch {patch.key} has no {what}, which the network is to be trained with; {cure}.",
    )
