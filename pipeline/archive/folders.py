# SPDX-License-Identifier: Apache-2.0
"""A listing, cut into folders: a folder is handed out as soon as the walk has left it.

Memory follows the largest folder and its ancestors, not the archive.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pipeline.archive.kalantari import is_video_part
from pipeline.archive.layout import Folder
from pipeline.archive.shot import IMAGE_EXTENSIONS, extension
from pipeline.listing import FileInfo
from pipeline.storage import is_local, join, local_path

__all__ = ["folders_of"]

_DCF = re.compile(r"[1-9]\d\d[A-Z0-9_]{5}")


@dataclass(kw_only=True)
class _Open:
    path: str
    files: list[FileInfo] = field(default_factory=list)
    others: list[FileInfo] = field(default_factory=list)
    video: list[Folder] = field(default_factory=list)
    camera: list[Folder] = field(default_factory=list)


def folders_of(listing: Iterable[FileInfo], source: str) -> Iterator[Folder]:
    """The folders of a sorted listing, each with the files directly in it.

    Folders that belong together come as one: the camera's own (``100CANON``, ``101CANON``: the
    file counter and a bracket may run on from one to the next) as one folder with the files of
    all, and the parts of a RealHDRV scene as ``children``.
    """
    opened = [_Open(path="")]
    for file in listing:
        folder = posixpath.dirname(file.path)
        while not _within(folder, opened[-1].path):
            yield from _close(opened, source)
        while opened[-1].path != folder:
            above = opened[-1].path
            below = folder[len(above) :].lstrip("/").split("/")[0]
            opened.append(_Open(path=posixpath.join(above, below)))
        (opened[-1].files if _is_photograph(file) else opened[-1].others).append(file)
    while opened:
        yield from _close(opened, source)


def _close(opened: list[_Open], source: str) -> Iterator[Folder]:
    done = opened.pop()
    folder = Folder(
        uri=join(source, done.path) if done.path else source,
        path=done.path,
        source=source,
        files=tuple(done.files),
        others=tuple(done.others),
    )
    if len(done.camera) > 1:
        yield replace(
            folder,
            files=tuple(file for part in done.camera for file in part.files),
            others=tuple(file for part in done.camera for file in part.others),
        )
    else:
        yield from done.camera
    if len(done.video) > 1:
        folder = replace(folder, children=tuple(done.video))
    else:
        yield from done.video
    if opened and folder.files and not folder.children:
        name = posixpath.basename(done.path)
        if _DCF.fullmatch(name):
            opened[-1].camera.append(folder)
            return
        if is_video_part(name):
            opened[-1].video.append(folder)
            return
    if folder.files or folder.others or folder.children:
        yield folder


def _within(folder: str, ancestor: str) -> bool:
    return not ancestor or folder == ancestor or folder.startswith(ancestor + "/")


def _is_photograph(file: FileInfo) -> bool:
    if extension(file.path) in IMAGE_EXTENSIONS:
        return True
    if file.error_code is None:
        return False
    # A folder that cannot be listed may hold photographs: it must not vanish from the catalog.
    return not extension(file.path) or (is_local(file.uri) and local_path(file.uri).is_dir())
