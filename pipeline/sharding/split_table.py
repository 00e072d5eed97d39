# SPDX-License-Identifier: Apache-2.0
"""``split.parquet``: which bracket's patches are for what. Written last, it completes the shards.

A file of patches that it does not name is left over from a run with other settings.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import PhotoError, UsageError
from pipeline.fault_points import fault_point

__all__ = [
    "SPLIT_SCHEMA",
    "check_one_split",
    "read_split",
    "reading_shards",
    "withdraw_split",
    "write_split",
]

_NAME = "split.parquet"

SPLIT_SCHEMA = pa.schema(
    [
        pa.field(name, pa.string(), nullable=null, metadata={"description": about})
        for name, null, about in (
            ("scene", False, "the view"),
            ("bracket_id", False, "a bracket of it"),
            ("split", True, "train, validation or test; null: there are no patches"),
            ("reason", False, "why it is there, or nowhere"),
        )
    ],
    metadata={"bracketflow.split": "1"},
)
"""Columns of the table; the fields' metadata hold descriptions."""


def write_split(shards: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write the table; the same rows in any order give the same bytes.

    Args:
        shards: folder or URI.
        rows: of :data:`SPLIT_SCHEMA`.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    ordered = sorted(rows, key=lambda row: (row["scene"], row["bracket_id"]))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ordered, schema=SPLIT_SCHEMA), buffer, compression="zstd")
    fault_point("shard.split.before")
    storage.write_atomic(storage.join(shards, _NAME), buffer.getbuffer())
    fault_point("shard.split.after")


def withdraw_split(shards: str) -> None:
    """Make the shards incomplete, before their files change."""
    storage.delete(storage.join(shards, _NAME))


def read_split(shards: str) -> pa.Table:
    """The table, as :data:`SPLIT_SCHEMA`.

    Raises:
        UsageError: ``shards-invalid``.
    """
    uri = storage.join(shards, _NAME)
    with reading_shards(uri), storage.open_read(uri) as handle:
        return pq.read_table(handle).select(SPLIT_SCHEMA.names).cast(SPLIT_SCHEMA)


def check_one_split(folders: Sequence[str]) -> None:
    """Make sure that what one folder validates with, another does not train on.

    Scenes are known by their names and brackets by their ids, both relative to their sources:
    folders of two archives may share a name by chance, which is refused as well.

    Raises:
        UsageError: ``shards-invalid``, a scene or bracket has several splits.
    """
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for folder in folders:
        for row in read_split(folder).to_pylist():
            if row["split"] is None:
                continue
            for column in ("scene", "bracket_id"):
                what = column.removesuffix("_id")
                split, where = known.setdefault((what, row[column]), (row["split"], folder))
                if split != row["split"]:
                    raise UsageError(
                        "shards-invalid",
                        f"The {what} {row[column]} is for {split} in {where}, but for "
                        f"{row['split']} in {folder}: what is validated with would be trained on. "
                        "Shard the archives together (the folder above, or a list of their "
                        "brackets), or shard one of them with --without the other.",
                    )


@contextmanager
def reading_shards(uri: str) -> Iterator[None]:
    """Say with its name whatever is wrong with a file of shards.

    Raises:
        UsageError: ``shards-invalid``.
    """
    try:
        yield
    except PhotoError as error:
        raise UsageError(
            "shards-invalid",
            f"{uri} of the shards is missing or cannot be read ({error.code}); run "
            "`bracketflow shard` again with the same settings, which makes up for it.",
        ) from error
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(
            "shards-invalid",
            f"{uri} of the shards is damaged ({why}); delete it and run `bracketflow shard` "
            "again with the same settings.",
        ) from error
