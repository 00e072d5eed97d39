# SPDX-License-Identifier: Apache-2.0
"""The SICE layout (Cai, Gu, Zhang 2018, doi 10.1109/TIP.2018.2794218).

``Dataset_Part1/<id>/<k>.JPG`` are the frames, ``Dataset_Part1/Label/<id>.JPG`` the reference;
some labels are PNG, and the case of ``Label`` varies. Copies with the label among the frames
(``train_7/Label_7.JPG``) are known too. The numbers of the frames are not always in order of
exposure, so the frames are ordered by brightness.
"""

from __future__ import annotations

import re

from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import stem
from pipeline.bracket import Bracket
from pipeline.storage import FileInfo

__all__ = ["find"]

_PART = re.compile(r"dataset_part\d", re.IGNORECASE)
_OWN_LABEL = re.compile(r"label(_.*)?", re.IGNORECASE)


def find(folder: Folder, tools: Tools) -> Claim | None:
    """The sequence of a folder whose frames are numbered and that has a label or stands in a Part.

    A folder called ``Label`` beside such sequences is claimed too: its pictures are the labels.
    """
    pictures = folder.pictures()
    if folder.name.casefold() == "label":
        return _labels(folder, tools)
    frames = [file for file in pictures if stem(file.path).isdecimal()]
    own = [file for file in pictures if _OWN_LABEL.fullmatch(stem(file.path))]
    if len(frames) < 2 or len(own) > 1:
        return None
    beside = None if own else _label_of(folder, tools)
    if not own and beside is None and not _PART.fullmatch(folder.parent_name):
        return None
    shots, notes = tools.by_brightness(tools.shots(frames))
    label = own[0] if own else beside
    bracket = Bracket(
        frames=tuple(shot.frame() for shot in shots),
        source=folder.source,
        layout="sice",
        reason=f"{len(frames)} numbered frames in {folder.name}"
        + (f", label {label.uri.rpartition('/')[2]}" if label else ", no label"),
        notes=tuple(notes),
        label_uri=label.uri if label else None,
        label_kind="display" if label else None,
    )
    used = {file.uri for file in [*frames, *own]}
    rest = tuple(file for file in folder.files if file.uri not in used)
    return Claim(brackets=(bracket,), labels=tuple(own), rest=rest)


def _label_of(folder: Folder, tools: Tools) -> FileInfo | None:
    name = folder.name.casefold()
    for file in tools.siblings(folder, "label"):
        if file.error_code is None and stem(file.path).casefold() == name:
            return file
    return None


def _labels(folder: Folder, tools: Tools) -> Claim | None:
    """Pictures that are the label of a sequence beside this folder; the others are left over."""
    labels, rest = [], []
    for file in folder.files:
        # A label of a sequence is known by the sequence's folder, which lies beside this one.
        frames = [f for f in tools.siblings(folder, stem(file.path)) if stem(f.path).isdecimal()]
        first = next((f for f in folder.files if stem(f.path) == stem(file.path)), file)
        (labels if len(frames) > 1 and first is file else rest).append(file)
    return Claim(brackets=(), labels=tuple(labels), rest=tuple(rest)) if labels else None
