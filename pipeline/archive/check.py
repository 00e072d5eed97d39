# SPDX-License-Identifier: Apache-2.0
"""Check a bracket's recorded exposures against its pixels."""

from __future__ import annotations

from dataclasses import replace

from pipeline.archive.brightness import mean_luminance
from pipeline.archive.exposure import exposure_contradiction
from pipeline.bracket import Bracket
from pipeline.errors import PhotoError
from pipeline.images.reading import Limits

__all__ = ["CONTRADICTED_CONFIDENCE", "check_pixels"]

CONTRADICTED_CONFIDENCE = 0.5
"""Confidence is at most this where exposures and pixels disagree."""


def check_pixels(bracket: Bracket, limits: Limits | None = None) -> Bracket:
    """The bracket, with less confidence and a note if its exposures contradict its pixels.

    Decodes every frame at reduced size. Singles, brackets without exposures and brackets with a
    frame that cannot be decoded come back unchanged (fusing will say what is wrong with them).
    """
    evs = [frame.ev for frame in bracket.frames if frame.ev is not None]
    if bracket.kind == "single" or len(evs) < len(bracket.frames):
        return bracket
    try:
        means = [mean_luminance(frame.uri, limits) for frame in bracket.frames]
    except PhotoError:
        return bracket
    contradiction = exposure_contradiction(evs, means)
    if contradiction is None or contradiction in bracket.notes:
        return bracket
    return replace(
        bracket,
        confidence=min(bracket.confidence, CONTRADICTED_CONFIDENCE),
        notes=(*bracket.notes, contradiction),
    )
