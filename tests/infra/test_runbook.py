# SPDX-License-Identifier: Apache-2.0
"""The runbook: its commands are commands, its files are files, its first block runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flows.cli import app
from tests.infra.runbook import blocks_of


@pytest.fixture(scope="module")
def blocks(infra):
    return blocks_of(infra / "README.md")


def test_every_block_is_a_shell_script(blocks):
    assert len(blocks) > 15
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr + block.text


def test_marked_blocks_run_as_they_stand(blocks, repository, tmp_path):
    run = [block.text for block in blocks if block.where == "runs"]
    assert run
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="\n".join(run),
        text=True,
        capture_output=True,
        cwd=repository,
        env=os.environ | {"PATH": path, "PREFECT_HOME": str(tmp_path)},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_that_are_named_exist(blocks, infra, repository):
    text = (infra / "README.md").read_text("utf-8")
    for name in re.findall(r"infra/[\w./-]+", "\n".join(block.text for block in blocks)):
        assert (repository / name).exists(), name
    for name in re.findall(r"\]\(([^)#]+)\)", text):
        assert (infra / name).exists(), name


def test_our_own_commands_and_options_exist(infra):
    commands = get_command(app).commands
    text = (infra / "README.md").read_text("utf-8")
    for line in re.findall(r"bracketflow ((?:serve|fuse|verify|compact|doctor)\b[^`\n|]*)", text):
        command = commands[line.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(--[\w-]+)", line)) <= known, line


@pytest.mark.parametrize("script", ["head.sh", "worker.sh"])
def test_scripts_ask_for_what_they_need(infra, tmp_path, script):
    path = infra / "ray" / script
    assert os.access(path, os.X_OK)
    text = path.read_text("utf-8")
    assert "RAY_AUTH_MODE=token" in text
    assert "0.0.0.0" not in text
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([path], env=clean, capture_output=True, text=True)
    assert done.returncode != 0
    assert "HEAD_ADDRESS" in done.stderr
    given = clean | {"HEAD_ADDRESS": "127.0.0.1", "NODE_ADDRESS": "127.0.0.1"}
    done = subprocess.run([path], env=given, capture_output=True, text=True)
    assert done.returncode == 2
    assert "token" in done.stderr


def test_options_of_the_scripts_are_rays(infra):
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for script in ("head.sh", "worker.sh"):
        text = (infra / "ray" / script).read_text("utf-8").split("exec ray start")[1]
        assert set(re.findall(r"(--[\w-]+)", text)) <= known
