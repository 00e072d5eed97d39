# SPDX-License-Identifier: Apache-2.0
"""Which brackets belong to one scene, by how they lie in the archive.

A scene is one view. It may have several brackets: two pairs of exposures of it in a list, a
sequence and a shorter one in the same folder. For the same view under other names see
:mod:`pipeline.archive.overlap`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from pipeline.bracket import Bracket

__all__ = ["scene_name", "scenes_of"]

_SIDE = re.compile(r"(.+)_[ab]", re.IGNORECASE)
_A_VIEW_A_FOLDER = ("sice", "kalantari", "folder", "rendered")


def scene_name(bracket: Bracket) -> str:
    """What a bracket's scene is called, relative to the source; the same on every mount.

    The folder, for the layouts where a folder holds one view; the name that a pair has in common;
    otherwise, in a camera's folder or a list, the name of the bracket's first frame.
    """
    first = min(frame.path for frame in bracket.frames)
    folder, name = posixpath.split(posixpath.splitext(first)[0])
    if bracket.layout in _A_VIEW_A_FOLDER and folder:
        return folder
    if bracket.layout == "mefb":
        side = _SIDE.fullmatch(name)
        name = side[1] if side else name
        if name.casefold() == posixpath.basename(folder).casefold():
            return folder
    return posixpath.join(folder, name)


def scenes_of(brackets: Iterable[Bracket], alike: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Bracket id -> name of its scene.

    Brackets of one :func:`scene_name` are one scene. So are those of a list that share a frame or
    a label, whatever they are called, since it may name several pairs of one view; and those that
    ``alike`` says are the same. It does not matter in which order they come.

    Args:
        brackets: all of them.
        alike: pairs of ids.
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = name = leader[leader[name]]
        return name

    def unite(one: str, other: str) -> None:
        first, second = sorted((find(one), find(other)))
        leader[second] = first

    names: dict[str, str] = {}
    by_file: dict[str, str] = {}
    for bracket in brackets:
        name = names[bracket.id] = scene_name(bracket)
        if bracket.layout != "list":
            continue  # the scan gives every file to one bracket
        for file in (*(frame.uri for frame in bracket.frames), bracket.label_uri):
            if file is not None:
                unite(name, by_file.setdefault(file, name))
    for one, other in alike:
        unite(names[one], names[other])
    return {bracket: find(name) for bracket, name in names.items()}
