# SPDX-License-Identifier: Apache-2.0
"""Progress of a run: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from prefect import get_run_logger
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flows.terminal import Terminal
from pipeline.report.schema import Row

__all__ = [
    "CompareProgress",
    "DemoProgress",
    "FuseProgress",
    "RenderProgress",
    "ScanProgress",
    "TrainProgress",
    "VerifyProgress",
    "run_log",
]

_LOG_EVERY_S = 30.0


def _console() -> Terminal:
    return Terminal(stderr=True)


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

    def advance(self, *, count: int = 1, megapixels: float = 0.0, failed: bool = False) -> None:
        """Brackets are done, one as a rule; ``megapixels`` counts all frames."""
        self._done += count
        self._failed += failed
        self._megapixels += megapixels
        now = time.monotonic()
        rate = f"{self._megapixels / max(now - self._began, 1e-3):.1f} MP/s"
        failures = f"[red]{self._failed} failed[/red]" if self._failed else ""
        self._bar.update(self._task, advance=count, rate=rate, failed=failures)
        if self._bar.disable and now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            self._log(f"{self._done} of {self._total} brackets, {rate}, {self._failed} failed")

    def add(self, row: Row | None, count: int = 1) -> None:
        """One bracket is done, as its row says; None for ``count`` that needed no row."""
        if row is None or row["status"] == "skipped":
            self.advance(count=count)
            return
        pixels = (row["source_width"] or 0) * (row["source_height"] or 0)
        self.advance(
            megapixels=pixels * row["frame_count"] / 1e6, failed=row["status"] == "quarantined"
        )


class TrainProgress(_Bar):
    """Steps done, loss, learning rate, steps per second, time left; a line for each validation.

    ``log`` gets that line, and one now and then in between, where there is no terminal.
    """

    def __init__(self, total: int, *, headline: str, log: Callable[[str], None]) -> None:
        self._total = total
        self._headline = headline
        self._log = log
        self._first: tuple[int, float] | None = None  # a resumed run does not begin at step 0
        self._logged = time.monotonic()
        console = _console()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("training"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            speed_estimate_period=300,  # validations come in between
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, now="starting")

    def step(self, step: int, *, loss: float, lr: float) -> None:
        """``step`` steps are done."""
        now = time.monotonic()
        self._first = self._first or (step, now)
        first, began = self._first
        rate = (step - first) / max(now - began, 1e-3)
        line = f"loss {loss:.4f} lr {lr:.1e}" + (f" {rate:.2f}/s" if rate else "")
        self._bar.update(self._task, completed=step, now=line)
        if self._bar.disable and now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            left = f", {(self._total - step) / rate / 60:.1f} min left" if rate else ""
            self._log(f"step {step} of {self._total}: {line}{left}")

    def validated(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of a validation after ``step`` steps; means over its patches."""
        against = figures.get(f"{self._headline}_mertens")
        line = (
            f"step {step} of {self._total}: validation {self._headline} "
            f"{figures[self._headline]:.4f}"
            + ("" if against is None else f" (Mertens {against:.4f})")
        )
        if self._bar.disable:
            self._log(line)
        else:
            self._bar.console.print(line, highlight=False)


class _Counter(_Bar):
    """A transient line that counts; ``log`` gets one now and then where there is no terminal."""

    def __init__(
        self,
        what: str,
        unit: str,
        total: int | None = None,
        *,
        log: Callable[[str], None] | None = None,
    ) -> None:
        console = _console()
        self._log = log
        self._logged = time.monotonic()
        self._line = f"{what}: {{done:,}} {f'of {total:,} ' if total else ''}{unit}"
        self._done = 0
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
        self._done += more
        self._bar.update(self._task, advance=more)
        now = time.monotonic()
        if self._log is not None and self._bar.disable and now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            self._log(self._line.format(done=self._done))


class ScanProgress(_Counter):
    """Files looked at while an archive is scanned."""

    def __init__(self) -> None:
        super().__init__("scanning", "files")


class CompareProgress(_Counter):
    """Brackets looked at while scenes are compared."""

    def __init__(self) -> None:
        super().__init__("comparing scenes", "brackets")


class RenderProgress(_Counter):
    """Linear HDR pictures made into brackets."""

    def __init__(self) -> None:
        super().__init__("rendering", "pictures")


class DemoProgress(_Counter):
    """Brackets rendered for the demo."""

    def __init__(self, total: int, *, log: Callable[[str], None]) -> None:
        super().__init__("rendering", "brackets", total, log=log)


class VerifyProgress(_Counter):
    """Results compared with their rows."""

    def __init__(self, total: int, *, log: Callable[[str], None]) -> None:
        super().__init__("verifying", "results", total, log=log)


def run_log() -> Callable[[str], None]:
    """The flow run's log; where that is silenced, as on the command line, stderr."""
    logger = get_run_logger()
    if logger.isEnabledFor(logging.INFO):
        return logger.info
    console = Terminal(stderr=True, markup=False, highlight=False)
    return lambda line: console.print(line, soft_wrap=True)
