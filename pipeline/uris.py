# SPDX-License-Identifier: Apache-2.0
"""The three forms of a URI, and how local paths become one.

A *URI* in bracketflow is either a plain absolute local path (``/photos/a.jpg``), a ``file://``
URI, or ``scheme://...`` of an fsspec file system. Local paths whose bytes are not valid UTF-8
cannot stand in a Parquet string, so :func:`to_uri` writes those, and only those, as
percent-encoded ``file://`` URIs. Everything here understands all three forms.
"""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

__all__ = [
    "absolute",
    "is_local",
    "is_temporary",
    "join",
    "local_path",
    "printable",
    "temporary_name",
    "to_uri",
]

_TEMPORARY = re.compile(r"\.bracketflow-[0-9a-f]{32}\.tmp")


def to_uri(path: str | os.PathLike[str]) -> str:
    """The URI of a local path: the absolute path itself, or ``file://`` where it is not UTF-8."""
    absolute = os.path.abspath(os.fspath(path))
    try:
        absolute.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(absolute), safe="/")
    return absolute


def absolute(uri: str) -> str:
    """A path as the user typed it (``~``, relative) or a URI, as a URI."""
    return uri if "://" in uri else to_uri(Path(uri).expanduser())


def is_local(uri: str) -> bool:
    """Whether the URI names a file of this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The local path behind a local URI."""
    if uri.startswith("file://"):
        return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))
    return Path(uri)


def join(uri: str, *parts: str) -> str:
    """Append relative ``/``-separated parts to a URI."""
    if uri.startswith("file://"):
        return to_uri(local_path(uri).joinpath(*parts))
    return posixpath.join(uri, *parts)


def printable(path: str) -> str:
    """A relative local path as Parquet-safe text: bytes that are not UTF-8 become ``%XX``."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return quote_from_bytes(os.fsencode(path), safe="/ ")
    return path


def temporary_name() -> str:
    """A name for a file on its way, beside the place where it will stand.

    A short one of its own: a long name plus a suffix could pass the 255-byte limit.
    """
    return f".bracketflow-{uuid.uuid4().hex}.tmp"


def is_temporary(name: str) -> bool:
    """Whether it is a name of :func:`temporary_name`: whoever made it may have been killed."""
    return _TEMPORARY.fullmatch(name) is not None
