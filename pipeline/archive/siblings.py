# SPDX-License-Identifier: Apache-2.0
"""Files of the folders beside a folder, never outside the source."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from pipeline.archive.layout import Folder
from pipeline.errors import UsageError
from pipeline.listing import FileInfo, list_files
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

    def files(self, folder: Folder, relative: str) -> Sequence[FileInfo]:
        """The files directly in the folder at ``relative`` to the parent of ``folder``.

        The last part of ``relative`` is matched without regard to case; nothing is returned for
        places outside the source, and for the source itself, whose neighbours are not ours.
        """
        if not folder.path:
            return ()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(folder.path), relative))
        if target.startswith((".", "/")):
            return ()
        above, wanted = posixpath.split(target)
        found: list[FileInfo] = []
        for name in self._names(above):
            if name.casefold() == wanted.casefold():
                found += self._files(posixpath.join(above, name))
        return tuple(found)

    def _list_names(self, path: str) -> tuple[str, ...]:
        names = names_in(join(self._source, path) if path else self._source)
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def _list_files(self, path: str) -> tuple[FileInfo, ...]:
        try:
            listed = list(list_files(join(self._source, path)))
        except UsageError:  # a file, not a folder
            return ()
        return tuple(
            replace(file, path=posixpath.join(path, file.path))
            for file in listed
            if "/" not in file.path
        )
