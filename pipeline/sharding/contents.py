# SPDX-License-Identifier: Apache-2.0
"""What shards hold, as one hash: two trainings on the same patches have it in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline import storage
from pipeline.ledger import read_report
from pipeline.patches import patches_path
from pipeline.settings import hash_of
from pipeline.sharding.split_table import read_split, reading_shards

__all__ = ["contents_sha256"]

_SPLITS = ("train", "validation")
_READERS = 16
_BLOCK = 1 << 20


def contents_sha256(shards: Sequence[str]) -> str:
    """Hash of the patches to train and to validate with, wherever their folders lie.

    The report knows the hash of every file that ``bracketflow shard`` wrote; others are read.

    Args:
        shards: URIs of folders; their order does not matter.

    Raises:
        UsageError: ``shards-invalid``.
    """
    return hash_of(sorted(row for uri in shards for row in _files(uri)))


def _files(shards: str) -> Iterable[tuple[str, str]]:
    """Path and hash of every file that counts."""
    table = read_split(shards)
    paths = [
        patches_path(split, bracket)
        for bracket, split in zip(
            table["bracket_id"].to_pylist(), table["split"].to_pylist(), strict=True
        )
        if split in _SPLITS
    ]
    known = _reported(shards)
    with ThreadPoolExecutor(_READERS) as pool:
        hashes = pool.map(lambda path: known.get(path) or _sha256(shards, path), paths)
        return list(zip(paths, hashes, strict=True))


def _reported(shards: str) -> dict[str, str]:
    columns = ["status", "result_path", "result_sha256", "finished_at"]
    rows = read_report(shards, columns=columns, newest=False, missing_ok=True)
    return {  # oldest first: what was written to a place last is what stands there
        row["result_path"]: row["result_sha256"]
        for row in rows.sort_by("finished_at").to_pylist()
        if row["status"] == "fused" and row["result_path"] is not None
    }


def _sha256(shards: str, path: str) -> str:
    uri = storage.join(shards, *path.split("/"))
    found = hashlib.sha256()
    with reading_shards(uri), storage.open_read(uri) as handle:
        while block := handle.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
