# SPDX-License-Identifier: Apache-2.0
"""The terminal: a console on which no file's name can move the cursor or hide what stands there.

Names and messages come from archives of anybody's making. Rich escapes its own markup where it is
asked to, but hands escape sequences on; here they end up as replacement characters.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

__all__ = ["Terminal", "one_line"]


class Terminal(Console):
    """A console that shows text as text; colours and moves are the console's own alone."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of something to print, without control characters in their text."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield segment._replace(text=_plain(segment.text))


def one_line(text: str) -> str:
    """A name or message as it may stand in a line of its own: with no line of its own in it."""
    return _plain(text, kept="")


def _plain(text: str, *, kept: str = "\n") -> str:
    return "".join(
        letter if letter.isprintable() or letter in kept else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
