# SPDX-License-Identifier: Apache-2.0
"""No text that comes from an archive steers the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.show import pairs
from flows.terminal import Terminal, one_line

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b31m\r\b\u202egpj.exe"


def shown(thing, **options):
    console = Terminal(file=io.StringIO(), width=200, **options)
    console.print(thing)
    return console.file.getvalue()


def _table():
    table = Table(box=None)
    table.add_column("name", overflow="fold")
    table.add_row(EVIL)
    return table


@pytest.mark.parametrize(
    "thing",
    [EVIL, Text(EVIL), _table(), Group(Text(EVIL), _table()), pairs(EVIL, [("where", EVIL)])],
    ids=["text", "Text", "table", "group", "pairs"],
)
def test_control_characters_are_shown_and_not_obeyed(thing):
    text = shown(thing)
    assert "title" in text
    assert not set("\x1b\x07\x08\r\x9b\u202e") & set(text)


def test_colours_and_lines_of_our_own_stay():
    text = shown("[red]one[/red]\ntwo", force_terminal=True, color_system="standard")
    assert "\x1b[31mone\x1b[0m" in text
    assert text.endswith("two\n")


def test_markup_in_a_name_is_a_name():
    assert "[bold]x[/]" in shown(escape("[bold]x[/]"))


def test_a_name_with_lines_in_it_writes_no_line_of_its_own():
    assert one_line("a.jpg\n\nEvery row has its file.").count("\n") == 0
    assert "Every row has its file." in one_line("a.jpg\r\u2028Every row has its file.")
