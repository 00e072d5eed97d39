# SPDX-License-Identifier: Apache-2.0
"""The README's examples run as they stand, on a report of a hundred brackets."""

from __future__ import annotations

import re

import pytest

from tests.pipeline.report.reports import synthetic


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text("utf-8")


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A destination called OUT in the current folder, as the README has it."""
    monkeypatch.chdir(tmp_path)
    return synthetic(tmp_path / "OUT", 100)


def examples(readme: str, language: str) -> list[str]:
    """The blocks of a language that ask the report something."""
    found = re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)
    return [block for block in found if "OUT" in block or "FROM newest" in block]


def test_sql_examples(readme, out):
    duckdb = pytest.importorskip("duckdb")
    view, *queries = "\n".join(examples(readme, "sql")).split(";\n")
    assert "CREATE VIEW newest" in view
    duckdb.sql(view)
    queries = [query for query in queries if query.strip()]
    assert len(queries) == 3
    for query in queries:
        assert duckdb.sql(query).fetchall(), query


def test_python_examples(readme, out, capsys):
    pytest.importorskip("pandas")
    blocks = examples(readme, "python")
    assert len(blocks) == 1
    told = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), told)
    assert len(told["worst"]) == 10
    assert told["by_camera"].loc["Obscura OB-1", "count"] > 5
    assert (told["slow"]["seconds"] > 0).all()
