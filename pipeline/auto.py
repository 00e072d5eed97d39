# SPDX-License-Identifier: Apache-2.0
"""What is decided for each bracket by what it shows: the model (``--model auto``), and whether its
frames are followed by optical flow.

==========================================================  ======================================
bracket, with ``--model auto``                              model
==========================================================  ======================================
radiance is wanted (``--format exr``)                       merge, followed if something moved
something moved                                             ufm_k, on followed frames
anything else                                               ufm_k, on frames registered as a whole
==========================================================  ======================================

Something moved where, once the frames are registered, more than two percent of the pixels that both
frames expose well show different things (:mod:`pipeline.ghosts`). Frames are not followed without
need: where flow finds nothing, the reference stands in, and with a camera's own curve that may be
seen in a sky. Following needs some 160 bytes a pixel beside the frames; above 50 megapixel it is
left alone, whatever memory this machine has: the same bracket gets the same everywhere. Only
models that ship are chosen; networks for radiance that somebody trained are asked for by their
files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model import zoo
from pipeline.bracket import Pixels
from pipeline.ghosts import moved_share
from pipeline.light import Light

__all__ = ["Choice", "choose", "following"]

_MOVED = 0.02
_MOST_PX = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model by its name, whether frames are followed by optical flow, and why."""

    model: str
    follow: bool
    reason: str


def choose(frames: Sequence[Pixels], light: Light | str, *, radiance: bool) -> Choice:
    """The model for a bracket.

    Args:
        frames: its registered frames.
        light: of these frames, or why it is not known.
        radiance: whether linear light is wanted.
    """
    if isinstance(light, str):
        follow, why = False, f"nothing is known of motion: {light}"
    else:
        follow, why = following(frames, light)
    if radiance:
        why = f"linear light is wanted, and merge is the only model that ships and makes it; {why}"
    return Choice(model="merge" if radiance else zoo.DEFAULT, follow=follow, reason=why)


def following(frames: Sequence[Pixels], light: Light) -> tuple[bool, str]:
    """Whether registered frames have to be followed onto their reference, and why."""
    reference = frames[light.reference]
    shares = [
        moved_share(frame, reference, light.ratios[k])
        for k, frame in enumerate(frames)
        if k != light.reference
    ]
    known = [share for share in shares if share is not None]
    if not known:
        return False, "motion cannot be told: no two frames expose the same pixels well"
    moved = max(known)
    told = f"{100 * moved:.1f} % of the pixels moved"
    if moved <= _MOVED:
        return False, f"nothing moved to speak of ({told})"
    if reference.shape[0] * reference.shape[1] > _MOST_PX:
        return False, f"{told}, but the frames are too large to be followed"
    return True, f"{told}: the frames were followed onto frame {light.place}"
