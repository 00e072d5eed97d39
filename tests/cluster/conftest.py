# SPDX-License-Identifier: Apache-2.0
"""How much is done (CLUSTER_BRACKETS), an archive to do it on, and tables of what was seen."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.demo.archive import ArchivePlan, make_archive


@pytest.fixture(scope="session")
def brackets() -> int:
    return int(os.environ.get("CLUSTER_BRACKETS", "300"))


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What an archive holds."""

    good: int
    broken: int
    singles: int

    @property
    def found(self) -> int:
        return self.good + self.broken + self.singles


@pytest.fixture(scope="session")
def archive(tmp_path_factory, brackets) -> tuple[Path, Truth]:
    """Brackets of tiny frames, one of twelve broken; copies of twelve, which are soon made."""
    folder = tmp_path_factory.mktemp("cluster") / "archive"
    plan = ArchivePlan(seed=5, size=(64, 96), broken_index=4)
    made = make_archive(folder / "000", brackets=12, plan=plan)
    copies = max(brackets // 12, 1)
    for copy in range(1, copies):
        shutil.copytree(folder / "000", folder / f"{copy:03d}")
    broken = sum(bracket.broken for bracket in made.brackets)
    return folder, Truth(
        good=copies * (len(made.brackets) - broken),
        broken=copies * broken,
        singles=copies * len(made.singles),
    )


@pytest.fixture(scope="session")
def write_table(repository):
    """Print a table in Markdown and keep it in cluster-out/."""

    def write(name: str, title: str, rows: list[tuple[str, object]]) -> None:
        text = "\n".join(
            [f"# {title}", "", "| what | seen |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
        )
        folder = repository / "cluster-out"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(text + "\n", "utf-8")
        print(f"\n{text}\n")  # noqa: T201 - the point of the exercise

    return write
