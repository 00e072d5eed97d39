# SPDX-License-Identifier: Apache-2.0
"""The MEFB layout (Zhang 2021, doi 10.1016/j.inffus.2021.02.005): pairs ``<name>_A``, ``<name>_B``.

A is the under-exposed frame, with exceptions, so the pair is ordered by brightness. Case varies
in every part of the name, and further files lie about in the folders; they are left to others.
"""

from __future__ import annotations

import re

from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import single, stem
from pipeline.bracket import Bracket
from pipeline.listing import FileInfo

__all__ = ["find"]

_PAIR = re.compile(r"(.+)_([ab])", re.IGNORECASE)


def find(folder: Folder, tools: Tools) -> Claim | None:
    """The pair named like the folder, or a folder that holds nothing but such pairs."""
    sides: dict[str, dict[str, list[FileInfo]]] = {}
    pictures = folder.pictures()
    for file in pictures:
        match = _PAIR.fullmatch(stem(file.path))
        if match:
            sides.setdefault(match[1].casefold(), {}).setdefault(match[2].casefold(), []).append(
                file
            )
    pairs = {
        name: (pair["a"][0], pair["b"][0])
        for name, pair in sides.items()
        if len(pair) == 2 and len(pair["a"]) == len(pair["b"]) == 1
    }
    name = folder.name.casefold()
    if name in pairs:
        bracket = _bracket(pairs[name], folder, tools, confidence=1.0)
        used = {frame.uri for frame in bracket.frames}
        extra = tools.shots([file for file in folder.files if file.uri not in used])
        reason = f"extra file beside the pair of {folder.name}"
        singles = [single(s, source=folder.source, layout="mefb", reason=reason) for s in extra]
        return Claim(brackets=(bracket, *singles))
    if not pairs or 2 * len(pairs) < len(pictures):
        return None
    found = [_bracket(pair, folder, tools, confidence=0.9) for pair in pairs.values()]
    used = {frame.uri for bracket in found for frame in bracket.frames}
    rest = tuple(file for file in folder.files if file.uri not in used)
    return Claim(brackets=tuple(found), rest=rest)


def _bracket(
    pair: tuple[FileInfo, FileInfo], folder: Folder, tools: Tools, *, confidence: float
) -> Bracket:
    shots, notes = tools.by_brightness(tools.shots(pair))
    if shots[0].file.uri == pair[1].uri and not notes:
        notes = ["B is the darker frame of this pair"]
    return Bracket(
        frames=tuple(shot.frame() for shot in shots),
        source=folder.source,
        layout="mefb",
        reason=f"pair {stem(pair[0].path)} and {stem(pair[1].path)}",
        confidence=confidence,
        notes=tuple(notes),
    )
