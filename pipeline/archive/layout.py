# SPDX-License-Identifier: Apache-2.0
"""What the layouts have in common: a folder comes in, a claim goes out.

A layout is a function ``find(folder, tools) -> Claim | None``. It takes what it knows and leaves
the rest to the next one; None means that the folder is not its own.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from pipeline.archive.brightness import Thumbnail
from pipeline.archive.exposure_files import Exposures
from pipeline.archive.shot import (
    DISPLAY_EXTENSIONS,
    HeaderFacts,
    Shot,
    extension,
    natural_key,
    read_shot,
)
from pipeline.bracket import Bracket
from pipeline.errors import PhotoError
from pipeline.listing import FileInfo

__all__ = ["Claim", "Folder", "Tools"]

_AT_HAND_S = 0.001  # a header whose file lies in memory takes a fifth of it
_PATIENCE_S = 0.05  # others use the machine too


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files that lie directly in one folder of the source.

    ``path`` is relative to the source, empty for the source itself; ``files`` are image files
    (twins taken out) and ``others`` the rest. ``children`` holds subfolders only where a layout
    spreads a bracket over them.
    """

    uri: str
    path: str
    source: str
    files: tuple[FileInfo, ...]
    others: tuple[FileInfo, ...] = ()
    children: tuple[Folder, ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder, of the source's own folder too."""
        return posixpath.basename((self.path or self.uri).rstrip("/"))

    @property
    def parent_uri(self) -> str:
        return posixpath.dirname(self.uri.rstrip("/"))

    @property
    def parent_name(self) -> str:
        return posixpath.basename(self.parent_uri)

    def beside(self, relative: str) -> str | None:
        """The path, from the source, of what lies at ``relative`` to the parent of this folder.

        None outside the source, and for the source itself, whose neighbours are not ours.
        """
        if not self.path:
            return None
        place = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), relative))
        return None if place.startswith((".", "/")) else place

    @property
    def photographs(self) -> int:
        """How many image files it holds, with its children."""
        return sum(len(part.files) for part in (self, *self.children))

    @property
    def file_count(self) -> int:
        """How many files of any kind it holds, with its children."""
        return sum(len(part.files) + len(part.others) for part in (self, *self.children))

    def everything(self) -> Iterator[FileInfo]:
        """All files in it and its children."""
        for part in (self, *self.children):
            yield from part.files
            yield from part.others

    def pictures(self) -> list[FileInfo]:
        """Display-referred images in natural order."""
        found = [file for file in self.files if extension(file.path) in DISPLAY_EXTENSIONS]
        return sorted(found, key=lambda file: natural_key(file.path))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a layout makes of a folder: each image file is in exactly one of these.

    ``labels`` are reference pictures and companions that belong to a bracket but are not frames;
    ``rest`` goes on to the next layout.
    """

    brackets: tuple[Bracket, ...]
    labels: tuple[FileInfo, ...] = ()
    rest: tuple[FileInfo, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tools:
    """How layouts look into files; passed in, so that they can be tested without any.

    ``read_header`` and ``thumbnail`` take a URI and raise :class:`PhotoError`; ``exposures`` is
    :func:`~pipeline.archive.exposure_files.read_exposures`. ``siblings`` lists the files of the
    folders of that name (case ignored) beside a folder, and ``namesakes`` those among them of one
    name (case and extension ignored). ``twins`` maps the URI of a frame to its twin's. ``near``
    says that files mostly are at hand, as on a local disk.
    """

    read_header: Callable[[str], HeaderFacts]
    thumbnail: Callable[[str], Thumbnail]
    exposures: Callable[[FileInfo, Sequence[str]], Exposures | None]
    siblings: Callable[[Folder, str], Sequence[FileInfo]]
    namesakes: Callable[[Folder, str, str], Sequence[FileInfo]]
    pool: ThreadPoolExecutor
    near: bool = False
    twins: Mapping[str, FileInfo] = field(default_factory=dict)

    def shots(self, files: Sequence[FileInfo]) -> list[Shot]:
        """Headers of the files, read side by side, in the order given."""
        done: list[Shot] = []
        if self.near:
            # Where nothing is waited for, threads only take the interpreter from each other.
            began = time.perf_counter()
            for file in files:
                done.append(self._shot(file))
                if time.perf_counter() - began > _PATIENCE_S + _AT_HAND_S * len(done):
                    break
        return done + list(self.pool.map(self._shot, files[len(done) :]))

    def thumbnails(self, files: Sequence[FileInfo]) -> list[Thumbnail | PhotoError]:
        """Small pictures, or why a file cannot be decoded."""
        return list(self.pool.map(self._small, files))

    def by_brightness(self, shots: Sequence[Shot]) -> tuple[list[Shot], list[str]]:
        """Dark to bright by mean luminance, and notes; in natural order where one is unreadable."""
        named = sorted(shots, key=lambda shot: natural_key(shot.path))
        small = self.thumbnails([shot.file for shot in named])
        means = [float(picture.mean()) for picture in small if not isinstance(picture, PhotoError)]
        if len(means) < len(named):
            return named, ["in order of the file names, since not every frame can be decoded"]
        order = sorted(range(len(named)), key=lambda index: means[index])
        return [named[index] for index in order], []

    def _shot(self, file: FileInfo) -> Shot:
        shot = read_shot(file, self.read_header)
        twin = self.twins.get(file.uri)
        if twin is None:
            return shot
        return replace(shot, twin_uri=twin.uri)

    def _small(self, file: FileInfo) -> Thumbnail | PhotoError:
        if file.error_code is not None:
            return PhotoError(file.error_code, file.error_message or "")
        try:
            return self.thumbnail(file.uri)
        except PhotoError as error:
            return error
