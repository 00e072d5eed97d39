# SPDX-License-Identifier: Apache-2.0
"""Stamps: how the next scan knows that nothing changed in a folder.

A stamp is a hash over the listing of a folder: paths, sizes and times of all files in it. Layouts
may look beside the folder too (SICE's ``Label``); then the stamp names those places, and holds a
hash over what lay there. It also holds a hash over the rows that came of it, so that rows that
somebody took out of a catalog, or changed, are not taken for all that was found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.archive.brightness import Thumbnail
from pipeline.archive.exposure_files import Exposures
from pipeline.archive.layout import Folder, Tools
from pipeline.archive.shot import HeaderFacts
from pipeline.bracket import Bracket
from pipeline.errors import PhotoError
from pipeline.listing import FileInfo

__all__ = [
    "DIGITS",
    "SEALED",
    "Seal",
    "Stamp",
    "Witness",
    "answer_digest",
    "folder_digest",
    "listing_digest",
    "seal_of",
]

DIGITS = 32
"""Hexadecimal digits of one hash."""
SEALED = ("bracket_id", "kind", "label_uri", "uri", "twin_uri")
"""Columns of the catalog, the last two of its frames, that :class:`Seal` is over."""


@dataclass(frozen=True)
class Stamp:
    """What a folder looked like when it was scanned.

    ``listing`` is the hash of the folder's own listing, followed by one of what lay ``beside`` it
    and of its rows. ``beside`` has the paths, relative to the source, that layouts asked for.
    """

    listing: str
    beside: tuple[str, ...] = ()


class Seal:
    """A hash over the rows of a folder, which may come in pieces."""

    def __init__(self) -> None:
        self._columns = [hashlib.blake2b(digest_size=DIGITS // 2) for _ in SEALED]

    def update(self, columns: Iterable[Sequence[str | None]]) -> None:
        """Some more rows, as the values of :data:`SEALED`, column by column."""
        for state, values in zip(self._columns, columns, strict=True):
            if values:
                text = "\0".join([value or "" for value in values]) + "\0"
                state.update(text.encode("utf-8", "surrogateescape"))

    def hexdigest(self) -> str:
        """The hash over all rows so far."""
        return "".join(state.hexdigest() for state in self._columns)


def seal_of(brackets: Sequence[Bracket]) -> str:
    """The seal of brackets that are about to become rows."""
    frames = [frame for bracket in brackets for frame in bracket.frames]
    seal = Seal()
    seal.update(
        (
            [bracket.id for bracket in brackets],
            [bracket.kind for bracket in brackets],
            [bracket.label_uri for bracket in brackets],
            [frame.uri for frame in frames],
            [frame.twin_uri for frame in frames],
        )
    )
    return seal.hexdigest()


class Witness:
    """Stands between the layouts and the files of one folder, and sees what they look at.

    Args:
        tools: what really looks.
        settled_ns: files that changed since then may change again unnoticed.
    """

    def __init__(self, tools: Tools, *, settled_ns: int) -> None:
        self._given = tools
        self._settled_ns = settled_ns
        self._asked: set[str] = set()
        self._trouble = False
        self.tools = replace(
            tools,
            read_header=self._read_header,
            thumbnail=self._thumbnail,
            exposures=self._exposures,
            siblings=self._siblings,
            namesakes=self._namesakes,
        )

    def stamp(
        self, folder: Folder, found: Sequence[Bracket], *, digest: Callable[[str], str]
    ) -> Stamp | None:
        """The stamp of a folder, None where the next scan has to look again whatever it lists.

        That is so where a file could not be read: permissions change without a trace. And where
        a file changed so late that it might change once more and keep its time.

        Args:
            folder: what was looked at.
            found: what is in it.
            digest: see :meth:`pipeline.archive.siblings.Siblings.digest`.
        """
        files = list(folder.everything())
        if self._trouble or self._late(files) or any(f.error_code is not None for f in files):
            return None
        beside = tuple(sorted(self._asked))
        answers = answer_digest(map(digest, beside), seal_of(found))
        return Stamp(folder_digest(folder) + answers, beside)

    def _late(self, files: Iterable[FileInfo]) -> bool:
        return any(f.mtime_ns is None or f.mtime_ns > self._settled_ns for f in files)

    def _read_header(self, uri: str) -> HeaderFacts:
        try:
            return self._given.read_header(uri)
        except Exception:
            self._trouble = True
            raise

    def _thumbnail(self, uri: str) -> Thumbnail:
        try:
            return self._given.thumbnail(uri)
        except Exception:
            self._trouble = True
            raise

    def _exposures(self, file: FileInfo, names: Sequence[str]) -> Exposures | None:
        try:
            return self._given.exposures(file, names)
        except PhotoError:  # the frames do without; the next scan may be able to read it
            self._trouble = True
            return None

    def _siblings(self, folder: Folder, relative: str) -> Sequence[FileInfo]:
        return self._saw(folder, relative, self._given.siblings(folder, relative))

    def _namesakes(self, folder: Folder, relative: str, name: str) -> Sequence[FileInfo]:
        return self._saw(folder, relative, self._given.namesakes(folder, relative, name))

    def _saw(self, folder: Folder, relative: str, files: Sequence[FileInfo]) -> Sequence[FileInfo]:
        place = folder.beside(relative)
        if place is not None:
            self._asked.add(place)
        if self._late(files):
            self._trouble = True
        return files


def folder_digest(folder: Folder) -> str:
    """A hash over all that the listing says of a folder and its parts."""
    state = hashlib.blake2b(digest_size=DIGITS // 2)
    for part in (folder, *folder.children):
        state.update(f"{part.path}\0\0".encode("utf-8", "surrogateescape"))
        for files in (part.files, part.others):
            state.update(_lines(files))
    return state.hexdigest()


def listing_digest(files: Iterable[FileInfo]) -> str:
    """A hash over some files of a listing."""
    return hashlib.blake2b(_lines(files), digest_size=DIGITS // 2).hexdigest()


def answer_digest(beside: Iterable[str], seal: str) -> str:
    """A hash over the hashes of what lies beside a folder, and the seal of its rows."""
    text = "\0".join((*beside, seal))
    return hashlib.blake2b(text.encode(), digest_size=DIGITS // 2).hexdigest()


def _lines(files: Iterable[FileInfo]) -> bytes:
    # A name may hold anything but a zero byte; one more of them ends the list.
    lines = [f"{f.path}\0{f.size_bytes}\0{f.mtime_ns}\0{f.error_code}\0" for f in files]
    return ("".join(lines) + "\0").encode("utf-8", "surrogateescape")
