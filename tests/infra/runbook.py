# SPDX-License-Identifier: Apache-2.0
"""The blocks of commands of the runbook, and which of them the tests run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks_of"]

_BLOCK = re.compile(r"(?:<!-- (runs(?:: \w+)?) -->\n)?```sh\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """``where`` it is run: "runs" by the default suite, "runs: ..." elsewhere, empty nowhere."""

    where: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """All of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text("utf-8"))]
