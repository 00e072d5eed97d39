# SPDX-License-Identifier: Apache-2.0
"""The SICE layout (Cai, Gu, Zhang 2018, doi 10.1109/TIP.2018.2794218).

``Dataset_Part1/<id>/<k>.JPG`` are the frames, ``Dataset_Part1/Label/<id>.JPG`` the reference;
some labels are PNG, and the case of ``Label`` varies. Copies with the label among the frames
(``train_7/Label_7.JPG``) are known too. The numbers of the frames are not always in order of
exposure, so the frames are ordered by brightness.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import DISPLAY_EXTENSIONS, extension, stem
from pipeline.bracket import Bracket
from pipeline.listing import FileInfo

__all__ = ["find"]

_PART = re.compile(r"dataset_part\d", re.IGNORECASE)
_OWN_LABEL = re.compile(r"label(_.*)?", re.IGNORECASE)


def find(folder: Folder, tools: Tools) -> Claim | None:
    """The sequence of a folder whose frames are numbered and that has a label or stands in a Part.

    A folder called ``Label`` beside such sequences is claimed too: its pictures are the labels.
    """
    if folder.name.casefold() == "label":
        return _label_folder(folder, tools)
    frames, own = _sequence(folder.files)
    if len(frames) < 2 or len(own) > 1:
        return None
    beside = None if own else _readable(tools.namesakes(folder, "label", folder.name))
    label = own[0] if own else beside
    if label is None and not _PART.fullmatch(folder.parent_name):
        return None
    shots, notes = tools.by_brightness(tools.shots(frames))
    bracket = Bracket(
        frames=tuple(shot.frame() for shot in shots),
        source=folder.source,
        layout="sice",
        reason=f"{len(frames)} numbered frames in {folder.name}, "
        + (f"label {posixpath.basename(label.path)}" if label else "no label"),
        notes=tuple(notes),
        label_uri=label.uri if label else None,
        label_kind="display" if label else None,
    )
    used = {file.uri for file in [*frames, *own]}
    rest = tuple(file for file in folder.files if file.uri not in used)
    return Claim(brackets=(bracket,), labels=tuple(own), rest=rest)


def _label_folder(folder: Folder, tools: Tools) -> Claim | None:
    """Pictures that are the label of a sequence beside this folder; the others are left over."""
    by_name: dict[str, list[FileInfo]] = {}
    for file in folder.files:
        by_name.setdefault(stem(file.path).casefold(), []).append(file)
    labels = []
    for namesakes in by_name.values():
        label = _readable(namesakes)
        if label is None:
            continue
        frames, own = _sequence(tools.siblings(folder, stem(label.path)))
        if len(frames) > 1 and not own:
            labels.append(label)
    used = {label.uri for label in labels}
    rest = tuple(file for file in folder.files if file.uri not in used)
    return Claim(brackets=(), labels=tuple(labels), rest=rest) if labels else None


def _sequence(files: Iterable[FileInfo]) -> tuple[list[FileInfo], list[FileInfo]]:
    """Numbered frames, and labels among them."""
    pictures = [file for file in files if extension(file.path) in DISPLAY_EXTENSIONS]
    frames = [file for file in pictures if stem(file.path).isdecimal()]
    return frames, [file for file in pictures if _OWN_LABEL.fullmatch(stem(file.path))]


def _readable(files: Iterable[FileInfo]) -> FileInfo | None:
    """The first readable picture."""
    return next(
        (
            file
            for file in files
            if file.error_code is None and extension(file.path) in DISPLAY_EXTENSIONS
        ),
        None,
    )
