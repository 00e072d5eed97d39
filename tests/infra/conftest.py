# SPDX-License-Identifier: Apache-2.0
"""What the files of infra/ are held against: the constraints, the sources, themselves."""

from __future__ import annotations

import tomllib

import pytest
import yaml


@pytest.fixture(scope="session")
def infra(repository):
    return repository / "infra"


@pytest.fixture(scope="session")
def pins(repository):
    """Package -> version, as constraints.txt has them."""
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pairs}


@pytest.fixture(scope="session")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="session")
def prefect_yaml(repository):
    return yaml.safe_load((repository / "prefect.yaml").read_text("utf-8"))
