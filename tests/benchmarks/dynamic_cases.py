# SPDX-License-Identifier: Apache-2.0
"""What is measured of models that make radiance, bracket by bracket, against ground truth."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.fusion_model import FusionModel
from model.hdr_inputs import brightest, first_guess
from model.hdr_network import HdrNetwork
from model.merge import Merge
from model.radiance import inverse_mu_law, mu_law
from pipeline.align.registration import align
from pipeline.bracket import Bracket, Stack
from pipeline.fusion_visit import follow
from pipeline.images.reading import Limits
from pipeline.light import Light, frames_around, light_of
from pipeline.models import find_model
from pipeline.radiance_scoring import against_truth
from pipeline.radiance_visit import both_views, fuse_radiance
from pipeline.scoring import cropped
from pipeline.sharding.linear_labels import read_label
from pipeline.stacks import read_bracket

AS_SHOT, PLAIN, FLOW = "merge, as shot", "plain merge", "flow-aligned merge"
GUESS = "first guess"
BASELINES = (AS_SHOT, PLAIN, FLOW, GUESS)
"""The last is what networks begin with that follow: the flow-aligned merge, mended where the
reference is burnt out (:func:`model.hdr_inputs.first_guess`)."""

# Of seven frames a stop apart. Outermost ones are always there, so that no case sees more range.
_MORE_FRAMES = {"3 frames": (0, 3, 6), "5 frames": (0, 2, 3, 4, 6), "7 frames": tuple(range(7))}
# The truth shows the middle frame: it is made the darkest and the brightest of three.
_REFERENCES = {"darkest is reference": (3, 4, 6), "brightest is reference": (0, 2, 3)}

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One bracket by one model, in one case; see ``pipeline.radiance_scoring`` for the figures.

    ``followed_share`` is the share of pixels that optical flow could follow; ``change`` the largest
    difference of the radiance, after the mu-law, from that of the case before it.
    """

    archive: str
    bracket: str
    motion: str
    case: str
    model: str
    frames: int
    psnr_mu_db: float
    psnr_l_db: float
    ssim_mu: float
    ssim_l: float
    followed_share: float
    megapixels: float
    seconds: float
    change: float | None = None


@dataclass(frozen=True)
class _Views:
    """A bracket in every way in which a model may want it, with its truth."""

    shot: Stack
    registered: Stack
    followed: Stack
    share: float
    light: Light
    truth: Array
    truth_shot: Array


def load(sources: Sequence[str]) -> dict[str, FusionModel]:
    """Models by what tables call them: the recipe that a card names, or the file's folder."""
    found: dict[str, FusionModel] = {}
    for source in sources:
        chosen = find_model(source)
        path = Path(source)
        name = path.parent.name if path.stem == "weights" else path.stem
        found[name if name not in found else source] = chosen.load("cpu")
    return found


def measure(
    archive: str, bracket: Bracket, models: Mapping[str, FusionModel], *, more: bool
) -> Iterator[Scored]:
    """All rows of a bracket.

    Args:
        archive: its name.
        bracket: with ground truth.
        models: see :func:`load`.
        more: its seven frames are for the cases of other numbers, duplicates and references; else
            it is measured as it is.
    """
    read = read_bracket(bracket, threads=1)
    truth, _ = read_label(bracket, read.stack, Limits())
    light = light_of(bracket, read.stack)
    place = bracket.frames[0].path.rsplit("/", 1)[0]
    motion = place.rsplit("_", 1)[1] if place.rpartition("_")[2] in ("drift", "objects") else ""
    about = {"archive": archive, "bracket": place, "motion": motion or "real"}
    if not more:
        yield from _rows(about, "all frames", _views(read.stack, light, truth), models, True)
        return
    for case, chosen in (_MORE_FRAMES | _REFERENCES).items():
        views = _views(read.stack.those(chosen), _light(light, chosen), truth)
        yield from _rows(about, case, views, models, case == "3 frames")
        if case == "3 frames":
            flexible = {n: m for n, m in models.items() if _most(m) is None}
            twice = _views(read.stack.those((0, 3, 6, 6)), _light(light, (0, 3, 6, 6)), truth)
            base = {n: _made(m, views)[0] for n, m in flexible.items()}
            for row, radiance in _scored(about, "brightest twice", twice, flexible, False):
                yield replace(row, change=_apart(radiance, base[row.model], views.light))


def _light(light: Light, chosen: Sequence[int]) -> Light:
    """Of some frames, with the reference among them."""
    return replace(
        light,
        ratios=tuple(light.ratios[k] for k in chosen),
        order=tuple(range(len(chosen))),
        reference=chosen.index(light.reference),
    )


def _views(shot: Stack, light: Light, truth: Array) -> _Views:
    timed = Stack(frames=shot.frames, exposure_times_s=light.ratios)
    alignment = align(shot.frames, mode="auto", reference=light.reference)
    registered = Stack(frames=alignment.frames, exposure_times_s=light.ratios)
    followed = follow(registered, light)
    kept = cropped(truth, alignment.crop)
    return _Views(timed, registered, followed.stack, followed.share, light, kept, truth)


def _most(model: FusionModel) -> int | None:
    return model.max_frames if isinstance(model, HdrNetwork) else None


def _made(model: FusionModel, views: _Views) -> tuple[Array, tuple[int, ...]]:
    """The radiance, as ``bracketflow fuse`` makes it, and which frames it is of."""
    chosen = frames_around(views.light, _most(model))
    stack = views.registered.those(chosen)
    if isinstance(model, HdrNetwork) and model.follows:
        stack = both_views(stack, views.followed.those(chosen))
    return fuse_radiance(model, stack, chosen.index(views.light.reference)), chosen


def _rows(
    about: Mapping[str, str],
    case: str,
    views: _Views,
    models: Mapping[str, FusionModel],
    baselines: bool,
) -> Iterator[Scored]:
    # Networks for three frames have nothing to tell of more.
    fitting = {
        name: model
        for name, model in models.items()
        if (_most(model) or views.shot.count) >= views.shot.count or case == "all frames"
    }
    for row, _ in _scored(about, case, views, fitting, baselines):
        yield row


def _scored(
    about: Mapping[str, str],
    case: str,
    views: _Views,
    models: Mapping[str, FusionModel],
    baselines: bool,
) -> Iterator[tuple[Scored, Array]]:
    light = views.light

    def row(name: str, radiance: Array, count: int, seconds: float) -> tuple[Scored, Array]:
        truth = views.truth_shot if name == AS_SHOT else views.truth
        figures = against_truth(radiance, truth, light)
        return Scored(
            **about,
            case=case,
            model=name,
            frames=count,
            followed_share=views.share,
            megapixels=truth.shape[0] * truth.shape[1] / 1e6,
            seconds=seconds,
            **{figure: float(value) for figure, value in figures.items() if value is not None},
        ), radiance

    if baselines:
        stacks = (views.shot, views.registered, views.followed)
        for name, stack in zip(BASELINES[:3], stacks, strict=True):
            began = time.process_time()
            radiance = fuse_radiance(Merge(), stack, light.reference)
            yield row(name, radiance, stack.count, time.process_time() - began)
        began = time.process_time()
        yield row(GUESS, _guessed(views), views.shot.count, time.process_time() - began)
    for name, model in models.items():
        began = time.process_time()
        radiance, chosen = _made(model, views)
        yield row(name, radiance, len(chosen), time.process_time() - began)


def _guessed(views: _Views) -> Array:
    whole = slice(None), slice(None)
    plain, laid = (s.tile(*whole).unsqueeze(0) for s in (views.registered, views.followed))
    times = torch.tensor([views.light.ratios], dtype=torch.float32)
    guess = first_guess(plain, laid, times, views.light.reference, "gamma")
    light = inverse_mu_law(guess) * brightest(times, views.light.reference)
    return np.asarray(light[0].numpy(), np.float32)


def _apart(one: Array, other: Array, light: Light) -> float:
    """The largest difference of two radiances after the mu-law."""
    tones = [mu_law(torch.from_numpy(np.maximum(x, 0)) * min(light.ratios)) for x in (one, other)]
    return float((tones[0] - tones[1]).abs().max())
