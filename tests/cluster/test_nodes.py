# SPDX-License-Identifier: Apache-2.0
"""A run over several nodes of which one dies and one comes later: nothing is lost."""

from __future__ import annotations

import hashlib
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.ledger import read_manifests, read_report
from tests.cluster.nodes import open_nodes

pytestmark = pytest.mark.ray

OPTIONS = ("--model", "mertens", "--align", "off", "--format", "png", "--threads", "1")


@pytest.fixture
def nodes():
    with open_nodes() as found:
        yield found


def test_a_node_that_dies_and_one_that_comes_cost_nothing(
    nodes, archive, brackets, tmp_path, write_table
):
    folder, truth = archive
    out = tmp_path / "out"
    first, *_ = [nodes.add() for _ in range(3)]
    began = time.monotonic()
    command = nodes.start("bracketflow", "fuse", str(folder), str(out), "--workers", "3", *OPTIONS)

    def results() -> int:
        return len(list(out.glob("results/**/*.png")))

    while results() < brackets // 4:
        assert command.poll() is None, (nodes.folder / "command.log").read_text()
        time.sleep(0.2)
    at_kill, killed = results(), first.kill()
    assert killed > 1, "nothing died, so nothing is shown"
    nodes.add()
    assert command.wait(1800) == 0, (nodes.folder / "command.log").read_text()
    seconds = time.monotonic() - began
    assert at_kill < truth.good, "the run was over before the node died"
    (manifest,) = read_manifests(str(out))
    counts = manifest["counts"]
    assert counts["found"] == truth.found
    assert counts["fused"] == truth.good
    assert counts["quarantined"] == truth.broken
    rows = read_report(str(out)).to_pylist()
    assert len({row["bracket_id"] for row in rows}) == len(rows) == counts["found"]
    for row in rows:
        if row["status"] == "fused":
            data = Path(row["result_uri"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row["result_sha256"]
    assert not list(out.rglob(".bracketflow-*"))
    workers = {row["worker"] for row in rows if row["status"] == "fused"}
    write_table(
        "nodes",
        "A head and three nodes; one killed, one added",
        [
            ("brackets", brackets),
            ("results when the node died", at_kill),
            ("processes that died", killed),
            ("workers that made results", len(workers)),
            ("counts", counts),
            ("seconds", f"{seconds:.0f}"),
        ],
    )


@pytest.mark.skipif(find_spec("opencensus") is None, reason="needs ray[default] (extra cluster)")
def test_the_agents_offer_our_metrics(nodes, archive, tmp_path):
    folder, truth = archive
    node = nodes.add(2)
    nodes.run("bracketflow", "fuse", str(folder), str(tmp_path / "out"), *OPTIONS)
    until = time.monotonic() + 60
    fused = 0.0
    while fused < truth.good:
        assert time.monotonic() < until
        time.sleep(2)
        text = urllib.request.urlopen(f"http://127.0.0.1:{node.metrics_port}/metrics").read()
        fused = sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.decode().splitlines()
            if line.startswith("ray_bracketflow_brackets_total{") and 'status="fused"' in line
        )


def test_the_speed_of_one_driver(nodes, tmp_path, write_table):
    """Brackets of 0.1 MP with one and two actors, and jobs that do nothing at all."""
    nodes.add(2)
    done = nodes.run("python", str(Path(__file__).with_name("driver_speed.py")), str(tmp_path))
    rows = [tuple(line.split("\t")) for line in done.stdout.splitlines() if "\t" in line]
    assert len(rows) == 4
    write_table("speed", "The speed of one driver", rows)
