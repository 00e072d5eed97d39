# SPDX-License-Identifier: Apache-2.0
"""The house: imports run flows -> pipeline -> model, and nothing else stands at the root."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FORBIDDEN = {
    "model": {"pipeline", "flows", "ray", "prefect", "pyarrow", "fsspec", "imageio"},
    "pipeline": {"flows", "prefect"},
    "flows": set(),
}
ROOT_FILES = {
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "prefect.yaml",
}


def imported(module: Path) -> set[str]:
    """Top-level packages that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_run_one_way(repository, package):
    modules = sorted((repository / package).rglob("*.py"))
    assert modules
    wrong = {
        str(module.relative_to(repository)): sorted(imported(module) & FORBIDDEN[package])
        for module in modules
        if imported(module) & FORBIDDEN[package]
    }
    assert wrong == {}


def test_package_roots_stay_empty(repository):
    # Ray workers import them before their import path is known to be sane.
    for package in FORBIDDEN:
        tree = ast.parse((repository / package / "__init__.py").read_text("utf-8"))
        assert len(tree.body) == 1, package


def test_nothing_else_at_the_root(repository):
    files = {path.name for path in repository.iterdir() if path.is_file()}
    assert {name for name in files if not name.startswith(".")} <= ROOT_FILES
