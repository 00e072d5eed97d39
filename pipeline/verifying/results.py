# SPDX-License-Identifier: Apache-2.0
"""One row against its file: is it there, is it what was written, is it an image?

A file with other bytes than the row says is either damaged or somebody's edit, and an edit must
never be touched. Storage that loses bits keeps a file's size, an editor does not: other bytes of
the same size, or bytes that no decoder takes, are damage; a whole picture of another size is an
edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.contents import fingerprint
from pipeline.errors import PhotoError
from pipeline.images.reading import read_header, read_photo, read_radiance
from pipeline.naming import preview_paths
from pipeline.plain_parquet import open_plain
from pipeline.verifying.findings import Finding
from pipeline.verifying.tree import Tree, is_inside

__all__ = ["COLUMNS", "check_row", "small_pictures", "written_files"]

COLUMNS = (
    "bracket_id",
    "status",
    "result_path",
    "result_sha256",
    "result_bytes",
    "result_format",
    "display_path",
    "display_sha256",
    "display_bytes",
    "display_format",
    "preview_uri",
    "map_uri",
    "strip_uri",
    "weights_uri",
)
"""What of a row has to be known to check it."""

_FILES = ("result", "display")
_GONE = ("file-missing", "file-link")


def small_pictures(row: Mapping[str, Any]) -> list[str]:
    """Where a row's small pictures are, relative to the destination, which may have been moved."""
    places = preview_paths(row["bracket_id"])._asdict()
    return [path for name, path in places.items() if row[f"{name}_uri"] is not None]


def written_files(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of what a row says that it wrote as results: the result, and the picture
    beside a radiance."""
    for name in _FILES:
        if row[f"{name}_path"] is not None:
            yield row[f"{name}_path"], row[f"{name}_sha256"]


def check_row(
    tree: Tree,
    row: Mapping[str, Any],
    *,
    intents: Mapping[str, Set[str]],
    deep: bool,
    repair: bool,
) -> list[Finding]:
    """What is wrong with one fused row's files.

    Args:
        tree: the destination.
        row: the columns :data:`COLUMNS` of a row with a ``result_path``.
        intents: hashes that writers who died had announced, by path.
        deep: decode the whole picture, not just its header.
        repair: set a damaged result aside, so that the next run makes it again.

    Raises:
        InfrastructureError: ``storage-failed``.
    """
    findings = [
        finding
        for name in _FILES
        if row[f"{name}_path"] is not None
        for finding in _result(tree, row, name, intents, deep, repair)
    ]
    return [*findings, *_previews(tree, row)]


def _result(
    tree: Tree,
    row: Mapping[str, Any],
    name: str,
    intents: Mapping[str, Set[str]],
    deep: bool,
    repair: bool,
) -> Iterator[Finding]:
    path = str(row[f"{name}_path"])

    def found(code: str, message: str, **more: Any) -> Finding:
        return Finding(code=code, path=path, bracket_id=row["bracket_id"], message=message, **more)

    if not is_inside(path):
        yield found("result-outside", f"A row names {path!r}, which is no place for a result.")
        return
    uri = tree.uri(path)
    try:
        size, sha256 = fingerprint(uri)
    except PhotoError as error:
        if error.code in _GONE:
            yield found("result-missing", f"{uri} is gone; the next `fuse` makes it again.")
        else:
            yield found("result-unreadable", error.message)
        return
    same = sha256 == row[f"{name}_sha256"]
    why = _why_undecodable(uri, row[f"{name}_format"], deep or not same)
    if same:
        if why is not None:
            yield found("result-undecodable", f"{why} These bytes were written so.")
    elif sha256 in intents.get(path, ()):
        yield found("leftover-result", f"{uri} is newer than its row; the next `fuse` mends it.")
    elif why is None and size != row[f"{name}_bytes"]:
        yield found(
            "result-changed",
            f"{uri} was changed after it was written, and is left alone; the report speaks of "
            "the old bytes. Move it away and run `fuse` again to have ours back.",
        )
    else:
        reason = why or f"{uri} has other bytes than were written."
        if repair:
            aside = tree.set_aside(path)
            yield found(
                "result-damaged",
                f"{reason} It is at {aside} now; the next `fuse` makes it again.",
                done="set aside",
            )
        else:
            yield found("result-damaged", f"{reason} --repair sets it aside, to be made again.")


def _why_undecodable(uri: str, container: str | None, deep: bool) -> str | None:
    """What a decoder says against a file, None if it takes it."""
    try:
        if container is None:  # patches have none
            _decode_patches(uri, deep)
        elif not deep:
            read_header(uri)
        elif container == "exr":
            read_radiance(uri)
        else:
            read_photo(uri)
    except PhotoError as error:
        return error.message
    return None


def _decode_patches(uri: str, deep: bool) -> None:
    try:
        with storage.open_read(uri) as handle:
            file = open_plain(handle, page_checksum_verification=True)
            for group in range(file.num_row_groups if deep else 0):
                file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise storage.read_error(uri, error) from error
        raise PhotoError("decode-failed", f"{uri} cannot be read ({error}).") from error


def _previews(tree: Tree, row: Mapping[str, Any]) -> Iterator[Finding]:
    for path in small_pictures(row):
        if not storage.is_file(tree.uri(path)):
            yield Finding(
                code="preview-missing",
                path=path,
                bracket_id=row["bracket_id"],
                message=f"{tree.uri(path)} is gone; `fuse --force` makes it again.",
            )
