# SPDX-License-Identifier: Apache-2.0
"""Files of the folders beside a folder, never outside the source."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from pipeline.archive.layout import Folder
from pipeline.archive.stamps import listing_digest
from pipeline.listing import FileInfo, list_folder
from pipeline.storage import join, names_in

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
        self._digest = lru_cache(maxsize=16)(lambda path: listing_digest(self._files(path)))

    def files(self, folder: Folder, relative: str) -> Sequence[FileInfo]:
        """The files directly in the folder at ``relative`` to the parent of ``folder``.

        The last part of ``relative`` is matched without regard to case; nothing is returned for
        places outside the source, and for the source itself, whose neighbours are not ours.
        """
        found = [self._files(path) for path in self._places(folder, relative)]
        return found[0] if len(found) == 1 else tuple(file for files in found for file in files)

    def digest(self, folder: Folder, relative: str) -> str:
        """A hash over the listing of what :meth:`files` returns."""
        return "".join(self._digest(path) for path in self._places(folder, relative))

    def _places(self, folder: Folder, relative: str) -> Iterator[str]:
        """Paths of the folders of that name, relative to the source."""
        if not folder.path:
            return
        target = posixpath.normpath(posixpath.join(posixpath.dirname(folder.path), relative))
        if target.startswith((".", "/")):
            return
        above, wanted = posixpath.split(target)
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
        listed = list_folder(join(self._source, path))
        return tuple(replace(file, path=posixpath.join(path, file.path)) for file in listed)
