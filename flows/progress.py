# SPDX-License-Identifier: Apache-2.0
"""Progress of a run: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["DemoProgress", "FuseProgress", "ScanProgress"]

_LOG_EVERY_S = 30.0


def _console() -> Console:
    return Console(stderr=True)


class _Bar:
    """Shows a bar for the length of a ``with`` block."""

    _bar: Progress

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


class FuseProgress(_Bar):
    """Brackets done, megapixels per second, time left, failures.

    ``log`` gets a line now and then where there is no terminal: the flow run's logger.
    """

    def __init__(self, total: int, *, log: Callable[[str], None], what: str = "fusing") -> None:
        self._total = total
        self._log = log
        self._done = 0
        self._failed = 0
        self._megapixels = 0.0
        self._began = self._logged = time.monotonic()
        console = _console()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("brackets"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("fuse", total=total, rate="", failed="")

    def advance(self, *, megapixels: float = 0.0, failed: bool = False) -> None:
        """One bracket is done; ``megapixels`` counts all its frames."""
        self._done += 1
        self._failed += failed
        self._megapixels += megapixels
        now = time.monotonic()
        rate = f"{self._megapixels / max(now - self._began, 1e-3):.1f} MP/s"
        failures = f"[red]{self._failed} failed[/red]" if self._failed else ""
        self._bar.update(self._task, advance=1, rate=rate, failed=failures)
        if self._bar.disable and now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            self._log(f"{self._done} of {self._total} brackets, {rate}, {self._failed} failed")


class _Counter(_Bar):
    """A transient line that counts; shown on a terminal only."""

    def __init__(self, what: str, unit: str, total: int | None = None) -> None:
        console = _console()
        count = f"{{task.completed:,.0f}} {unit}"
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn(what),
            *([BarColumn()] if total else []),
            TextColumn(count),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total)

    def __call__(self, more: int = 1) -> None:
        """``more`` were done."""
        self._bar.update(self._task, advance=more)


class ScanProgress(_Counter):
    """Files looked at while an archive is scanned."""

    def __init__(self) -> None:
        super().__init__("scanning", "files")


class DemoProgress(_Counter):
    """Brackets rendered for the demo."""

    def __init__(self, total: int) -> None:
        super().__init__("rendering", "brackets", total)
