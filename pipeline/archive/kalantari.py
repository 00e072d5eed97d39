# SPDX-License-Identifier: Apache-2.0
"""Layouts of the HDR data sets: a scene folder with frames, exposures and a radiance map.

All descend from Kalantari and Ramamoorthi 2017 (doi 10.1145/3072959.3073609): three TIFFs,
``exposure.txt`` and ``HDRImg.hdr``. Known relatives: aligned copies (``input_1_aligned.tif``,
``input_exp.txt``, ``ref_hdr_aligned.hdr``), Hu (``ref_hdr_aligned_linear.hdr``), Prabhakar
(``input_ghosted_1.tif``), Tel (``input_1.tif``), crops (``0.tif``, ``label.hdr``), Sen
(``exposures.txt``, no label), Tursun (``.tiff``, times), NTIRE 2021 (``0.png``, ``gt.png``,
``exposures.npy``), SelfHDR (``Training_align``, whose exposures lie in ``Training``), and the
RealHDRV video test (``Input_0/frame_00.tif``, ``Input_1/``, ``GT/GT_frame_00.hdr``).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pipeline.archive.exposure_files import EXPOSURE_FILES, Exposures
from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import RADIANCE_EXTENSIONS, Shot, extension, natural_key, stem
from pipeline.bracket import Bracket
from pipeline.listing import FileInfo

__all__ = ["find", "is_video_part"]

_FRAME = re.compile(r"input(_ghosted)?_\d+(_aligned)?", re.IGNORECASE)
_COMPANION = re.compile(r"ref_\d+(_aligned)?", re.IGNORECASE)
_LABEL = re.compile(r"hdrimg|label|gt|ref_hdr(_aligned)?(_linear)?", re.IGNORECASE)
_VIDEO_PART = re.compile(r"input_\d+|gt", re.IGNORECASE)
_OWN_FILES = ("exposure.txt", "exposures.txt", "input_exp.txt", "exposures.npy")
_VIDEO_GAIN_EV = 3.0  # frame_XX of Input_1 has eight times the exposure of Input_0


def find(folder: Folder, tools: Tools) -> Claim | None:
    """The scene of a folder; None without exposures and without the names of these sets."""
    if folder.children:
        return _video(folder, tools)
    labels = [file for file in folder.files if _is_label(file)]
    companions = [file for file in folder.files if _COMPANION.fullmatch(stem(file.path))]
    taken = {file.uri for file in [*labels, *companions]}
    frames = [file for file in folder.pictures() if file.uri not in taken]
    named = [file for file in frames if _FRAME.fullmatch(stem(file.path))]
    if len(named) >= 2:
        frames = named  # other pictures of the folder are somebody's results
    if len(frames) < 2:
        return None
    exposures, exposure_file = _exposures(folder, tools, frames)
    if exposures is None and not (len(named) >= 2 and labels):
        return None

    shots = tools.shots(frames)
    notes: list[str] = []
    if exposures is None:
        shots, notes = tools.by_brightness(shots)
        found = [shot.frame() for shot in shots]
    else:
        known = zip(shots, exposures.evs, exposures.times_s, strict=True)
        found = [shot.frame(ev=ev, exposure_time_s=time) for shot, ev, time in known]
        found.sort(key=lambda frame: (frame.ev or 0.0, natural_key(frame.path)))
    label = labels[0] if labels else None
    kind: Literal["display", "radiance"] | None = "radiance" if label else None
    if label is not None and extension(label.path) not in RADIANCE_EXTENSIONS:
        ratio = any(posixpath.basename(f.path) == "alignratio.npy" for f in folder.others)
        if ratio:
            notes.append("the label is linear once divided by alignratio.npy")
        else:
            kind = "display"
    if folder.parent_name.casefold().endswith("_align") and label is not None:
        notes.append("the label is a pseudo label, made from the frames")
    used = {file.uri for file in [*frames, *labels, *companions]}
    bracket = Bracket(
        frames=tuple(found),
        source=folder.source,
        layout="kalantari" if label or named or exposure_file in _OWN_FILES else "folder",
        reason=f"{len(found)} frames in {folder.name}"
        + (f", exposures from {exposure_file}" if exposures else ", named as in an HDR data set")
        + (f", label {posixpath.basename(label.path)}" if label else ", no label"),
        confidence=1.0 if exposures else 0.9,
        notes=tuple(notes),
        label_uri=label.uri if label else None,
        label_kind=kind,
    )
    rest = tuple(file for file in folder.files if file.uri not in used)
    return Claim(brackets=(bracket,), labels=(*labels, *companions), rest=rest)


def is_video_part(name: str) -> bool:
    """Whether a folder may be one of several over which the brackets of a scene are spread."""
    return _VIDEO_PART.fullmatch(name) is not None


def _is_label(file: FileInfo) -> bool:
    return file.error_code is None and _LABEL.fullmatch(stem(file.path)) is not None


def _exposures(
    folder: Folder, tools: Tools, frames: Sequence[FileInfo]
) -> tuple[Exposures | None, str]:
    """Exposures of the frames in natural order, from this folder or its unaligned original."""
    names = [file.path for file in frames]
    candidates = list(folder.others)
    if folder.parent_name.casefold().endswith("_align"):
        candidates += tools.siblings(folder, f"../{folder.parent_name[:-6]}/{folder.name}")
    for wanted in EXPOSURE_FILES:
        for file in candidates:
            if posixpath.basename(file.path).casefold() == wanted:
                found = tools.exposures(file, names)
                if found is not None:
                    return found, wanted
    return None, ""


def _video(folder: Folder, tools: Tools) -> Claim | None:
    """Scene with ``Input_<k>/<frame>`` and ``GT/GT_<frame>``: a bracket for each frame name."""
    parts = sorted(
        (child for child in folder.children if child.name.casefold() != "gt"),
        key=lambda child: natural_key(child.name),
    )
    truths = {
        stem(file.path).casefold(): file
        for child in folder.children
        if child.name.casefold() == "gt"
        for file in child.files
    }
    if len(parts) < 2:
        return None
    views: dict[str, dict[int, FileInfo]] = {}
    for index, part in enumerate(parts):
        for file in part.pictures():
            views.setdefault(stem(file.path).casefold(), {}).setdefault(index, file)
    brackets: list[Bracket] = []
    labels: list[FileInfo] = []
    used: set[str] = set()
    for name in sorted(views, key=natural_key):
        if len(views[name]) < len(parts):
            continue
        files = [views[name][index] for index in range(len(parts))]
        label = truths.get(f"gt_{name}")
        shots = tools.shots(files)
        brackets.append(_video_bracket(shots, folder, label))
        used |= {file.uri for file in files}
        if label is not None:
            labels.append(label)
            used.add(label.uri)
    if not brackets:
        return None
    return Claim(
        brackets=tuple(brackets),
        labels=tuple(labels),
        rest=tuple(file for file in _all_files(folder) if file.uri not in used),
    )


def _video_bracket(shots: Sequence[Shot], folder: Folder, label: FileInfo | None) -> Bracket:
    evs = [_VIDEO_GAIN_EV * index for index in range(len(shots))]
    return Bracket(
        frames=tuple(
            shot.frame(ev=ev, exposure_time_s=2.0**ev) for shot, ev in zip(shots, evs, strict=True)
        ),
        source=folder.source,
        layout="kalantari",
        reason=f"frame {stem(shots[0].path)} of {len(shots)} exposures of {folder.name}"
        + (f", label {posixpath.basename(label.path)}" if label else ", no label"),
        confidence=0.9,
        notes=("exposure ratio 1:8 assumed, as in RealHDRV; no file says so",),
        label_uri=label.uri if label else None,
        label_kind="radiance" if label else None,
    )


def _all_files(folder: Folder) -> Iterable[FileInfo]:
    yield from folder.files
    for child in folder.children:
        yield from child.files
