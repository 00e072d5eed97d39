# SPDX-License-Identifier: Apache-2.0
"""Stamps: how the next scan knows that nothing changed in a folder.

A stamp is a hash over the listing of a folder: paths, sizes and times of all files in it. Layouts
may look beside the folder too (SICE's ``Label``); then the stamp names those places, and holds a
hash over what lay there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.archive.brightness import Thumbnail
from pipeline.archive.layout import Folder, Tools
from pipeline.archive.shot import HeaderFacts
from pipeline.listing import FileInfo

__all__ = ["DIGITS", "Stamp", "Witness", "beside_digest", "folder_digest", "listing_digest"]

DIGITS = 32
"""Hexadecimal digits of one hash."""


@dataclass(frozen=True)
class Stamp:
    """What a folder looked like when it was scanned.

    ``listing`` is the hash of the folder's own listing, followed by one of what lay ``beside`` it
    where layouts asked for that.
    """

    listing: str
    beside: tuple[str, ...] = ()


class Witness:
    """Stands between the layouts and the files of one folder, and sees what they look at."""

    def __init__(self, tools: Tools) -> None:
        self._given = tools
        self._asked: set[str] = set()
        self._trouble = False
        self.tools = replace(
            tools,
            read_header=self._read_header,
            thumbnail=self._thumbnail,
            siblings=self._siblings,
        )

    def stamp(
        self, folder: Folder, *, settled_ns: int, digest: Callable[[Folder, str], str]
    ) -> Stamp | None:
        """The stamp of a folder, None where the next scan has to look again whatever it lists.

        That is so where a file could not be read: permissions change without a trace. And where
        a file changed so late that it might change once more and keep its time.

        Args:
            folder: what was looked at.
            settled_ns: files that changed since then may change again unnoticed.
            digest: see :meth:`pipeline.archive.siblings.Siblings.digest`.
        """
        files = list(folder.everything())
        late = any(file.mtime_ns is None or file.mtime_ns > settled_ns for file in files)
        if self._trouble or late or any(file.error_code is not None for file in files):
            return None
        beside = tuple(sorted(self._asked))
        answers = beside_digest(folder, beside, digest) if beside else ""
        return Stamp(folder_digest(folder) + answers, beside)

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

    def _siblings(self, folder: Folder, relative: str) -> Sequence[FileInfo]:
        self._asked.add(relative)
        return self._given.siblings(folder, relative)


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


def beside_digest(
    folder: Folder, beside: Iterable[str], digest: Callable[[Folder, str], str]
) -> str:
    """A hash over what lies at some places beside a folder."""
    text = "\0".join(digest(folder, relative) for relative in beside)
    return hashlib.blake2b(text.encode(), digest_size=DIGITS // 2).hexdigest()


def _lines(files: Iterable[FileInfo]) -> bytes:
    # A name may hold anything but a zero byte; one more of them ends the list.
    lines = [f"{f.path}\0{f.size_bytes}\0{f.mtime_ns}\0{f.error_code}\0" for f in files]
    return ("".join(lines) + "\0").encode("utf-8", "surrogateescape")
