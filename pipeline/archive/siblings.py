# SPDX-License-Identifier: Apache-2.0
"""Files of the folders beside a folder, never outside the source."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from pipeline.archive.layout import Folder
from pipeline.archive.shot import stem
from pipeline.archive.stamps import listing_digest
from pipeline.listing import FileInfo, list_folder
from pipeline.storage import is_local, join, local_path, names_in

__all__ = ["Siblings"]


class Siblings:
    """Looks beside a folder, and remembers the last few places it looked at.

    A layout may spread over neighbouring folders (SICE's ``Label``), which the walk reaches only
    later; asking for them keeps the walk free of state.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._names = lru_cache(maxsize=16)(self._list_names)
        self._files = lru_cache(maxsize=16)(self._list_files)
        self._by_stem = lru_cache(maxsize=16)(self._sort_by_stem)
        self._digest = lru_cache(maxsize=16)(lambda path: listing_digest(self._files(path)))

    def files(self, folder: Folder, relative: str) -> Sequence[FileInfo]:
        """The files directly in the folder at ``relative`` to the parent of ``folder``.

        The last part of ``relative`` is matched without regard to case; nothing is returned for
        places outside the source, and for the source itself, whose neighbours are not ours.
        """
        return _joined(self._files(path) for path in self._folders(folder.beside(relative)))

    def namesakes(self, folder: Folder, relative: str, name: str) -> Sequence[FileInfo]:
        """Those of :meth:`files` of that name, case and extension ignored."""
        wanted = name.casefold()
        return _joined(
            self._by_stem(path).get(wanted, ()) for path in self._folders(folder.beside(relative))
        )

    def digest(self, place: str) -> str:
        """A hash over the listing of what lies at a place that :meth:`Folder.beside` gave."""
        return "".join(self._digest(path) for path in self._folders(place))

    def _folders(self, place: str | None) -> Iterator[str]:
        """Paths of the folders of that name, relative to the source."""
        # Places may come from a catalog, which is not to lead anywhere else.
        if not place or "\0" in place or posixpath.normpath(place).startswith((".", "/")):
            return
        above, wanted = posixpath.split(posixpath.normpath(place))
        for name in self._names(above).get(wanted.casefold(), ()):
            yield posixpath.join(above, name)

    def _list_names(self, path: str) -> Mapping[str, Sequence[str]]:
        """Names in a folder, sorted, by what they are without regard to case."""
        found: dict[str, list[str]] = {}
        for name in names_in(join(self._source, path) if path else self._source):
            if not name.startswith("."):
                found.setdefault(name.casefold(), []).append(name)
        return found

    def _list_files(self, path: str) -> tuple[FileInfo, ...]:
        if not self._is_inside(path):
            return ()
        listed = list_folder(join(self._source, path))
        return tuple(replace(file, path=posixpath.join(path, file.path)) for file in listed)

    def _is_inside(self, path: str) -> bool:
        """Whether a folder is still below the source once links are followed."""
        if not is_local(self._source):
            return True
        source = os.path.realpath(local_path(self._source))
        real = os.path.realpath(local_path(join(self._source, path)))
        return real != source and os.path.commonpath([real, source]) == source

    def _sort_by_stem(self, path: str) -> Mapping[str, Sequence[FileInfo]]:
        """The files of a folder by name, case and extension ignored."""
        found: dict[str, list[FileInfo]] = {}
        for file in self._files(path):
            found.setdefault(stem(file.path).casefold(), []).append(file)
        return found


def _joined(parts: Iterable[Sequence[FileInfo]]) -> Sequence[FileInfo]:
    found = list(parts)
    return found[0] if len(found) == 1 else tuple(file for files in found for file in files)
