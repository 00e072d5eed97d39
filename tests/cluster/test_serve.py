# SPDX-License-Identifier: Apache-2.0
"""`bracketflow serve`: a server on loopback, what is due is done, and a word ends all of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.ledger import read_manifests
from tests.cluster.nodes import clean_environment, free_port

pytestmark = [pytest.mark.ray, pytest.mark.prefect]


def test_one_machine_on_a_schedule(archive, tmp_path):
    folder, truth = archive
    out, port = tmp_path / "out", free_port()
    with (tmp_path / "serve.log").open("wb") as log:
        command = psutil.Popen(
            [
                Path(sys.executable).with_name("bracketflow"),
                *("serve", str(folder), str(out), "--cron", "* * * * *", "--no-verify"),
                *("--settle", "0", "--port", str(port), "--model", "mertens", "--align", "off"),
            ],
            env=clean_environment(tmp_path),
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def said() -> str:
        return (tmp_path / "serve.log").read_text("utf-8", "replace")

    try:
        until = time.monotonic() + 600
        while not read_manifests(str(out)):
            assert command.poll() is None, said()
            assert time.monotonic() < until, said()
            time.sleep(1)
        (manifest, *_) = read_manifests(str(out))
        assert manifest["counts"]["found"] == truth.found
        listening = {
            connection.laddr.ip
            for process in command.children(recursive=True)
            for connection in process.net_connections()
            if connection.status == "LISTEN" and connection.laddr.port == port
        }
        assert listening == {"127.0.0.1"}
        family = command.children(recursive=True)
        command.send_signal(signal.SIGTERM)
        assert command.wait(60) == 0, said()
        assert not psutil.wait_procs(family, timeout=30)[1]
    finally:
        for process in [*command.children(recursive=True), command] if command.is_running() else ():
            process.kill()
