# SPDX-License-Identifier: Apache-2.0
"""The decisions over a whole catalog: most brackets of an old archive need no look at all.

Whatever stands is recognised in columns of numbers, a batch of rows at a time, and counted; only
the rest becomes brackets and goes through the rules of ``pipeline.deciding``. Both say the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import storage
from pipeline.archive.catalog_columns import CatalogBatch, catalog_batches
from pipeline.contents import file_sha256
from pipeline.deciding import Doubt, Planner
from pipeline.planning import AGAIN_CODES, FuseJob, Settled
from pipeline.settings import KeyMaker
from pipeline.standing import FATES, STATUSES

__all__ = ["chunks", "decisions"]

_MAX_QUIET = 200_000  # brackets that need nothing between two signs of life
_THREADS = 16  # questions to remote storage at a time, and files compared

Mask = NDArray[np.bool_]
_FUSED, _SKIPPED, _QUARANTINED = (
    STATUSES.index(name) for name in ("fused", "skipped", "quarantined")
)


def decisions(catalog: str, planner: Planner) -> Iterator[FuseJob | Settled | Doubt]:
    """What is to be done about every bracket of a catalog.

    Brackets that need nothing, not even a row, come counted together.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="exists") as pool:
        for batch in catalog_batches(catalog):
            quiet, left = _quiet(batch, planner, pool)
            for status, count in sorted(quiet.items()):
                yield Settled(status=status, count=count)
            for number in np.flatnonzero(left).tolist():
                yield planner.decide(batch.bracket(number))


def chunks(
    decided: Iterable[FuseJob | Settled | Doubt], size: int, same_as: dict[bytes, bytes]
) -> Iterator[tuple[FuseJob | Settled, ...]]:
    """Decisions in portions of up to ``size``, doubts resolved.

    Args:
        decided: see :func:`decisions`.
        size: most jobs and rows of one portion.
        same_as: is told what keys turned out to mean the same as a standing result's.
    """
    quiet: Counter[Any] = Counter()
    portion: list[FuseJob | Settled | Doubt] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="compare") as pool:

        def cut() -> tuple[FuseJob | Settled, ...]:
            settled = [Settled(status=status, count=count) for status, count in quiet.items()]
            done = (*settled, *_resolved(portion, same_as, pool))
            quiet.clear()
            portion.clear()
            return done

        for decision in decided:
            if isinstance(decision, Settled) and decision.row is None:
                quiet[decision.status] += decision.count
            else:
                portion.append(decision)
            if len(portion) >= size or quiet.total() >= _MAX_QUIET:
                yield cut()
        if portion or quiet:
            yield cut()


def _quiet(batch: CatalogBatch, planner: Planner, pool: Executor) -> tuple[Counter[Any], Mask]:
    """How many brackets of a batch need nothing, by status, and which have to be looked at."""
    standing, work, rows = planner.standing, planner.work, planner.standing.rows
    place = standing.places(batch.ids)
    known = (place >= 0) & batch.plain
    if not known.any():
        return Counter(), np.ones(len(batch), np.bool_)
    at = np.maximum(place, 0)
    digests = np.zeros(len(batch), "S16")
    for which, keys in _keys(batch, planner):
        digests[known & which] = batch.digests(keys, known & which)
    known &= rows.fate[at] == FATES.index(None)
    same = known & (rows.digests[at] == digests)
    single = batch.single & same & (rows.status[at] == _SKIPPED)
    known &= batch.real | (batch.single & (planner.singles is not None))
    known &= rows.digests[at] == standing.aliases.resolved(digests)
    failed = known & (rows.status[at] == _QUARANTINED)
    again = [code in AGAIN_CODES for code in standing.codes]
    failed &= ~np.array(again, np.bool_)[rows.code[at]]
    reused = known & (rows.status[at] == _FUSED) & rows.stands[at]
    if work.force or work.retry_quarantined:
        failed[:] = False
    if work.force:
        reused[:] = False
    for column in (standing.result_paths, standing.display_paths):
        paths = column.take(pa.array(at[reused])).to_pylist()
        reused[reused] = _exist(planner.destination, paths, pool)
    masks = {"reused": reused, "skipped": single, "quarantined": failed}
    found = Counter({status: int(mask.sum()) for status, mask in masks.items()})
    return +found, ~(reused | single | failed)


def _keys(batch: CatalogBatch, planner: Planner) -> list[tuple[Mask, KeyMaker]]:
    """Which rows of a batch have keys of which maker."""
    if planner.singles is None:
        return [(np.ones(len(batch), np.bool_), planner.keys)]
    return [(~batch.single, planner.keys), (batch.single, planner.singles.keys)]


def _exist(destination: str, paths: Sequence[str | None], pool: Executor) -> list[bool]:
    """Which of the files are there; what there is none of lacks nothing."""
    if storage.is_local(destination):
        root = os.fspath(storage.local_path(destination))
        return [path is None or _stands(f"{root}/{path}") for path in paths]

    def exists(path: str | None) -> bool:
        return path is None or storage.exists(storage.join(destination, *path.split("/")))

    return list(pool.map(exists, paths))


def _stands(path: str) -> bool:
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True


def _resolved(
    portion: Iterable[FuseJob | Settled | Doubt], same_as: dict[bytes, bytes], pool: Executor
) -> Iterator[FuseJob | Settled]:
    """Compare the contents of what is in doubt."""
    for decision in portion:
        if not isinstance(decision, Doubt):
            yield decision
        elif tuple(pool.map(file_sha256, decision.uris())) == decision.sha256s:
            same_as[decision.digest] = decision.stands_for
            yield decision.reused
        else:
            yield decision.job
