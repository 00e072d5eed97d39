# SPDX-License-Identifier: Apache-2.0
"""The command as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from model import zoo
from pipeline.archive.catalog import read_brackets
from pipeline.errors import CODES
from pipeline.ledger import read_report


def frames_of(bracket) -> tuple[str, ...]:
    """Sorted paths of a true bracket's frames."""
    return tuple(sorted(frame.path for frame in bracket.frames))


COMMANDS = [
    "scan",
    "fuse",
    "score",
    "models",
    "demo",
    "doctor",
    "shard",
    "train",
    "render",
    "dynamic",
    "verify",
    "quarantine",
    "report",
    "serve",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"bracketflow {command}" in out.partition("Example")[2]


def test_models_as_json(run):
    code, out, _ = run("models", "--json")
    cards = json.loads(out)
    assert code == 0
    assert [card["name"] for card in cards] == list(zoo.names())
    for card in cards:
        assert card["parameters"] == zoo.parameter_count(card["name"])
        assert isinstance(card["weights_shipped"], bool)


@pytest.mark.parametrize(
    ("arguments", "error_code"),
    [
        (["fuse", "{empty}", "{out}"], "archive-empty"),
        (["fuse", "{empty}/nothing", "{out}"], "source-missing"),
        (["fuse", "{archive}", "{archive}/out"], "destination-invalid"),
        (["fuse", "{archive}", "{out}", "--model", "nope"], "model-unknown"),
        (["fuse", "{archive}", "{out}", "--model", "{empty}/no.safetensors"], "weights-invalid"),
        (["render", "{archive}", "{out}"], "archive-empty"),
        (["render", "{archive}", "{archive}/out"], "destination-invalid"),
        (["render", "{archive}", "{out}", "--megapixels", "nan"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--bits", "16"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--name", "{{nope}}"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--max-failures", "lots"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--bracket-timeout", "soon"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--bracket-timeout", "0"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--memory", "lots"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--ev", "3"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--singles", "merge"], "option-invalid"),
        (["fuse", "{archive}", "{out}", "--singles", "usme"], "model-unknown"),
        (["fuse", "{empty}/bad.csv", "{out}"], "catalog-invalid"),
        (["verify", "{empty}"], "source-missing"),
        (["quarantine", "list", "{empty}/nothing"], "source-missing"),
        (["quarantine", "retry", "{empty}"], "source-missing"),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_cure(
    run, archive, prefect_server, tmp_path, arguments, error_code
):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "bad.csv").write_text("no,such,columns\n1,2,3\n")
    places = {"empty": empty, "archive": archive[0], "out": tmp_path / "out"}
    code, _, err = run(*(argument.format(**places) for argument in arguments))
    assert code == 2
    assert error_code in CODES
    assert f"[{error_code}]" in err.replace("\n", "")


@pytest.mark.parametrize("wrong", [("--nope",), ("--layout", "nope"), ("--device", "tpu")])
def test_a_wrong_option_ends_with_2(run, wrong):
    code, _, err = run("fuse", "in", "out", *wrong)
    assert code == 2
    assert wrong[0] in err


@pytest.mark.prefect
def test_scan_writes_a_catalog_that_reads_back(run, archive, prefect_server, tmp_path):
    folder, truth = archive
    catalog = tmp_path / "catalog.parquet"
    code, out, _ = run("scan", str(folder), "--out", str(catalog))
    assert code == 0
    brackets = list(read_brackets(str(catalog)))
    found = {tuple(sorted(f.path for f in b.frames)) for b in brackets if b.kind == "bracket"}
    assert found == {frames_of(bracket) for bracket in truth.brackets}
    assert str(len(truth.brackets)) in out


def test_a_dry_run_counts_and_writes_nothing(run, archive, tmp_path):
    folder, truth = archive
    code, out, _ = run("fuse", str(folder), str(tmp_path / "out"), "--dry-run")
    assert code == 0
    assert not (tmp_path / "out").exists()
    lines = {line.rsplit(None, 1)[0].strip(): line.split()[-1] for line in out.splitlines() if line}
    assert lines["to fuse"] == str(len(truth.brackets))
    assert lines["singles, skipped"] == str(len(truth.singles))


@pytest.mark.ray
@pytest.mark.prefect
def test_it_works_among_modules_of_the_same_names(archive, tmp_path):
    """From a folder with a model.py, flows/ and pipeline/ of somebody else, in a fresh process."""
    home = tmp_path / "home"
    place = tmp_path / "place"
    for name in ("flows", "pipeline"):
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    (place / "model.py").write_text("raise RuntimeError('not ours')\n")
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("bracketflow"), "fuse", archive[0], "out"],
        cwd=place,
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    statuses = read_report(str(place / "out"))["status"].to_pylist()
    assert statuses.count("fused") == sum(not bracket.broken for bracket in archive[1].brackets)


def test_text_in_brackets_is_no_markup(run, tmp_path):
    code, _, err = run("fuse", str(tmp_path / "a[/b]"), str(tmp_path / "out"), "--dry-run")
    assert code == 2
    assert "[source-missing]" in err
    assert "a[/b]" in err.replace("\n", "")


def test_a_server_that_does_not_answer_ends_with_4(run, archive, tmp_path):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        code, _, err = run("fuse", str(archive[0]), str(tmp_path / "out"))
    assert code == 4
    assert "[prefect-failed]" in err


def test_the_doctor_finds_nothing_wrong(run, prefect_server):
    code, out, _ = run("doctor")
    assert code == 0
    assert "bad" not in out.split()
    assert "ray" in out


@pytest.mark.ray
@pytest.mark.prefect
def test_an_interrupt_keeps_what_was_finished_and_ends_with_130(archive, tmp_path):
    """Ctrl-C as a terminal sends it: to the command, its Ray and its Prefect server alike."""
    many = tmp_path / "many"
    for copy in range(40):
        shutil.copytree(archive[0], many / str(copy))
    out = tmp_path / "out"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    slowly = ("--effort", "full", "--workers", "1")  # so that it is not done before the interrupt
    command = subprocess.Popen(
        [Path(sys.executable).with_name("bracketflow"), "fuse", many, out, *slowly],
        env=environment | {"HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("results/*/*/*.jpg")):
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(command.pid, signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 130, err
    assert "Interrupted" in err
    assert "Traceback" not in err
    fused = [row for row in read_report(str(out)).to_pylist() if row["status"] == "fused"]
    results = list(out.glob("results/*/*/*.jpg"))
    # Only the bracket at hand may be missing from the report.
    assert len(results) - 1 <= len(fused) <= len(results)
    assert not list(out.rglob("*.tmp"))


@pytest.mark.ray
@pytest.mark.prefect
def test_past_the_failure_budget_it_ends_with_1(run, archive, prefect_server, tmp_path):
    code, _, err = run(
        "fuse", str(archive[0]), str(tmp_path / "out"), "--max-failures", "0%", "--no-previews"
    )
    assert code == 1
    assert "failure budget" in err
