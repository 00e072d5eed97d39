# SPDX-License-Identifier: Apache-2.0
"""Where results go: the source tree mirrored below ``results/``, one name for each bracket.

Names depend on the catalog alone, never on the order of workers. Where a template gives two
brackets of one folder the same name, all of them get ``_<id>`` appended.
"""

from __future__ import annotations

import hashlib
import posixpath
import string
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pipeline.bracket import Bracket
from pipeline.errors import UsageError

__all__ = ["FIELDS", "Named", "Names", "PreviewPaths", "check_template", "preview_paths"]

FIELDS: dict[str, str] = {
    "stem": "file name of the first frame, without extension",
    "folder": "name of the folder the bracket lies in",
    "id": "first 8 digits of the bracket's id",
    "count": "number of frames",
    "layout": "the layout that found the bracket",
    "model": "name of the model",
}
"""What a name template may speak of."""

_MAX_BYTES = 200  # a name may have 255 bytes on common file systems; room for id and extension


def check_template(template: str) -> None:
    """Refuse a template that names no known field or leaves its folder.

    Raises:
        UsageError: ``option-invalid``, with the fields there are.
    """
    known = ", ".join("{" + name + "}" for name in FIELDS)
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        template.format(**dict.fromkeys(FIELDS, "x"))
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise UsageError(
            "option-invalid", f"--name {template!r} cannot be used ({error}); fields are {known}."
        ) from error
    if not names or "/" in template or "\\" in template or "\0" in template:
        raise UsageError(
            "option-invalid",
            f"--name {template!r} must use at least one of {known} and no folder separator.",
        )
    if any(name not in FIELDS for name in names):
        raise UsageError("option-invalid", f"--name {template!r}: fields are {known}.")


class PreviewPaths(NamedTuple):
    """Where a bracket's small pictures for the report go, below the destination; the fields are
    named like the report's columns that speak of them."""

    preview: str
    map: str
    strip: str
    weights: str


def preview_paths(bracket_id: str) -> PreviewPaths:
    """The places of a bracket's small pictures."""
    stem = f"previews/{bracket_id[:2]}/{bracket_id}"
    return PreviewPaths(
        f"{stem}.jpg", f"{stem}_map.png", f"{stem}_frames.jpg", f"{stem}_weights.jpg"
    )


class Named(NamedTuple):
    """What a bracket's name is made of."""

    first: str
    """Path of its first frame in alphabetical order."""
    id: str
    frames: int
    layout: str

    @classmethod
    def of(cls, bracket: Bracket) -> Named:
        first = min(frame.path for frame in bracket.frames)
        return cls(first, bracket.id, len(bracket.frames), bracket.layout)


class Names:
    """The result names of all brackets of a catalog.

    Built in one pass over them; keeps a number of 64 bits for each that shares its name with
    another one, and no more. The template must be one that :func:`check_template` takes.
    """

    def __init__(self, brackets: Iterable[Bracket | Named], *, template: str, model: str) -> None:
        self._template = template
        self._model = model
        names = (one if isinstance(one, Named) else Named.of(one) for one in brackets)
        numbers, times = np.unique(
            np.fromiter(map(self._number, names), np.uint64), return_counts=True
        )
        self._shared = numbers[times > 1]

    def path(self, bracket: Bracket, extension: str) -> str:
        """Relative path of the bracket's result, ``/``-separated: folder of the frames and name."""
        named = Named.of(bracket)
        plain = self._plain(named)
        if np.isin(np.uint64(self._number(named)), self._shared):
            plain = f"{plain}_{bracket.id[:8]}"
        return f"{plain}.{extension}"

    def _plain(self, named: Named) -> str:
        folder, file = posixpath.split(named.first)
        name = self._template.format(
            stem=posixpath.splitext(file)[0],
            folder=posixpath.basename(folder) or "archive",
            id=named.id[:8],
            count=named.frames,
            layout=named.layout,
            model=self._model,
        )
        return posixpath.join(_safe_folder(folder), _safe_name(name, named.id))

    def _number(self, named: Named) -> int:
        # Case and Unicode form folded: some file systems make no difference.
        text = unicodedata.normalize("NFC", self._plain(named)).casefold()
        data = text.encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _safe_folder(folder: str) -> str:
    """The folder without anything that would climb out of the destination."""
    parts = [part for part in folder.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def _safe_name(name: str, bracket_id: str) -> str:
    """The name without control characters or separators, cut to what file systems take."""
    clean = "".join("_" if c in "/\\\0" or unicodedata.category(c) == "Cc" else c for c in name)
    clean = clean.strip().lstrip(".") or bracket_id[:8]
    encoded = clean.encode("utf-8", "surrogateescape")
    if len(encoded) <= _MAX_BYTES:
        return clean
    return encoded[:_MAX_BYTES].decode("utf-8", "ignore") + f"_{bracket_id[:8]}"
