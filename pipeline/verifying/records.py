# SPDX-License-Identifier: Apache-2.0
"""The report's own files: segments that cannot be read, and what runs that died left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from pipeline import storage
from pipeline.errors import PhotoError
from pipeline.plain_parquet import open_plain, refuse_extensions
from pipeline.segments import MANIFEST, REPORT, WRITING
from pipeline.verifying.findings import Finding
from pipeline.verifying.tree import Entry, Tree

__all__ = ["Records", "check_records"]


@dataclass
class Records:
    """What the report's folder holds besides rows."""

    intents: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path of a writer's record -> the results it had announced -> their hashes."""
    damaged: int = 0
    """Files that still stand in the way of reading the report."""


def check_records(tree: Tree, *, repair: bool, found: Callable[[Finding], None]) -> Records:
    """Read every file of the report once.

    Args:
        tree: the destination.
        repair: set what is damaged aside, so that the rest can be read.
        found: told of every finding.

    Raises:
        InfrastructureError: ``storage-failed``.
    """
    records = Records()
    ended: dict[str, bool] = {}
    for entry in tree.walk(REPORT):
        run = entry.path.rsplit("/", 1)[0]
        if run != REPORT:
            ended[run] = ended.get(run, False) or entry.name == MANIFEST
        code = "record-unreadable"
        try:
            if entry.is_temporary:
                continue
            if entry.name.endswith(".parquet"):
                code = "segment-unreadable"
                _read_segment(tree, entry)
            elif entry.name.endswith(".arrow"):
                _read_aliases(tree, entry)
            elif entry.name.startswith("_") and entry.name.endswith(".json"):
                content = _read_record(tree, entry)
                if entry.name.startswith(WRITING):
                    records.intents[entry.path] = content
        except PhotoError as error:
            if error.code != "file-missing":  # a run at work may have tidied it away meanwhile
                records.damaged += not repair
                found(_damaged(tree, entry, code, error.message, repair))
    for run in sorted(run for run, done in ended.items() if not done):
        message = "The run has no manifest: it was stopped, or is still at work."
        found(Finding(code="run-unfinished", path=run, message=message))
    return records


def _read_record(tree: Tree, entry: Entry) -> dict[str, Any]:
    """The content of one of the report's JSON files.

    Raises:
        PhotoError: it is gone, or damaged.
    """
    with storage.open_read(tree.uri(entry.path)) as handle:
        try:
            content = json.loads(handle.read())
        except (ValueError, RecursionError) as error:
            raise _unreadable(tree, entry, error) from error
    writing = entry.name.startswith(WRITING)
    if not isinstance(content, dict) or (
        writing and not all(isinstance(value, str) for value in content.values())
    ):
        raise _unreadable(tree, entry, "it holds something else")
    return content


def _read_aliases(tree: Tree, entry: Entry) -> None:
    """Read a file of aliases, and forget it.

    Raises:
        PhotoError: it is gone, or damaged.
    """
    with storage.open_read(tree.uri(entry.path)) as handle:
        data = handle.read()
    try:
        refuse_extensions(pa.ipc.open_file(data).read_all().schema)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(tree, entry, error) from error


def _read_segment(tree: Tree, entry: Entry) -> None:
    """Read all rows of a segment, and forget them.

    Raises:
        PhotoError: it is gone, or damaged.
        InfrastructureError: ``storage-failed``.
    """
    uri = tree.uri(entry.path)
    with storage.open_read(uri) as handle:
        try:
            file = open_plain(handle)
            if "bracket_id" not in file.schema_arrow.names:
                raise _unreadable(tree, entry, "it holds no rows of a report")
            for _ in file.iter_batches():
                pass
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise storage.read_error(uri, error) from error
            raise _unreadable(tree, entry, error) from error


def _unreadable(tree: Tree, entry: Entry, why: object) -> PhotoError:
    text = " ".join(str(why).split())[:200]
    return PhotoError("decode-failed", f"{tree.uri(entry.path)} cannot be read ({text}).")


def _damaged(tree: Tree, entry: Entry, code: str, message: str, repair: bool) -> Finding:
    if not repair:
        return Finding(code=code, path=entry.path, message=f"{message} --repair sets it aside.")
    aside = tree.set_aside(entry.path)
    return Finding(
        code=code,
        path=entry.path,
        message=f"{message} It is at {aside} now, and the next `fuse` makes up for it.",
        done="set aside",
    )
