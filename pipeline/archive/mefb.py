# SPDX-License-Identifier: Apache-2.0
"""The MEFB layout (Zhang 2021, doi 10.1016/j.inffus.2021.02.005): pairs ``<name>_A``, ``<name>_B``.

A is the under-exposed frame, with exceptions, so the pair is ordered by brightness. Case varies
in every part of the name, and further files lie about in the folders; they are left to others.
"""

from __future__ import annotations

import re

from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import stem
from pipeline.bracket import Bracket
from pipeline.storage import FileInfo

__all__ = ["find"]

_PAIR = re.compile(r"(.+)_([ab])", re.IGNORECASE)


def find(folder: Folder, tools: Tools) -> Claim | None:
    """The pairs of a folder: one named like the folder, or any number of them, all complete."""
    sides: dict[str, dict[str, list[FileInfo]]] = {}
    for file in folder.pictures():
        match = _PAIR.fullmatch(stem(file.path))
        if match:
            pair = sides.setdefault(match[1].casefold(), {})
            pair.setdefault(match[2].casefold(), []).append(file)
    pairs = [
        (name, pair["a"][0], pair["b"][0])
        for name, pair in sides.items()
        if len(pair) == 2 and len(pair["a"]) == len(pair["b"]) == 1
    ]
    if not pairs:
        return None
    brackets, used = [], set()
    for name, a, b in pairs:
        shots, notes = tools.by_brightness(tools.shots([a, b]))
        if shots[0].file.uri == b.uri and not notes:
            notes = ["B is the darker frame of this pair"]
        brackets.append(
            Bracket(
                frames=tuple(shot.frame() for shot in shots),
                source=folder.source,
                layout="mefb",
                reason=f"pair {stem(a.path)} and {stem(b.path)}",
                confidence=1.0 if name == folder.name.casefold() else 0.9,
                notes=tuple(notes),
            )
        )
        used |= {a.uri, b.uri}
    rest = tuple(file for file in folder.files if file.uri not in used)
    return Claim(brackets=tuple(brackets), rest=rest)
