# SPDX-License-Identifier: Apache-2.0
"""What a run shows in Prefect: its share done, a table of what came out, what failed, a link.

Each has a key, so that Prefect keeps the artifacts of one kind together from run to run.
"""

from __future__ import annotations

import contextvars
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from pipeline import storage
from pipeline.errors import CODES
from pipeline.report.exporting import plain_markdown
from pipeline.runs import Counts, Outcome

__all__ = ["DoneArtifact", "show_outcome", "show_page"]

_EVERY_S = 10.0
_PATIENCE_S = 10.0


class DoneArtifact:
    """The share of a run that is done, in per cent; every ten seconds, and once at the end.

    It is made with the first news after ten seconds: a run that is done by then needs none.
    Prefect is told in a thread: an interrupt that comes while its client talks to a server, which
    the same Ctrl-C may have ended, would get lost in there.
    """

    def __init__(self, run_id: str, counts: Counts) -> None:
        self._run_id = run_id
        self._counts = counts
        self._id: UUID | None = None
        self._told = time.monotonic()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None and kind is None:
            self._thread.join(_PATIENCE_S)
            self._begin().join(_PATIENCE_S)

    def look(self) -> None:
        """See whether there is news."""
        due = time.monotonic() - self._told >= _EVERY_S
        if due and (self._thread is None or not self._thread.is_alive()):
            self._told = time.monotonic()
            self._begin()

    def _begin(self) -> threading.Thread:
        # The context says which run the artifact belongs to.
        target = contextvars.copy_context().run
        self._thread = threading.Thread(target=target, args=(self._tell,), daemon=True)
        self._thread.start()
        return self._thread

    def _tell(self) -> None:
        with suppress(Exception):  # what is shown is not worth a run
            self._show()

    def _show(self) -> None:
        share = 100.0 * self._counts.done / max(self._counts.found, 1)
        if self._id is None:
            made = create_progress_artifact(
                progress=share, key="bracketflow-progress", description=f"Run {self._run_id}"
            )
            assert isinstance(made, UUID), "called where nothing can be awaited"
            self._id = made
        else:
            update_progress_artifact(artifact_id=self._id, progress=share)


def show_outcome(outcome: Outcome) -> None:
    """A table of the counts and the mean score; where brackets failed, why."""
    counts = outcome.counts
    numbers = {name: n for name, n in counts.as_dict().items() if isinstance(n, int) and n}
    table = [{"what": name, "count": f"{n:,}"} for name, n in numbers.items()]
    mean = outcome.mean_mef_ssim
    table.append({"what": "mean MEF-SSIM", "count": "-" if mean is None else f"{mean:.4f}"})
    description = f"Run {outcome.run_id} to {outcome.destination}"
    create_table_artifact(table=table, key="bracketflow-fuse", description=description)
    if counts.codes:
        create_markdown_artifact(
            markdown=_failures(outcome), key="bracketflow-failures", description=description
        )


def show_page(uri: str) -> None:
    """A link to a page."""
    link = storage.local_path(uri).as_uri() if storage.is_local(uri) else uri
    create_link_artifact(link=link, link_text="The report's page", key="bracketflow-page")


def _failures(outcome: Outcome) -> str:
    lines = [
        f"| `{code}` | {count:,} | {plain_markdown(CODES.get(code, ''))} |"
        for code, count in outcome.counts.codes.most_common()
    ]
    return "\n".join(
        [
            f"# What failed in run {outcome.run_id}",
            "",
            "| code | brackets | what it stands for |",
            "| --- | ---: | --- |",
            *lines,
            "",
            f"`bracketflow quarantine list {outcome.destination}` shows which.",
        ]
    )
