# SPDX-License-Identifier: Apache-2.0
"""What the command line prints about a destination's state: verification and quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.show import pairs
from flows.terminal import one_line
from pipeline.errors import CODES
from pipeline.verifying.findings import MEANINGS

if TYPE_CHECKING:
    from pipeline.quarantine import Failed, Retried
    from pipeline.verifying.verify import Verdict

__all__ = ["quarantine_table", "retried_table", "verdict_table"]

_LINES = 50  # of a list on a terminal; files hold all of it


def verdict_table(verdict: Verdict) -> Group:
    """How many results were checked, what is wrong, and what to do next."""
    rows = [("results checked", f"{verdict.rows:,}"), ("files looked at", f"{verdict.files:,}")]
    parts: list[Group | Text] = [pairs(f"Verified {verdict.destination}", rows)]
    if verdict.counts:
        found = [(f"{code} x{n:,}", MEANINGS[code]) for code, n in verdict.counts.items()]
        parts.append(pairs("\nFound", found))
        parts.append(Text("\nWhich", style="italic"))
        for finding in verdict.findings[:_LINES]:
            done = f" ({finding.done})" if finding.done else ""
            parts.append(Text(f"{finding.code:<20}{one_line(finding.path)}{done}"))
        left = sum(verdict.counts.values()) - len(verdict.findings[:_LINES])
        if left:
            parts.append(Text(f"... and {left:,} more; --out FILE.parquet gets them all."))
    if not verdict.complete:
        text = "\nThe report is damaged, so nothing could be compared with it: use --repair first."
        parts.append(Text(text, style="yellow"))
    if verdict.clean:
        parts.append(Text("\nEvery row has its file, every file its row.", style="green"))
    return Group(*parts)


def quarantine_table(failed: Sequence[Failed], counts: Mapping[str, int]) -> Group:
    """What failed, why, and how often."""
    if not counts:
        return Group(Text("Nothing is in quarantine."))
    table = Table(box=None, pad_edge=False)
    for title in ("bracket", "first frame", "stage", "code", "what happened"):
        table.add_column(title, overflow="fold")
    for one in failed[:_LINES]:
        cells = (one.bracket_id[:8], one.frame_paths[0], one.stage or "-", one.code, one.message)
        table.add_row(*(escape(one_line(cell)) for cell in cells))
    parts: list[Group | Table | Text] = [table]
    if len(failed) > _LINES:
        more = len(failed) - _LINES
        parts.append(Text(f"... and {more:,} more; --out FILE.csv or .parquet gets them all."))
    codes = [(f"{code} x{n:,}", escape(CODES.get(code, ""))) for code, n in counts.items()]
    parts.append(pairs("\nCodes", codes))
    return Group(*parts)


def retried_table(retried: Retried) -> Group:
    """What became of the quarantined brackets."""
    return pairs(
        "\nOf the quarantined",
        [
            ("tried again", f"{retried.before:,}"),
            ("fused now", f"{retried.fused:,}"),
            ("failed again", f"{retried.quarantined:,}"),
            ("not found any more", f"{retried.gone:,}"),
        ],
    )
