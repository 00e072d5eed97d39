# SPDX-License-Identifier: Apache-2.0
"""One folder per bracket, without exposure data.

The pictures of a folder are one bracket if they have one size and look like one view under
different exposures. Its parts by file type are tried first: results of other tools often lie beside
the frames.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.archive.brightness import Thumbnail, exposures_of_one_view
from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import RADIANCE_EXTENSIONS, Shot, extension, natural_key, single, stem
from pipeline.bracket import Bracket
from pipeline.errors import PhotoError
from pipeline.listing import FileInfo

__all__ = ["find", "find_among"]

_CONFIDENCE = 0.7


def find(folder: Folder, tools: Tools, *, min_frames: int = 2, max_frames: int = 20) -> Claim:
    """Everything in the folder: one bracket, or several by file type, or singles."""
    shots = tools.shots(folder.files)
    return find_among(shots, folder, tools, min_frames=min_frames, max_frames=max_frames)


def find_among(
    shots: Sequence[Shot],
    folder: Folder,
    tools: Tools,
    *,
    min_frames: int = 2,
    max_frames: int = 20,
    reason: str = "no other frame of this view was found",
) -> Claim:
    """As :func:`find`, for shots whose headers have been read; those not used become singles."""
    radiance = [shot for shot in shots if extension(shot.path) in RADIANCE_EXTENSIONS]
    pictures = [shot for shot in shots if extension(shot.path) not in RADIANCE_EXTENSIONS]
    frames = range(max(2, min_frames), max_frames + 1)
    small: dict[str, Thumbnail | PhotoError] = {}
    brackets: list[Bracket] = []
    left = pictures
    for level in _LEVELS:
        parts: dict[object, list[Shot]] = {}
        for shot in left:
            parts.setdefault(level(shot), []).append(shot)
        for part in parts.values():
            bracket = _bracket(part, folder, tools, frames, small)
            if bracket is not None:
                brackets.append(bracket)
                used = {frame.uri for frame in bracket.frames}
                left = [shot for shot in left if shot.file.uri not in used]
    labels: tuple[FileInfo, ...] = ()
    if len(brackets) == 1 and not left and len(radiance) == 1 and radiance[0].error_code is None:
        label = radiance.pop().file
        brackets = [replace(brackets[0], label_uri=label.uri, label_kind="radiance")]
        labels = (label,)
    left = [_told(shot, small.get(shot.file.uri)) for shot in left]
    alone = sorted([*left, *radiance], key=lambda shot: shot.path)
    singles = [single(shot, source=folder.source, layout="folder", reason=reason) for shot in alone]
    return Claim(brackets=(*brackets, *singles), labels=labels)


def _family(path: str) -> str:
    """The name without its numbers: frames of one bracket mostly share it."""
    return re.sub(r"\d+", "#", stem(path)).casefold()


_LEVELS: tuple[Callable[[Shot], object], ...] = (
    lambda shot: extension(shot.path),
    lambda shot: None,
    lambda shot: (extension(shot.path), _family(shot.path)),
)
"""What the frames of a bracket share: tried by file type (the results of other tools often have
another), then all of the folder, then like names."""


def _bracket(
    part: Sequence[Shot],
    folder: Folder,
    tools: Tools,
    frames: range,
    small: dict[str, Thumbnail | PhotoError],
) -> Bracket | None:
    """The bracket that the pictures of one part make, or None."""
    if len(part) not in frames:
        return None
    whole = [shot for shot in part if shot.error_code is None]
    if len(whole) < 2 or len({(shot.width, shot.height) for shot in whole}) > 1:
        return None
    unseen = [shot.file for shot in whole if shot.file.uri not in small]
    small.update(zip((f.uri for f in unseen), tools.thumbnails(unseen), strict=True))
    seen = [(shot, small[shot.file.uri]) for shot in whole]
    good = [(shot, picture) for shot, picture in seen if not isinstance(picture, PhotoError)]
    if not exposures_of_one_view([picture for _, picture in good]):
        return None
    good.sort(key=lambda pair: (float(pair[1].mean()), natural_key(pair[0].path)))
    families = {_family(shot.path) for shot, _ in good}
    readable = {shot.file.uri for shot, _ in good}
    # A broken file named like the others is a frame of this bracket, which then is quarantined:
    # better than to fuse the others as if nothing were missing.
    broken = [s for s in part if s.file.uri not in readable and _family(s.path) in families]
    notes = [f"{posixpath.basename(shot.path)} cannot be read" for shot in broken]
    ordered = [shot for shot, _ in good] + broken
    where = folder.name if len(part) == len(folder.files) else f"part of {folder.name}"
    return Bracket(
        frames=tuple(shot.frame() for shot in ordered),
        source=folder.source,
        layout="folder",
        reason=f"{len(ordered)} pictures of one size and one view in {where}, "
        "ordered by brightness, no exposure data",
        confidence=_CONFIDENCE if len(families) == 1 else round(_CONFIDENCE - 0.05, 2),
        notes=tuple(notes),
    )


def _told(shot: Shot, picture: Thumbnail | PhotoError | None) -> Shot:
    """The shot with what was found out about its pixels: its header alone looked well."""
    if shot.error_code is not None or not isinstance(picture, PhotoError):
        return shot
    return replace(shot, error_code=picture.code, error_message=picture.message)


def take_whole(folder: Folder, tools: Tools) -> Claim:
    """The folder as one bracket because the user says so: by exposure if known, else by looks."""
    pictures = [f for f in folder.files if extension(f.path) not in RADIANCE_EXTENSIONS]
    radiance = [f for f in folder.files if extension(f.path) in RADIANCE_EXTENSIONS]
    shots = tools.shots(pictures)
    label = radiance[0] if len(radiance) == 1 and len(pictures) > 1 else None
    alone = [*(shots if len(shots) < 2 else []), *tools.shots([] if label else radiance)]
    reason = "the only picture in its folder"
    singles = [single(shot, source=folder.source, layout="folder", reason=reason) for shot in alone]
    if len(shots) < 2:
        return Claim(brackets=tuple(singles))
    notes: list[str] = []
    if all(shot.ev is not None for shot in shots):
        shots.sort(key=lambda shot: (shot.ev or 0.0, natural_key(shot.path)))
        order = "exposure"
    else:
        shots, notes = tools.by_brightness(shots)
        order = "file name" if notes else "brightness"
    bracket = Bracket(
        frames=tuple(shot.frame() for shot in shots),
        source=folder.source,
        layout="folder",
        reason=f"all {len(shots)} pictures of {folder.name}, as asked for, ordered by {order}",
        notes=tuple(notes),
        label_uri=label.uri if label else None,
        label_kind="radiance" if label else None,
    )
    return Claim(brackets=(bracket, *singles), labels=(label,) if label else ())
