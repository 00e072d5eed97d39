# SPDX-License-Identifier: Apache-2.0
"""The house, archives, the undisturbed run that all others are held against, and the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.demo.archive import ArchivePlan, make_archive
from tests.chaos.comparing import Snapshot, snapshot
from tests.chaos.house import House, open_house


@pytest.fixture(scope="session")
def house():
    with open_house() as found:
        yield found


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """24 brackets of tiny frames, one of them broken."""
    folder = tmp_path_factory.mktemp("chaos") / "archive"
    make_archive(folder, brackets=24, plan=ArchivePlan(seed=5, size=(64, 96), broken_index=4))
    return folder


@pytest.fixture(scope="session")
def undisturbed(house: House, archive: Path, tmp_path_factory) -> Snapshot:
    """What a run leaves that nobody disturbs."""
    destination = tmp_path_factory.mktemp("undisturbed") / "out"
    assert house.fuse(archive, destination) == 0, house.said()
    return snapshot(archive, destination)


@pytest.fixture(scope="session")
def write_table(repository):
    """Print a table in Markdown and keep it in chaos-out/."""

    def write(name: str, title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]):
        lines = [f"# {title}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
        text = "\n".join(lines) + "\n"
        folder = repository / "chaos-out"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(text, "utf-8")
        print(f"\n{text}")  # noqa: T201 - the point of the exercise

    return write
