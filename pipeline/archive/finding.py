# SPDX-License-Identifier: Apache-2.0
"""The brackets of one folder.

A folder goes to the layouts in turn; what none of them claims is grouped by EXIF, and what carries
no exposure by looks. Every image file ends up as a frame of exactly one bracket or single, or as
the label or twin of one; this is checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from pipeline.archive import exif, kalantari, mefb, sice
from pipeline.archive import folder as by_folder
from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.options import ScanOptions
from pipeline.archive.shot import Shot, natural_key, single
from pipeline.archive.twins import pair_twins
from pipeline.bracket import Bracket
from pipeline.errors import InfrastructureError
from pipeline.listing import FileInfo

__all__ = ["find_in"]

_LAYOUTS = {"sice": sice.find, "mefb": mefb.find, "kalantari": kalantari.find}


def find_in(folder: Folder, tools: Tools, options: ScanOptions) -> Claim:
    """All brackets and singles of one folder.

    Raises:
        InfrastructureError: ``counts-mismatch``, a file was lost or used twice (a bug).
    """
    if folder.children:
        return _find_in_scene(folder, tools, options)
    files, twins = pair_twins(folder.files, options.twins)
    tools = replace(tools, twins=twins)
    rest = replace(folder, files=tuple(files))
    brackets: list[Bracket] = []
    labels: list[FileInfo] = []
    for name, find in _LAYOUTS.items():
        if options.layout not in ("auto", name) or not rest.files:
            continue
        claim = find(rest, tools)
        if claim is not None:
            brackets += claim.brackets
            labels += claim.labels
            rest = replace(rest, files=claim.rest)
    if rest.files:
        claim = _find_others(rest, tools, options)
        brackets += claim.brackets
        labels += claim.labels
    claim = Claim(brackets=tuple(brackets), labels=tuple(labels))
    _check(folder, claim)
    return claim


def _find_others(folder: Folder, tools: Tools, options: ScanOptions) -> Claim:
    """By exposure, else by looks, else singles."""
    if options.layout == "folder":
        return by_folder.take_whole(folder, tools)
    shots = tools.shots(folder.files)
    if options.layout not in ("auto", "exif"):
        reason = f"not part of the {options.layout} layout"
        return Claim(brackets=tuple(_singles(shots, folder, options.layout, reason)))
    groups, left = exif.group(
        shots,
        max_gap_s=options.max_gap_s,
        min_frames=options.min_frames,
        max_frames=options.max_frames,
    )
    found = [exif.to_bracket(group, source=folder.source) for group in groups]
    exposed = [shot for shot in left if shot.ev is not None]
    bare = [shot for shot in left if shot.ev is None]
    if options.layout == "auto" and not found and _stale(exposed):
        bare, exposed = left, []
    reason = f"no other exposure of this view within {options.max_gap_s:g} s"
    found += _singles(exposed, folder, "exif", reason)
    if options.layout == "exif":
        found += _singles(bare, folder, "exif", "no exposure time in EXIF")
        return Claim(brackets=tuple(found))
    looks = by_folder.find_among(
        bare, folder, tools, min_frames=options.min_frames, max_frames=options.max_frames
    )
    return Claim(brackets=(*found, *looks.brackets), labels=looks.labels)


def _singles(shots: Iterable[Shot], folder: Folder, layout: str, reason: str) -> Iterator[Bracket]:
    for shot in sorted(shots, key=lambda shot: natural_key(shot.path)):
        yield single(shot, source=folder.source, layout=layout, reason=reason)


def _stale(shots: list[Shot]) -> bool:
    """Several files with the very same moment and exposure: copies of one file's EXIF."""
    facts = {(shot.captured_s, shot.ev) for shot in shots}
    return len(shots) > 1 and len(facts) == 1


def _find_in_scene(folder: Folder, tools: Tools, options: ScanOptions) -> Claim:
    """A folder whose subfolders belong together, or do not."""
    if options.layout in ("auto", "kalantari"):
        claim = kalantari.find(folder, tools)
        if claim is not None:
            rest = find_in(replace(folder, files=claim.rest, children=()), tools, options)
            whole = Claim(
                brackets=claim.brackets + rest.brackets, labels=claim.labels + rest.labels
            )
            _check(folder, whole)
            return whole
    parts = [
        find_in(part, tools, options) for part in (*folder.children, replace(folder, children=()))
    ]
    return Claim(
        brackets=tuple(chain.from_iterable(part.brackets for part in parts)),
        labels=tuple(chain.from_iterable(part.labels for part in parts)),
    )


def _check(folder: Folder, claim: Claim) -> None:
    """Nothing lost, nothing used twice."""
    used = [label.uri for label in claim.labels]
    for bracket in claim.brackets:
        for frame in bracket.frames:
            used.append(frame.uri)
            if frame.twin_uri is not None:
                used.append(frame.twin_uri)
    there = [file.uri for member in (folder, *folder.children) for file in member.files]
    if sorted(used) != sorted(there):
        name = os.fspath(folder.path) or folder.source
        raise InfrastructureError(
            "counts-mismatch",
            f"{name} holds {len(there)} image files, but {len(used)} are in the catalog; this is "
            "a bug of bracketflow, please report it with the names of the files.",
        )
