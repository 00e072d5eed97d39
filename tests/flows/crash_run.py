# SPDX-License-Identifier: Apache-2.0
"""The fusing flow in a process of its own that may be killed: its very body, the work done here.

Without a server and without Ray such a run takes a second. The kills of the real thing, with all
its processes, are in tests/chaos.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest import mock

from flows import fuse as flow
from pipeline.fault_points import VARIABLE
from pipeline.ledger import Ledger
from pipeline.settings import FuseSettings

__all__ = ["fuse_apart"]

_SETTINGS = FuseSettings(model="mertens", align="off", format="png")
_STEPS = ("catalog_step", "plan_step", "fuse_step", "retire_step", "publish_step")


class _Alone:
    """A fleet of one, without Ray."""

    size = 1

    def __init__(self, recipe, ledger) -> None:
        self._visitor = recipe.build(device="cpu", worker="worker000", intend=ledger.intend)
        self._ledger = ledger

    def run(self, jobs: Iterable) -> Iterator:
        for job in jobs:
            row = self._visitor.visit(job)
            self._ledger.append(row)
            yield row


@contextmanager
def _open_alone(recipe, options) -> Iterator[_Alone]:
    with Ledger(recipe.destination, recipe.run_id, "worker000") as ledger:
        yield _Alone(recipe, ledger)


def _fuse(source: str, destination: str, fault: str | None, settings: FuseSettings) -> None:
    if fault is not None:
        os.environ[VARIABLE] = fault
    parts = {name: getattr(flow, name).fn for name in _STEPS} | {
        "open_fleet": _open_alone,
        "get_run_logger": logging.getLogger,
        "show_outcome": mock.Mock(),
        "DoneArtifact": mock.MagicMock(),
    }
    with mock.patch.multiple(flow, **parts):
        flow.fuse_archive.fn(source, destination, settings, page=False)


def fuse_apart(
    source: str,
    destination: str,
    fault: str | None = None,
    settings: FuseSettings = _SETTINGS,
) -> int | None:
    """Fuse in a process of its own.

    Returns:
        Its exit status; negative if a signal ended it.
    """
    # Forked from a process that has imported everything: an import takes longer than the run.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_fuse, args=(source, destination, fault, settings))
    process.start()
    process.join(60)
    return process.exitcode
